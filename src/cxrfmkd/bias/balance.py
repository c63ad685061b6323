"""How well the main sample is balanced: what was wanted of each race, and what was drawn.

Sampling without replacement only comes near the wanted composition, and the thesis never looked.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.bias.design import Design
from cxrfmkd.bias.sampling import COMPOSITION
from cxrfmkd.statistics.suppression import patients_per_cell, suppressed

BALANCE_COLUMNS = "group attribute level wanted drawn available".split()


def balance_table(design: Design) -> pd.DataFrame:
    """The table `balance`: shares of every level of sex, disease and age bin within each group.

    wanted: the mean over the groups of what is available; drawn: in the main sample; available: in
    all that it is drawn from. Shares of levels with few patients in the main sample are blank, and
    the next smallest where they would follow.
    """
    pool, rows = design.pool, design.rows
    in_sample = np.zeros(len(rows), bool)
    in_sample[design.main] = True
    lines = []
    for attribute in COMPOSITION:
        values = design.test[attribute].astype("string").fillna("").to_numpy(object)[rows]
        levels = sorted(set(values[np.concatenate(pool.members)]) - {""})
        codes = pd.Index(levels).get_indexer(values)
        available = np.array([_shares(codes[members], len(levels)) for members in pool.members])
        for name, members, shares in zip(pool.names, pool.members, available, strict=True):
            drawn = members[in_sample[members]]
            hidden = np.zeros(len(levels), bool)
            for images in (drawn, members):
                patients = design.patients[rows[images]]
                cells = patients_per_cell(codes[images], patients, len(levels))
                hidden |= suppressed(cells, design.minimum_cell)
            numbers = np.array([available.mean(0), _shares(codes[drawn], len(levels)), shares])
            numbers[:, hidden] = np.nan
            lines += [
                (name, attribute, level, *column)
                for level, column in zip(levels, numbers.T, strict=True)
            ]
    return pd.DataFrame(lines, columns=BALANCE_COLUMNS)


def _shares(codes: np.ndarray, levels: int) -> np.ndarray:
    """Share of each level, float64 (levels,)."""
    counts = np.bincount(codes[codes >= 0], minlength=levels)
    return counts / max(counts.sum(), 1)
