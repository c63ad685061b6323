"""Intervals against numpy's quantiles, and where they are blank."""

from __future__ import annotations

import numpy as np
import pytest

from cxrfmkd.statistics.intervals import (
    central_interval,
    error_interval,
    percentile_interval,
)


def test_percentile_intervals_are_quantiles_of_what_is_defined():
    values = np.random.default_rng(3).normal(size=(101, 4, 2))
    values[:30, 0, 0] = np.nan
    values[:, 1, 1] = np.nan
    values[1:, 2, 1] = np.nan
    low, high = percentile_interval(values, 0.9)
    labelled = np.where(np.isnan(values).all(axis=0), 0, values)
    expected = np.nanquantile(labelled, [0.05, 0.95], axis=0)
    few = (~np.isnan(values)).sum(axis=0) < 2
    np.testing.assert_allclose(low, np.where(few, np.nan, expected[0]))
    np.testing.assert_allclose(high, np.where(few, np.nan, expected[1]))
    assert np.isnan(percentile_interval(values[:0], 0.9)).all()


def test_central_interval_is_numpys_of_the_defined_values():
    values = np.random.default_rng(4).normal(size=1000)
    assert central_interval(values) == tuple(np.quantile(values, [0.025, 0.975]))
    assert central_interval(np.r_[values, np.nan]) == central_interval(values)


def test_error_interval_is_wide_enough_for_the_share_of_errors_and_within_its_limits():
    errors = np.linspace(0, 0.2, 101)
    assert error_interval(0.5, errors, confidence=0.9) == pytest.approx((0.32, 0.68))
    assert error_interval(0.1, errors, high=0.25, confidence=0.9) == pytest.approx((0.0, 0.25))
    assert np.isnan(error_interval(0.5, np.array([]))).all()
    assert np.isnan(error_interval(0.5, np.array([0.1, np.nan]))).all()
    assert np.isnan(error_interval(np.nan, errors)).all()
