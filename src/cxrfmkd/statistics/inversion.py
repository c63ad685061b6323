"""Intervals of quantities that cannot be negative and that noise makes larger.

The largest gap between groups, or the mean distance of a calibration curve from the diagonal, is
positive even where the truth is 0. Percentile and basic intervals then miss: the first doubles the
upward bias, the second takes it off where there is none. Here a value t is in the interval if the
observed quantity is no surprise where t is true: each candidate's distribution is that of the
estimates, moved so that their quantity is t, plus the replicates' noise. Of the tolerated error
none lies below at t = 0 and half far from it, so that 0 is outside if and only if the one-sided
test of no gap is significant at the same level (in the manner of Feldman and Cousins 1998).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cxrfmkd.statistics.searching import count_below

RANGE, LARGER_RANGE, ABSOLUTE, ROOT_MEAN_SQUARE = range(4)
STEPS = 14  # halvings of an interval for a bound: to a few ten-thousandths of the quantity


class Inversion(NamedTuple):
    """Arrays of shape (cells,), NaN where there is no noise or no quantity.

    low, high: of the interval. expected, square: mean of the quantity, and of its square, where
    nothing but noise makes it. p: share of the noise that makes at least the observed quantity.
    """

    low: np.ndarray
    high: np.ndarray
    expected: np.ndarray
    square: np.ndarray
    p: np.ndarray


def invert(
    kind: int,
    estimates: np.ndarray,
    noise: np.ndarray,
    confidence: float,
    weights: np.ndarray | None = None,
) -> Inversion:
    """Intervals of a quantity of the last axis of `estimates`, and its test.

    kind: RANGE, largest minus smallest; LARGER_RANGE, the larger one of the first and the second
    half of the parts, each with two or more that are there; ABSOLUTE, weighted sum of absolute
    values; ROOT_MEAN_SQUARE, root of the weighted sum of squares. estimates: shape (cells, parts),
    NaN for a part that is not there. noise: (replicates, cells, parts), replicates less what they
    replicate. weights: as estimates. Replicates in which a part is undefined are left out.
    """
    estimates = np.ascontiguousarray(estimates, np.float64)
    weights = np.ones_like(estimates) if weights is None else np.asarray(weights, np.float64)
    out = np.full((len(estimates), len(Inversion._fields)), np.nan)
    for cell, (centre, share) in enumerate(zip(estimates, weights, strict=True)):
        there = ~np.isnan(centre)
        half = int(there[: len(centre) // 2].sum())
        fewest = min(half, there.sum() - half) if kind == LARGER_RANGE else there.sum()
        if fewest < (2 if kind in (RANGE, LARGER_RANGE) else 1):
            continue
        moves = np.ascontiguousarray(noise[:, cell][:, there])
        moves = moves[~np.isnan(moves).any(axis=1)]
        if len(moves) > 1:
            null = np.sort(_null(kind, half, moves, share[there]))
            alpha = 1 - confidence
            _invert(out[cell], kind, half, centre[there], moves, null, alpha, share[there])
    return Inversion(*out.T)


@njit(nogil=True, cache=True)
def _range(centre, scale, noise, r, first, last):
    """Largest minus smallest of scale * centre + noise[r], of the parts from first to last."""
    least = most = scale * centre[first] + noise[r, first]
    for i in range(first + 1, last):
        value = scale * centre[i] + noise[r, i]
        least, most = min(least, value), max(most, value)
    return most - least


@njit(nogil=True, cache=True)
def _quantity(kind, half, centre, scale, noise, r, weights):
    """The quantity of scale * centre + noise[r]; half: how many parts the first half has."""
    parts = len(centre)
    if kind == LARGER_RANGE:
        first = _range(centre, scale, noise, r, 0, half)
        return max(first, _range(centre, scale, noise, r, half, parts))
    if kind == RANGE:
        return _range(centre, scale, noise, r, 0, parts)
    total = 0.0
    for i in range(parts):
        value = scale * centre[i] + noise[r, i]
        total += weights[i] * (abs(value) if kind == ABSOLUTE else value * value)
    return total if kind == ABSOLUTE else np.sqrt(total)


@njit(nogil=True, cache=True)
def _reaches(kind, half, shapes, size, noise, weights, observed, above, needed):
    """Whether at least this share of the noise takes the quantity to the observed one, or beyond.

    shapes: of the estimates, of which one suffices, each scaled so that its quantity is `size`.
    above: beyond is above it, else below.
    """
    slack = 1e-12 * (1 + observed)
    for shape in shapes:
        count = 0
        for r in range(len(noise)):
            value = _quantity(kind, half, shape, size, noise, r, weights)
            count += value >= observed - slack if above else value <= observed + slack
            if count / len(noise) >= needed:
                return True
    return False


@njit(nogil=True, cache=True)
def _null(kind, half, noise, weights):
    """The quantity of noise alone, in each replicate."""
    origin, null = np.zeros(noise.shape[1]), np.empty(len(noise))
    for r in range(len(noise)):
        null[r] = _quantity(kind, half, origin, 1.0, noise, r, weights)
    return null


@njit(nogil=True, cache=True)
def _invert(out, kind, half, centre, noise, null, alpha, weights):
    """Fill one cell's low, high, expected, square and p; null: `_null`, rising."""
    still = np.zeros((1, len(centre)))
    observed = _quantity(kind, half, centre, 1.0, still, 0, weights)
    if null[-1] <= 0.0:
        return
    p = (1 + (null >= observed - 1e-12).sum()) / (1 + len(null))
    shapes = _shapes(kind, half, centre, noise, weights, observed)
    low, high = 0.0, observed
    if p < alpha:
        for _ in range(STEPS):
            middle = (low + high) / 2
            below = alpha / 2 * count_below(null, middle, True) / len(null)
            needed = alpha - below
            reached = _reaches(kind, half, shapes, middle, noise, weights, observed, True, needed)
            low, high = (low, middle) if reached else (middle, high)
        low = high
    least, most = observed, observed + 2 * null[-1]
    for _ in range(STEPS):
        middle = (least + most) / 2
        below = alpha / 2 * count_below(null, middle, True) / len(null)
        upper = shapes[:1] if kind in (RANGE, LARGER_RANGE) else shapes
        reached = _reaches(kind, half, upper, middle, noise, weights, observed, False, below)
        least, most = (middle, most) if reached else (least, middle)
    out[0], out[1], out[4] = low, least, p
    out[2], out[3] = null.mean(), (null**2).mean()


@njit(nogil=True, cache=True)
def _shapes(kind, half, centre, noise, weights, observed):
    """Estimates whose quantity is 1: as they are, and as they would be if some of it were noise.

    Of a range, also one part apart from all others; of a mean distance, also no part but those that
    stand clear of noise, and all parts alike.
    """
    still = np.zeros((1, len(centre)))
    shapes = np.zeros((3, len(centre)))
    shapes[0, 0] = 1.0
    if observed > 0:
        for i in range(len(centre)):
            shapes[0, i] = centre[i] / observed
    if kind in (RANGE, LARGER_RANGE):
        first, last = 0, len(centre)
        if kind == LARGER_RANGE:
            one = _range(centre, 1.0, still, 0, 0, half)
            other = _range(centre, 1.0, still, 0, half, last)
            first, last = (0, half) if one >= other else (half, last)
        shapes[1, first + centre[first:last].argmax()] = 1.0
        shapes[2, first + centre[first:last].argmin()] = -1.0
        return shapes
    clear = np.empty(len(centre))
    for i in range(len(centre)):
        clear[i] = abs(centre[i]) / (noise[:, i].std() + 1e-300)
    for i in range(len(centre)):
        if clear[i] > 2.0 or clear[i] == clear.max():
            shapes[1, i] = centre[i]
    shapes[2] = 1.0
    for k in range(3):
        size = _quantity(kind, half, shapes[k], 1.0, still, 0, weights)
        if size > 0:
            shapes[k] /= size
    return shapes
