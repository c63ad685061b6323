"""Paired tests against scipy's, and their adjustment against statsmodels'."""

from __future__ import annotations

import numpy as np
from scipy import stats

from cxrfmkd.statistics.multiple import adjusted, standard_error, wald


def test_p_values_of_two_sets_of_seeds_are_welchs():
    a, b = (
        np.random.default_rng(0).normal(size=(5, 3)),
        np.random.default_rng(1).normal(size=(4, 3)) + 1,
    )
    error = np.sqrt(a.var(axis=0, ddof=1) / 5 + b.var(axis=0, ddof=1) / 4)
    result = wald(a.mean(axis=0) - b.mean(axis=0), error, a, b)
    np.testing.assert_allclose(result, stats.ttest_ind(a, b, equal_var=False).pvalue, rtol=1e-10)
    one = wald(np.array([1.0, 0.0]), np.array([0.5, 0.0]), a[:1, :2])
    np.testing.assert_allclose(one, [2 * stats.norm.sf(2), np.nan])


def test_adjustment_leaves_blanks_out():
    p = np.array([0.01, np.nan, 0.03, 0.04])
    np.testing.assert_allclose(adjusted(p, "holm"), [0.03, np.nan, 0.06, 0.06])
    np.testing.assert_allclose(adjusted(p, "none"), p)
    assert np.isnan(adjusted(np.array([np.nan]), "fdr_by")).all()


def test_standard_error_is_that_of_the_defined_replicates():
    values = np.random.default_rng(0).normal(size=(50, 2))
    values[:20, 0] = np.nan
    expected = [values[20:, 0].std(ddof=1), values[:, 1].std(ddof=1)]
    np.testing.assert_allclose(standard_error(values), expected)
