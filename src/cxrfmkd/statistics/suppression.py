"""Small cells: numbers that rest on few patients are left blank, and so are those that tell them.

Cells are counted in patients, never in images. A count that is hidden alone among cells whose total
is published follows by subtraction, so the next smallest cell is hidden with it (complementary
suppression; Hundepool et al., Statistical Disclosure Control, 2012, chapter 4). An empty cell is
no secret.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def patients_per_cell(cells: np.ndarray, patients: np.ndarray, count: int) -> np.ndarray:
    """Number of patients with an image in each cell, int64 of shape (count,).

    cells: shape (n,), the cell of each image, from 0 to count - 1, negative for none. patients:
    shape (n,), each image's patient, any labels.
    """
    inside = np.asarray(cells) >= 0
    codes, labels = pd.factorize(np.asarray(patients)[inside])
    pairs = pd.unique(np.asarray(cells)[inside].astype(np.int64) * len(labels) + codes)
    return np.bincount(pairs // max(len(labels), 1), minlength=count)


def small(patients: np.ndarray, minimum: int) -> np.ndarray:
    """Whether cells have patients, but fewer than `minimum`; bool of the shape of `patients`."""
    patients = np.asarray(patients)
    return (patients > 0) & (patients < minimum)


def suppressed(patients: np.ndarray, minimum: int, *margins: np.ndarray) -> np.ndarray:
    """Which cells of a table are hidden: small ones, and those that would give them away.

    patients: shape (n,), patients in each cell. margins: for each division whose totals are
    published, shape (n,), the total that each cell adds to; the sum of all cells by default.
    Returns bool of shape (n,). Ties: the first.
    """
    patients = np.asarray(patients)
    return with_complements(small(patients, minimum), patients, *margins)


def with_complements(hidden: np.ndarray, patients: np.ndarray, *margins: np.ndarray) -> np.ndarray:
    """`hidden`, and the smallest shown cell of each total in which one alone is hidden.

    hidden: bool, shape (n,); patients, margins: as for `suppressed`. A copy is returned.
    """
    hidden, patients = np.array(hidden, bool), np.asarray(patients)
    totals = [
        np.flatnonzero(np.asarray(margin) == total)
        for margin in margins or [np.zeros(len(patients), int)]
        for total in np.unique(margin)
    ]
    before = -1
    while hidden.sum() != before:  # a cell hidden for one total may stand alone in another
        before = hidden.sum()
        for members in totals:
            shown = members[~hidden[members] & (patients[members] > 0)]
            if np.count_nonzero(hidden[members]) == 1 and len(shown):
                hidden[shown[patients[shown].argmin()]] = True
    return hidden
