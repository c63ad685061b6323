"""Intervals from bootstrap replicates: percentile, central, and by the error."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from cxrfmkd.statistics.uncertainty import Errors, seed_variance


def percentile_interval(values: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval over the first axis, of the replicates for which a value is defined.

    values: shape (replicates, ...). Returns two arrays of shape (...), NaN where fewer than two are
    defined. One sort for all columns: `np.nanquantile` takes one column at a time.
    """
    ranked = np.sort(np.moveaxis(values, 0, -1), axis=-1)
    last = np.maximum((~np.isnan(ranked)).sum(-1, keepdims=True) - 1, 0)
    bounds = []
    for share in ((1 - confidence) / 2, (1 + confidence) / 2):
        if not values.shape[0]:
            bounds.append(np.full(values.shape[1:], np.nan))
            continue
        position = share * last
        below = np.floor(position).astype(int)
        low = np.take_along_axis(ranked, below, -1)
        high = np.take_along_axis(ranked, np.minimum(below + 1, last), -1)
        bound = low + (high - low) * (position - below)
        bounds.append(np.where(last > 0, bound, np.nan)[..., 0])
    return bounds[0], bounds[1]


def skipped_share(values: np.ndarray) -> np.ndarray:
    """Share of the replicates that an interval leaves out, since the value is undefined in them.

    values: (1 + replicates, ...), the estimate first. NaN without replicates or estimate.
    """
    if len(values) < 2:
        return np.full(values.shape[1:], np.nan)
    return np.where(np.isnan(values[0]), np.nan, np.isnan(values[1:]).mean(axis=0))


def deviation(values: np.ndarray) -> np.ndarray:
    """Standard deviation over the first axis, such as seeds; NaN for one alone."""
    return values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1:], np.nan)


def central_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """The central part of a distribution, of its values that are defined. values: shape (n,).

    numpy's quantiles, whose rounding differs from that of `percentile_interval` in the last digit.
    """
    tail = round((1 - confidence) / 2, 12)  # 0.025 of 0.95, without the rounding of 1 - 0.95
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


def error_interval(
    estimate: float,
    errors: np.ndarray,
    low: float = 0.0,
    high: float = np.inf,
    confidence: float = 0.95,
    by_seed: np.ndarray | None = None,
) -> tuple[float, float]:
    """The estimate plus and minus the quantile of its errors, within `low` and `high`.

    errors: shape (replicates,), at least 0: how far each replicate is off. by_seed: shape (seeds,),
    the values that the estimate is the mean of; their variance widens the interval. NaN without
    replicates, or where half of them or more have no value. Where an error bounds how far a
    distance between distributions can be off, the interval also covers no distance, which a
    percentile interval always misses.
    """
    defined = errors[~np.isnan(errors)]
    if len(defined) * 2 <= len(errors) or np.isnan(estimate):
        return np.nan, np.nan
    width = np.quantile(defined, confidence)
    if by_seed is not None and len(by_seed) > 1:
        over_patients = np.asarray((width / norm.isf((1 - confidence) / 2)) ** 2)
        width = Errors(over_patients, np.inf, seed_variance(by_seed)).half_width(confidence)
    return float(max(estimate - width, low)), float(min(estimate + width, high))
