"""Samples of test images with equal numbers of every race: the main one and the simulated ones.

Source: thesis method, section 7.2. The final analysis (v2) draws unique images, so weighted that
each race approaches the average composition by sex, disease and age; the earlier one (v1) draws
resampled rows plainly.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrfmkd.bias.multinomial import multinomial
from cxrfmkd.runtime.errors import InputError

COMPOSITION = ("sex", "disease", "age_bin")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pool:
    """What samples are drawn from.

    members: rows of each group, int64 arrays, groups in order of appearance; weights: each member's
    weight, float64, or None for equal ones; names: the groups' names; size: rows drawn from each
    group.
    """

    members: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...] | None
    names: tuple[str, ...]
    size: int


def pool(
    rows: pd.DataFrame, by: str, variant: str, size: int, shortage: str, minimum_cell: int = 10
) -> Pool:
    """The groups of `rows` by their column `by`, ready to be drawn from.

    rows: one a candidate, with columns sex, race, disease and age_bin; variant: v1 or v2. Rows
    without a group (and, in v2, without sex, disease or age band, if any row has one) are not
    candidates. Where a group has fewer than `size`,
    `shortage` says whether to draw the largest equal number (`reduce`) or to stop (`error`, as the
    thesis); what is said about it leaves out numbers below `minimum_cell`.
    """
    group = rows[by].fillna("").astype(str).to_numpy()
    usable = group != ""
    strata = None
    if variant == "v2":
        parts = [name for name in COMPOSITION if name != by and rows[name].notna().any()]
        known = rows[parts].astype("string").fillna("")
        usable &= (known != "").all(axis=1).to_numpy()
        strata = known[parts[0]].str.cat(known[parts[1:]], sep="-").to_numpy(str)
    names = tuple(pd.unique(group[usable]))
    if len(names) < 2:
        raise InputError(
            f"bias: the test images belong to {len(names)} group(s) by {by}; at least two are "
            "needed to compare. "
            "Leave the dataset out of the bias analysis, or give its records that column."
        )
    members = tuple(np.flatnonzero(usable & (group == name)) for name in names)
    least = min(map(len, members))
    if least < size:
        few = f"fewer than {minimum_cell}"
        shown = [len(m) if len(m) >= minimum_cell else few for m in members]
        have = ", ".join(f"{n} {m}" for n, m in zip(names, shown, strict=True))
        if shortage == "error":
            raise InputError(
                f"bias: {size} images of each {by} are wanted, there are: {have}. "
                "Lower bias.sample_per_group, or set bias.shortage to reduce."
            )
        log.warning(
            "%s images of each %s are wanted; drawing as many as the rarest has: %s", size, by, have
        )
    weights = None if strata is None else _matching(strata, members)
    return Pool(members, weights, names, min(size, least))


def _matching(strata: np.ndarray, members: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Weight of each member: its stratum's average share over the groups, divided by its share in the group."""
    codes, _ = pd.factorize(strata)
    shares = np.array([np.bincount(codes[m], minlength=codes.max() + 1) / len(m) for m in members])
    average = shares.mean(0)
    return tuple(
        average[codes[m]] / share[codes[m]] for m, share in zip(members, shares, strict=True)
    )


def draw(source: Pool, seeds: list[int]) -> np.ndarray:
    """One sample for every seed: rows, int64 (seeds, groups * size), without replacement, group
    after group.

    Weighted groups are drawn as torch's multinomial draws them one after the other from the seed;
    plain ones as
    `pandas.DataFrame.sample(random_state=seed)`, each anew from the seed.
    """
    lengths = [len(members) for members in source.members]
    if source.weights is None:
        drawn = np.array(
            [
                [
                    np.random.RandomState(seed).choice(length, source.size, False)
                    for length in lengths
                ]
                for seed in seeds
            ]
        )
    else:
        drawn = multinomial(list(source.weights), source.size, seeds)
    drawn += (np.cumsum(lengths) - lengths)[:, None]
    everyone = np.concatenate(source.members)
    return np.take(everyone, drawn, out=drawn, mode="clip").reshape(len(seeds), -1)


def one_each(patient_ids: np.ndarray, seed: int) -> np.ndarray:
    """Positions of one row of every patient, drawn at random, ascending."""
    shuffled = np.random.default_rng(seed).permutation(len(patient_ids))
    _, first = np.unique(patient_ids[shuffled], return_index=True)
    return np.sort(shuffled[first])
