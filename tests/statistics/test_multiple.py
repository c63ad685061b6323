"""Tests of equivalence and adjusted p-values against statsmodels'."""

from __future__ import annotations

import numpy as np
from scipy import stats
from statsmodels.stats.weightstats import ttost_ind

from cxrfmkd.statistics.multiple import adjusted, deviations, max_t, tost
from cxrfmkd.statistics.uncertainty import Errors, errors, seed_variance


def test_adjustment_leaves_blanks_out():
    p = np.array([0.01, np.nan, 0.03, 0.04])
    np.testing.assert_allclose(adjusted(p, "holm"), [0.03, np.nan, 0.06, 0.06])
    np.testing.assert_allclose(adjusted(p, "none"), p)
    assert np.isnan(adjusted(np.array([np.nan]), "fdr_by")).all()


def test_equivalence_is_that_of_two_one_sided_t_tests():
    """Statsmodels' `ttost_ind` with unequal variances is the oracle."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.1, 1, 12), rng.normal(0, 2, 9)
    difference = np.array(a.mean() - b.mean())
    seeds = [seed_variance(values) for values in (a, b)]
    above, within = tost(difference, 1.5, errors(np.zeros(20), *seeds).p_values)
    p, (_, p_above, _), _ = ttost_ind(a, b, -1.5, 1.5, usevar="unequal")
    np.testing.assert_allclose([above.item(), within.item()], [p_above, p])
    unknown = Errors(np.array(np.nan), np.inf, seeds[0])
    assert np.isnan(tost(difference, 1.5, unknown.p_values)).all()


def test_largest_deviations_adjust_as_sidak_where_tests_are_independent():
    rng = np.random.default_rng(2)
    p = np.array([0.001, 0.02, np.nan, 0.3])
    deviations = rng.normal(size=(200_000, 4))
    result = max_t(p, deviations)
    expected = [1 - (1 - 0.001) ** 3, 1 - (1 - 0.02) ** 2, np.nan, 0.3]
    np.testing.assert_allclose(result, expected, atol=0.004)


def test_tests_that_say_the_same_are_adjusted_as_one():
    """So that a finding tested over near-equal models costs little, where BY would pay for each."""
    rng = np.random.default_rng(3)
    p, deviations = np.full(10, 0.02), np.repeat(rng.normal(size=(50_000, 1)), 10, axis=1)
    np.testing.assert_allclose(max_t(p, deviations), 0.02, atol=0.003)
    assert (adjusted(p, "fdr_by") > 0.05).all()


def test_the_familywise_error_of_largest_deviations_is_five_percent():
    """Of 400 worlds of 12 correlated true nulls, 8 to 36 have any p below 0.05 (99.9 %)."""
    rng = np.random.default_rng(4)
    shape = np.linalg.cholesky(0.6 + 0.4 * np.eye(12)).T
    refused = 0
    for _ in range(400):
        p = 2 * stats.norm.sf(np.abs(rng.normal(size=12) @ shape))
        refused += (max_t(p, rng.normal(size=(400, 12)) @ shape) < 0.05).any()
    assert 8 <= refused <= 36


def test_a_replicate_without_a_value_leaves_the_others_their_deviations():
    draws = np.random.default_rng(0).normal(size=(200, 3))
    whole = deviations(draws)
    draws[7, 1] = np.nan
    result = deviations(draws)
    assert np.isnan(result[7, 1])
    others = np.delete(result, 7, 0)
    assert np.isfinite(others).all()
    np.testing.assert_array_equal(others[:, [0, 2]], np.delete(whole, 7, 0)[:, [0, 2]])
    left = np.delete(draws[:, 1], 7)
    expected = (left - left.mean()) / left.std(ddof=1)
    np.testing.assert_allclose(others[:, 1], expected, atol=1e-6)  # float32
