"""Small cells, and the cells from which they would follow."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from cxrfmkd.statistics.suppression import patients_per_cell, small, suppressed, with_complements


def test_patients_of_a_cell_are_counted_once_each():
    rng = np.random.default_rng(0)
    cells, patients = rng.integers(-1, 5, 300), rng.choice(["a", "b", "c", "d", "e", "f"], 300)
    frame = pd.DataFrame({"cell": cells, "patient": patients})
    expected = frame[frame.cell >= 0].groupby("cell").patient.nunique().reindex(range(7))
    assert patients_per_cell(cells, patients, 7).tolist() == expected.fillna(0).tolist()
    assert patients_per_cell(np.array([-1]), np.array(["a"]), 2).tolist() == [0, 0]
    assert patients_per_cell(np.array([], int), np.array([]), 1).tolist() == [0]


def test_cells_below_the_minimum_are_small_and_empty_ones_are_not():
    assert small([0, 1, 9, 10, 11], 10).tolist() == [False, True, True, False, False]
    assert not small([0, 1], 1).any()


@pytest.mark.parametrize(
    ("patients", "expected"),
    [
        ([50, 20, 30], [0, 0, 0]),
        ([50, 5, 30], [0, 1, 1]),  # 5 would follow from the total
        ([50, 5, 3], [0, 1, 1]),
        ([5, 0, 0], [1, 0, 0]),  # nothing to hide beside it: the total is small itself
        ([5, 30, 30], [1, 1, 0]),
        ([], []),
    ],
)
def test_a_small_cell_is_not_hidden_alone(patients, expected):
    assert suppressed(patients, 10).astype(int).tolist() == expected


def test_the_minimum_is_the_settings():
    assert suppressed([50, 5, 30], 5).tolist() == [False] * 3
    assert suppressed([50, 25, 30], 26).tolist() == [False, True, True]


def test_hidden_cells_of_a_cross_table_follow_from_no_total():
    """Two cells are hidden of every row and column with a hidden one, or all that has patients."""
    rng = np.random.default_rng(1)
    shape = (3, 4, 2)
    margins = [grid.ravel() for grid in np.indices(shape)]
    for _ in range(50):
        patients = rng.poisson(rng.choice([3, 30, 300], size=shape)).ravel()
        hidden = suppressed(patients, 10, *margins)
        assert hidden[small(patients, 10)].all()
        assert not hidden[patients == 0].any()
        for margin, total in itertools.chain(*([(m, t) for t in np.unique(m)] for m in margins)):
            members = margin == total
            few = (patients[members] > 0).sum() < 2
            assert few or hidden[members].sum() != 1


def test_cells_hidden_for_another_reason_get_a_complement_too():
    hidden = np.array([False, True, False])
    assert with_complements(hidden, [9, 50, 30]).tolist() == [True, True, False]
    assert hidden.tolist() == [False, True, False]
