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
from cxrfmkd.statistics.suppression import suppressed

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


def build_pool(
    candidates: pd.DataFrame,
    by: str,
    variant: str,
    size: int,
    shortage: str,
    minimum_cell: int = 10,
) -> Pool:
    """The groups of `candidates` by their column `by`, ready to be drawn from.

    candidates: one row for each, with columns patient_id, sex, race, disease and age_bin; variant:
    v1 or v2. Rows without a group (and, in v2, without sex, disease or age bin, if any row has one)
    are left out. Where a group has fewer than `size`, `shortage` says whether to draw the largest
    equal number (`reduce`) or to stop (`error`, as the thesis); the message leaves out the sizes
    of groups of fewer than `minimum_cell` patients.
    """
    group = candidates[by].fillna("").astype(str).to_numpy()
    usable = group != ""
    strata = None
    if variant == "v2":
        columns = [name for name in COMPOSITION if name != by and candidates[name].notna().any()]
        composition = candidates[columns].astype("string").fillna("")
        usable &= (composition != "").all(axis=1).to_numpy()
        strata = composition[columns[0]].str.cat(composition[columns[1:]], sep="-").to_numpy(str)
    names = tuple(pd.unique(group[usable]))
    if not names:
        raise InputError(
            f"bias: no test image belongs to a group by {by}. Leave the dataset out of the bias "
            "analysis, or give its records that column."
        )
    if len(names) < 2:
        log.warning("all test images belong to one group by %s; its comparisons stay blank", by)
    members = tuple(np.flatnonzero(usable & (group == name)) for name in names)
    least = min(map(len, members))
    if least < size:
        patients = np.array([candidates.patient_id.iloc[m].nunique() for m in members])
        hidden = suppressed(patients, minimum_cell)
        sizes = ", ".join(
            f"{name} {'suppressed' if few else len(m)}"
            for name, m, few in zip(names, members, hidden, strict=True)
        )
        if shortage == "error":
            raise InputError(
                f"bias: {size} images of each {by} are needed; there are: {sizes}. "
                "Lower bias.sample_per_group, or set bias.shortage to reduce."
            )
        log.warning(
            "%s images of each %s are needed; drawing as many as the rarest has: %s",
            size,
            by,
            sizes,
        )
    weights = None if strata is None else _matching_weights(strata, members)
    return Pool(members, weights, names, min(size, least))


def _matching_weights(
    strata: np.ndarray, members: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, ...]:
    """The average share over the groups of each member's stratum, by its share in the group."""
    codes, _ = pd.factorize(strata)
    shares = np.array([np.bincount(codes[m], minlength=codes.max() + 1) / len(m) for m in members])
    average = shares.mean(0)
    return tuple(
        average[codes[m]] / share[codes[m]] for m, share in zip(members, shares, strict=True)
    )


def draw_samples(pool: Pool, seeds: list[int]) -> np.ndarray:
    """One sample for every seed: rows, int64 (seeds, groups * size), group after group.

    Drawn without replacement. Weighted groups are drawn as torch's multinomial draws them one after
    the other from the seed; plain ones as `pandas.DataFrame.sample(random_state=seed)`, each anew
    from the seed.
    """
    lengths = [len(members) for members in pool.members]
    if pool.weights is None:
        drawn = np.array(
            [
                [np.random.RandomState(seed).choice(n, pool.size, False) for n in lengths]
                for seed in seeds
            ]
        )
    else:
        drawn = multinomial(list(pool.weights), pool.size, seeds)
    drawn += (np.cumsum(lengths) - lengths)[:, None]
    rows = np.concatenate(pool.members)
    return np.take(rows, drawn, out=drawn, mode="clip").reshape(len(seeds), -1)


def one_per_patient(patients: np.ndarray, seed: int) -> np.ndarray:
    """Positions of one row of every patient, drawn at random, ascending."""
    shuffled = np.random.default_rng(seed).permutation(len(patients))
    _, first = np.unique(patients[shuffled], return_index=True)
    return np.sort(shuffled[first])
