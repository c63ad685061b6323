"""Intervals from bootstrap replicates: percentile, basic, central, and by the error."""

from __future__ import annotations

import numpy as np


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


def estimate_columns(values: np.ndarray, confidence: float) -> dict[str, np.ndarray]:
    """Columns estimate, low and high. values: (1 + replicates, ...), the estimate first."""
    low, high = percentile_interval(values[1:], confidence)
    return {"estimate": values[0], "low": low, "high": high}


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


def basic_interval(values: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Basic bootstrap interval of a quantity that cannot be negative; values[0] is the estimate.

    Reflecting the percentiles takes the upward bias off, where the percentile interval would double
    it.
    """
    low, high = percentile_interval(values[1:], confidence)
    return np.maximum(2 * values[0] - high, 0), np.maximum(2 * values[0] - low, 0)


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
) -> tuple[float, float]:
    """The estimate plus and minus the quantile of its errors, within `low` and `high`.

    errors: shape (replicates,), at least 0: how far each replicate is off. NaN without replicates,
    or where half of them or more have no value. Where an error bounds how far a distance between
    distributions can be off, the interval also covers no distance, which a percentile interval
    always misses.
    """
    defined = errors[~np.isnan(errors)]
    if len(defined) * 2 <= len(errors) or np.isnan(estimate):
        return np.nan, np.nan
    width = np.quantile(defined, confidence)
    return float(max(estimate - width, low)), float(min(estimate + width, high))
