"""Errors, intervals and p-values against scipy's where one part of the variance is alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cxrfmkd.statistics.uncertainty import (
    FEWEST_PATIENTS,
    Errors,
    SeedVariance,
    bounded_interval,
    errors,
    plain_interval,
    rate_interval,
    seed_variance,
    standard_error,
)


def sets(*sizes, shift=1.0):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(size, 3)) + shift * k for k, size in enumerate(sizes)]


def still(by_seed):
    """Replicates in which patients make no difference."""
    return np.tile(by_seed.mean(axis=0), (20, 1))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_seeds_alone_have_students_interval_and_p_value(seeds):
    (by_seed,) = sets(seeds)
    error = errors(still(by_seed), seed_variance(by_seed))
    expected = stats.ttest_1samp(by_seed, 0)
    interval = expected.confidence_interval(0.9)
    low, high = plain_interval(by_seed.mean(axis=0), error, 0.9)
    np.testing.assert_allclose(low, interval.low)
    np.testing.assert_allclose(high, interval.high)
    np.testing.assert_allclose(error.p_values(by_seed.mean(axis=0)), expected.pvalue, rtol=1e-9)


def test_two_sets_of_seeds_are_compared_as_welch_did():
    a, b = sets(5, 4)
    error = errors(still(a) - still(b), seed_variance(a), seed_variance(b))
    p = error.p_values(a.mean(axis=0) - b.mean(axis=0))
    np.testing.assert_allclose(p, stats.ttest_ind(a, b, equal_var=False).pvalue, rtol=1e-9)


def test_one_seed_has_the_error_over_patients_alone():
    values = np.random.default_rng(1).normal(size=(500, 2))
    error = errors(values, seed_variance(values[:1]))
    np.testing.assert_allclose(error.total, values[1:].std(axis=0, ddof=1))
    p = error.p_values(np.array([2.0, 0.5]))
    np.testing.assert_allclose(p, 2 * stats.norm.sf([2.0, 0.5] / error.total), rtol=1e-9)


def test_a_p_value_is_below_5_percent_where_the_interval_leaves_zero_out():
    rng = np.random.default_rng(2)
    spread = SeedVariance(rng.chisquare(1, 400), 1)
    error = Errors(np.ones(400), np.inf, spread)
    estimate = 3 * rng.normal(size=400)
    low, high = plain_interval(estimate, error, 0.95)
    outside = (low > 0) | (high < 0)
    assert 50 < outside.sum() < 350
    np.testing.assert_array_equal(error.p_values(estimate) < 0.05, outside)


def test_what_seeds_share_with_patients_is_counted_once():
    rng = np.random.default_rng(3)
    # Equal models whose images have noise of their own: all spread is that over patients.
    noise = rng.normal(size=(4000, 5, 1))
    by_seed, replicates = noise[0], noise
    within = replicates.var(axis=0, ddof=1).mean(axis=0)
    over_patients = replicates.mean(axis=1).var(axis=0, ddof=1)
    counted = [
        seed_variance(one, over_patients, within).variance.item()
        for one in rng.normal(size=(2000, 5, 1))
    ]
    twice = seed_variance(by_seed).variance.item()
    assert twice > 0
    # What a variance of five numbers exceeds 1 by, where it does, is left.
    excess = stats.chi2(4).expect(lambda x: max(x / 4 - 1, 0.0))
    assert np.mean(counted) * 5 == pytest.approx(excess, rel=0.15)  # 2,000 draws: 3 %, and noise


def test_few_patients_widen_and_too_few_leave_blank():
    values = np.random.default_rng(4).normal(size=(200, 3))
    patients = np.array([np.inf, 20, FEWEST_PATIENTS - 1])
    many, some, few = errors(values[:, :1].repeat(3, axis=1), patients=patients).half_width(0.95)
    quantile = stats.t.isf(0.025, 19) / stats.norm.isf(0.025)
    assert some == pytest.approx(many * quantile * np.sqrt(20 / 19))
    assert np.isnan(few)


def test_bounded_intervals_stay_within_their_bounds_and_are_blank_at_them():
    estimate = np.array([0.5, 0.99, 1.0])
    error = errors(estimate + 0.05 * np.random.default_rng(5).normal(size=(300, 1)))
    low, high = bounded_interval(estimate, error, 0.95)
    assert (low[:2] > 0).all()
    assert (high[:2] < 1).all()
    assert (low[:2] < estimate[:2]).all()
    assert (estimate[:2] < high[:2]).all()
    assert np.isnan([low[2], high[2]]).all()
    wide = bounded_interval(2 * estimate - 1, Errors(4 * error.patients, *vars_of(error)), 0.95, -1)
    np.testing.assert_allclose(wide[0][:2], 2 * low[:2] - 1)


def vars_of(error):
    return error.freedom, error.seeds


def test_a_rate_of_independent_patients_has_wilsons_interval():
    rng = np.random.default_rng(6)
    hits = np.array([30.0, 100.0, 0.0])
    values = np.vstack([hits / 100, rng.binomial(100, hits / 100, (50_000, 3)) / 100])
    low, high = rate_interval(values[0], errors(values), 0.95, np.full(3, 100))
    for k, hit in enumerate(hits):
        expected = stats.binomtest(int(hit), 100).proportion_ci(0.95, "wilson")
        # 50,000 replicates know the error to 0.3 %.
        assert low[k] == pytest.approx(expected.low, abs=0.002)
        assert high[k] == pytest.approx(expected.high, abs=0.002)


def test_standard_error_is_that_of_the_defined_replicates():
    values = np.random.default_rng(0).normal(size=(50, 2))
    values[:20, 0] = np.nan
    expected = [values[20:, 0].std(ddof=1), values[:, 1].std(ddof=1)]
    np.testing.assert_allclose(standard_error(values), expected)
