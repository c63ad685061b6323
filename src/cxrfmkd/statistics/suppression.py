"""Small cells: numbers that rest on few patients are left blank, and so are those that tell them.

Cells are counted in patients, never in images. A count that is hidden alone among cells whose total
is published follows by subtraction, so the next smallest cell is hidden with it (complementary
suppression; Hundepool et al., Statistical Disclosure Control, 2012, chapter 4). An empty cell is
no secret. `protect` does so for tables that share cells and totals, `suppressed` for one alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

# Decimals of a rate whose denominator is hidden: any of many denominators could have given it.
COARSE = 2


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


class Relation(NamedTuple):
    """Counts of `members`, positions of cells, add up to that of the cell `total`.

    A total of -1 is no cell, and public in any case.
    """

    members: tuple[int, ...]
    total: int

    @property
    def terms(self) -> np.ndarray:
        """All cells that take part, int64."""
        return np.array([*self.members, *([self.total] if self.total >= 0 else [])], np.int64)


def protect(
    patients: np.ndarray,
    relations: Sequence[Relation],
    minimum: int,
    sensitive: np.ndarray | None = None,
    rank: np.ndarray | None = None,
) -> np.ndarray:
    """Which of the cells of all published tables are hidden, so that no small one can be computed.

    patients: shape (n,), patients in each cell. relations: what a reader knows of the counts.
    sensitive: shape (n,), cells that must be hidden where they are small; all by default. rank:
    shape (n,), the order in which cells are given up beside a small one, the lowest first. Returns
    bool of shape (n,).

    In every relation none or two of the terms are hidden, and together they hold `minimum` patients
    where their sum is known; then cells are added until the linear system of the hidden ones leaves
    none that must be hidden with a single solution.
    """
    patients = np.asarray(patients)
    secret = small(patients, minimum)
    if sensitive is not None:
        secret &= sensitive
    cover = _Cover(patients, relations, minimum, np.zeros(len(patients)) if rank is None else rank)
    hidden = secret.copy()
    while True:
        cover.close(hidden)
        before = hidden.sum()
        for cell in np.flatnonzero(secret & determined(hidden, relations)):
            cover.hide_beside(int(cell), hidden)
        if hidden.sum() == before:
            return hidden


class _Cover:
    """What is hidden beside hidden cells."""

    def __init__(
        self, patients: np.ndarray, relations: Sequence[Relation], minimum: int, rank: np.ndarray
    ) -> None:
        self.patients, self.relations, self.minimum, self.rank = patients, relations, minimum, rank
        self.terms = [relation.terms for relation in relations]
        self.of_cell: list[list[int]] = [[] for _ in patients]
        for i, terms in enumerate(self.terms):
            for cell in terms:
                self.of_cell[cell].append(i)

    def close(self, hidden: np.ndarray) -> None:
        """Hide, in place, another term where one is alone, or where all are too few together."""
        changed = True
        while changed:
            changed = False
            for relation, terms in zip(self.relations, self.terms, strict=True):
                out = int(hidden[terms].sum())
                if not out:
                    continue
                members = [i for i in relation.members if hidden[i]]
                known = relation.total < 0 or not hidden[relation.total]
                few = known and self.patients[members].sum() < self.minimum
                if out == 1 or few:
                    changed |= self._hide_one(terms, hidden)

    def hide_beside(self, cell: int, hidden: np.ndarray) -> None:
        """Hide, in place, one more term of the relations of a cell."""
        if self.of_cell[cell]:
            self._hide_one(np.concatenate([self.terms[i] for i in self.of_cell[cell]]), hidden)

    def _hide_one(self, terms: np.ndarray, hidden: np.ndarray) -> bool:
        """Hide the shown term that costs least; False if there is none."""
        shown = terms[~hidden[terms] & (self.patients[terms] > 0)]
        if len(shown):
            hidden[min(shown, key=lambda cell: self._cost(cell, hidden))] = True
        return len(shown) > 0

    def _cost(self, cell: int, hidden: np.ndarray) -> tuple[float, ...]:
        """Rank, relations in which it would be the only one to hide, and alone, and patients."""
        untouched = [self.terms[i] for i in self.of_cell[cell] if not hidden[self.terms[i]].any()]
        forced = sum((self.patients[terms] > 0).sum() <= 2 for terms in untouched)
        return self.rank[cell], forced, len(untouched), self.patients[cell]


def determined(hidden: np.ndarray, relations: Sequence[Relation]) -> np.ndarray:
    """Which hidden cells the shown ones determine: of one value in all solutions; bool (n,)."""
    unknown = np.flatnonzero(hidden)
    column = {int(cell): i for i, cell in enumerate(unknown)}
    rows = []
    for relation in relations:
        row = np.zeros(len(unknown))
        for sign, cells in ((1, relation.members), (-1, (relation.total,))):
            for cell in cells:
                if cell in column:
                    row[column[cell]] += sign
        if row.any():
            rows.append(row)
    result = np.zeros(len(hidden), bool)
    if rows:
        _, values, directions = np.linalg.svd(np.array(rows), full_matrices=True)
        rank = int((values > 1e-9 * values[0]).sum())
        result[unknown] = np.abs(directions[rank:]).max(axis=0, initial=0) < 1e-9
    return result
