"""Effect sizes of group differences, with intervals that resample patients.

Unlike the score they do not grow with the number of images. D is the largest distance between the
two groups' distribution functions, W1 the area between them (Wasserstein's first distance) in
standard deviations of the mode, and Cliff's delta P(a > b) - P(a < b), so that (delta + 1) / 2 is
the area under the ROC curve.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cxrfmkd.runtime.threads import parallel_for

# Measures of effect size, and the least and largest value of each.
EFFECT_SIZES = {"D": (0.0, 1.0), "W1": (0.0, np.inf), "Cliff's delta": (-1.0, 1.0)}


def effect_sizes(
    values: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    patients: np.ndarray,
    draws: np.ndarray,
    weights: np.ndarray | None = None,
    unit: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Effect sizes of group `first` against group `second`, and how far off they may be.

    values: (n,) without NaN; first, second: bool (n,), disjoint; patients: int (n,), columns of
    `draws`; draws: from `statistics.draws.patient_counts`; weights: (n,) of the images, equal if
    left out; unit: what W1 is divided by, as a rule the mode's standard deviation.
    Returns the estimates, float64 (3,) in the order of EFFECT_SIZES, and each replicate's error
    for `statistics.intervals.error_interval`, (replicates, 3): for D the largest and for W1 the
    summed distance between the replicate's and the estimated difference of distribution functions,
    for Cliff's delta the distance itself. NaN where a group is empty.
    """
    arguments = _by_rising_value(values, first, second, patients, weights)
    images = len(arguments[0])
    gaps, zeros = np.zeros(images), np.zeros(images)
    estimate = np.empty((1, 3))
    _sweep(*arguments, np.ones((1, patients.max() + 1), np.int16), zeros, gaps, estimate)
    errors = np.empty((len(draws), 3))

    def work(start: int, stop: int) -> None:
        _sweep(*arguments, draws[start:stop], gaps, np.empty_like(gaps), errors[start:stop])

    parallel_for(work, len(draws), 50)
    scale = np.array([1.0, unit, 1.0])
    errors[:, 2] = abs(errors[:, 2] - estimate[0, 2])
    return estimate[0] / scale, errors / scale


def replicated_effects(
    values: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    patients: np.ndarray,
    draws: np.ndarray,
    weights: np.ndarray | None = None,
    unit: float = 1.0,
) -> np.ndarray:
    """The effect sizes themselves in the sample and in each replicate, float64 (1 + replicates, 3).

    Arguments as of `effect_sizes`. For differences between models: D and W1 of a replicate are
    biased upward, of two models on the same replicates much alike.
    """
    arguments = _by_rising_value(values, first, second, patients, weights)
    images = len(arguments[0])
    counts = np.vstack([np.ones((1, draws.shape[1]), draws.dtype), draws])
    zeros, result = np.zeros(images), np.empty((len(counts), 3))

    def work(start: int, stop: int) -> None:
        _sweep(*arguments, counts[start:stop], zeros, np.empty_like(zeros), result[start:stop])

    parallel_for(work, len(counts), 50)
    return result / np.array([1.0, unit, 1.0])


def _by_rising_value(
    values: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    patients: np.ndarray,
    weights: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What `_sweep` takes of the images of both groups: values, is_first, patients, weights."""
    rows = np.flatnonzero(first | second)
    rows = rows[np.argsort(values[rows], kind="stable")]
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    values = np.asarray(values, np.float64)
    return values[rows], first[rows], patients[rows].astype(np.int64), weights[rows]


@njit(cache=True, nogil=True)
def _sweep(values, is_first, patients, weights, draws, reference, gaps, out):
    """D, W1 and Cliff's delta of every draw; the first two of what the gaps exceed `reference` by.

    gaps: filled with the last draw's difference of the distribution functions at each value.
    """
    n = len(values)
    for draw in range(len(out)):
        drawn = draws[draw]
        total_a = total_b = 0.0
        for t in range(n):
            weight = weights[t] * drawn[patients[t]]
            if is_first[t]:
                total_a += weight
            else:
                total_b += weight
        if total_a <= 0 or total_b <= 0:
            out[draw] = np.nan
            continue
        a = b = before_a = before_b = widest = area = won = 0.0
        for t in range(n):
            weight = weights[t] * drawn[patients[t]]
            if is_first[t]:
                a += weight
            else:
                b += weight
            if t + 1 == n or values[t + 1] != values[t]:
                gaps[t] = a / total_a - b / total_b
                beyond = abs(gaps[t] - reference[t])
                widest = max(widest, beyond)
                if t + 1 < n:
                    area += beyond * (values[t + 1] - values[t])
                won += (a - before_a) * (before_b + b) / 2
                before_a, before_b = a, b
        out[draw, 0] = widest
        out[draw, 1] = area
        out[draw, 2] = 2 * won / (total_a * total_b) - 1
