"""Intervals of gaps and distances: folded normal where it is known, and at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cxrfmkd.statistics.inversion import (
    ABSOLUTE,
    LARGER_RANGE,
    RANGE,
    ROOT_MEAN_SQUARE,
    invert,
)


def noise(parts, replicates=20_000, seed=0):
    return np.random.default_rng(seed).normal(size=(replicates, 1, parts))


def test_two_groups_far_apart_have_the_interval_of_their_difference():
    result = invert(RANGE, np.array([[0.0, 20.0]]), noise(2), 0.95)
    # 20,000 replicates know the quantile to 1 %.
    assert result.low.item() == pytest.approx(20 - 1.96 * np.sqrt(2), abs=0.1)
    assert result.high.item() == pytest.approx(20 + 1.96 * np.sqrt(2), abs=0.1)
    assert result.p.item() == pytest.approx(1 / 20_001)


def test_noise_alone_is_described_by_its_own_distribution():
    result = invert(RANGE, np.array([[0.0, 1.0]]), noise(2), 0.95)
    folded = stats.halfnorm(scale=np.sqrt(2))
    assert result.expected.item() == pytest.approx(folded.mean(), rel=0.02)
    assert result.square.item() == pytest.approx(2, rel=0.03)
    assert result.p.item() == pytest.approx(folded.sf(1.0), rel=0.02)


@pytest.mark.parametrize("kind", [RANGE, ABSOLUTE, ROOT_MEAN_SQUARE])
def test_zero_is_outside_if_and_only_if_the_test_is_significant(kind):
    rng = np.random.default_rng(1)
    estimates = rng.normal(size=(60, 4)) * rng.uniform(0, 3, (60, 1))
    result = invert(kind, estimates, rng.normal(size=(400, 60, 4)), 0.95)
    assert 10 < (result.p < 0.05).sum() < 50
    np.testing.assert_array_equal(result.low > 0, result.p < 0.05)


def test_an_interval_holds_its_estimate():
    rng = np.random.default_rng(2)
    estimates, moves = rng.normal(size=(50, 10)), rng.normal(size=(300, 50, 10))
    weights = np.full((50, 10), 0.1)
    result = invert(ABSOLUTE, estimates, moves, 0.95, weights)
    observed = np.abs(estimates).mean(axis=1)
    assert (result.low <= observed).all()
    assert (observed <= result.high).all()


def test_the_larger_of_two_ranges_is_that_of_the_larger():
    estimates, moves = np.array([[0.0, 9.0, 5.0, 5.5]]), noise(4)
    larger = invert(LARGER_RANGE, estimates, moves, 0.95)
    alone = invert(RANGE, estimates[:, :2], moves[..., :2], 0.95)
    assert larger.low.item() == pytest.approx(alone.low.item(), rel=1e-3)
    assert larger.high.item() == pytest.approx(alone.high.item(), rel=1e-3)


def test_each_half_keeps_its_parts_where_some_are_missing():
    nan, moves = np.nan, noise(6, 400)
    moves[..., 1] = moves[..., 0]  # a part twice is a part once
    whole = np.array([[0.7, 0.7, 0.8, 0.1, 0.5, 2.0]])
    gaps = np.array([[0.7, nan, 0.8, 0.1, 0.5, 2.0]])
    expected, found = (invert(LARGER_RANGE, of, moves, 0.95) for of in (whole, gaps))
    np.testing.assert_array_equal(np.array(found), np.array(expected))
    assert found.low.item() <= 1.9 <= found.high.item()


@pytest.mark.parametrize("missing", [(0, 1), (4, 5)])
def test_the_larger_of_two_ranges_needs_two_parts_of_either(missing):
    estimates = np.array([[0.7, 0.5, 0.8, 0.1, 0.5, 2.0]])
    estimates[:, missing] = np.nan
    assert np.isnan(np.array(invert(LARGER_RANGE, estimates, noise(6, 50), 0.95))).all()


def test_what_cannot_be_known_is_blank():
    one = invert(RANGE, np.array([[1.0, np.nan]]), noise(2, 50), 0.95)
    still = invert(RANGE, np.array([[1.0, 2.0]]), np.zeros((50, 1, 2)), 0.95)
    none = invert(RANGE, np.array([[1.0, 2.0]]), noise(2, 0), 0.95)
    assert np.isnan(np.concatenate([*one, *still, *none])).all()
    gap = noise(3, 50)
    gap[:, 0, 2] = np.nan
    absent = invert(RANGE, np.array([[1.0, 2.0, np.nan]]), gap, 0.95)
    assert np.isfinite(np.concatenate(absent)).all()
