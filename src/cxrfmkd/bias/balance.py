"""How well the main sample is balanced: what was wanted of each race, and what was drawn.

Sampling without replacement only comes near the wanted composition, and the thesis never looked.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.bias.design import Design
from cxrfmkd.bias.sampling import COMPOSITION
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics.suppression import patients_per_cell, small, with_complements
from cxrfmkd.vocabulary.groups import AGE_BINS

BALANCE_COLUMNS = "group attribute level wanted drawn available".split()


def balance_table(design: Design) -> pd.DataFrame:
    """The table `balance`: shares of every level of sex, disease and age bin within each group.

    wanted: the mean over the groups of what is available; drawn: in the main sample; available: in
    all that it is drawn from. Shares of hidden numbers of images are blank, and so is what is
    wanted of a level that any group hides: the other groups' shares could be taken off the mean.
    """
    pool, rows = design.pool, design.rows
    in_sample = np.zeros(len(rows), bool)
    in_sample[design.main] = True
    sampled = [members[in_sample[members]] for members in pool.members]
    tables = []
    for attribute in COMPOSITION:
        values = design.test[attribute].astype("string").fillna("").to_numpy(object)[rows]
        levels = sorted(set(values[np.concatenate(pool.members)]) - {""})
        codes = pd.Index(levels).get_indexer(values)
        drawn, available = (
            np.array([_shares(codes[members], len(levels)) for members in by_group])
            for by_group in (sampled, pool.members)
        )
        hidden = _hidden(design, attribute, levels, codes, sampled)
        table = long(
            {"group": pool.names, "level": levels},
            wanted=np.where(hidden.any(axis=0), np.nan, available.mean(axis=0)),
            drawn=np.where(hidden, np.nan, drawn),
            available=np.where(hidden, np.nan, available),
        )
        tables.append(table.assign(attribute=attribute))
    return pd.concat(tables, ignore_index=True)[BALANCE_COLUMNS]


def _hidden(
    design: Design,
    attribute: str,
    levels: list[str],
    codes: np.ndarray,
    sampled: list[np.ndarray],
) -> np.ndarray:
    """Which groups' images of a level no table may count, bool (groups, levels).

    codes: the level of each of `design.rows`; sampled: of each group, those in the main sample.
    Other tables have the numbers of a group's images and of a level's. They do not have sex or age
    within groups other than races, so that what goes with these is decided here.
    """
    by, hides = design.balanced, design.disclosed_main.hides
    names = [AGE_BINS[int(level)] for level in levels] if attribute == "age_bin" else levels
    hidden = np.array(
        [
            [hides({by: group}) or hides({by: group, attribute: name}) for name in names]
            for group in design.pool.names
        ],
        dtype=bool,
    )
    margins = [position.ravel() for position in np.indices(hidden.shape)]
    patients = design.patients[design.rows]
    for by_group in (sampled, design.pool.members):
        cells = np.concatenate(
            [patients_per_cell(codes[rows], patients[rows], len(levels)) for rows in by_group]
        )
        secret = hidden.ravel() | small(cells, design.minimum_cell)
        hidden = with_complements(secret, cells, *margins).reshape(hidden.shape)
    return hidden


def _shares(codes: np.ndarray, levels: int) -> np.ndarray:
    """Share of each level, float64 (levels,)."""
    counts = np.bincount(codes[codes >= 0], minlength=levels)
    return counts / max(counts.sum(), 1)
