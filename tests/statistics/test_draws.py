"""Draws of the bootstrap: their shapes, sums and seeds (the rest: evaluation/test_bootstrap)."""

from __future__ import annotations

import numpy as np

from cxrfmkd.statistics.draws import multinomial_counts, patient_counts, strata


def test_strata_of_a_finding_without_labels_are_empty():
    table = strata(np.full((5, 1), np.nan), np.ones(5))
    assert table.ends.tolist() == [[0, 0]]
    assert table.rows.tolist() == [[0, 0]]


def test_counts_sum_to_the_draws_and_depend_on_the_seed_alone():
    for counts in (patient_counts, multinomial_counts):
        drawn = counts(7, 50, 3)
        assert drawn.shape == (50, 7)
        assert (drawn.sum(axis=1) == 7).all()
        assert np.array_equal(drawn, counts(7, 50, 3))
        assert not np.array_equal(drawn, counts(7, 50, 4))
    assert (multinomial_counts(7, 50, [3, 1], 2).sum(axis=1) == 2).all()
