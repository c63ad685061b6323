"""Intervals of the evaluation's numbers, each on the scale on which its errors are about normal."""

from __future__ import annotations

import numpy as np

from cxrfmkd.statistics.uncertainty import (
    Errors,
    SeedVariance,
    bounded_interval,
    errors,
    plain_interval,
    rate_interval,
    seed_variance,
    standard_error,
)
from cxrfmkd.study.settings import Findings
from cxrfmkd.vocabulary.metrics import METRICS

Bounds = tuple[np.ndarray, np.ndarray]

NORMAL = 1.959964  # the quantile that leaves 2.5 % above
FEWEST_MISSES = 5  # patients with the finding below the threshold, for a rate close to 1
FEWEST_OF_MEMBERS = 5  # patients with, and without, each finding of an average


def patients_of_rows(
    with_finding: np.ndarray, without: np.ndarray, findings: Findings
) -> tuple[np.ndarray, np.ndarray]:
    """Patients with and without each finding, followed by those of the averages, (rows,).

    An average rests on any number of patients, infinite, but for one with a member of fewer than
    FEWEST_OF_MEMBERS: replicates that still have the member hardly vary it, and the average has the
    member's patients, too few for an interval.
    """
    rarest = np.minimum(with_finding, without).astype(float)
    averages = []
    for members in findings.means.values():
        counts = rarest[[findings.names.index(name) for name in members]]
        fewest = counts[counts > 0].min(initial=np.inf)
        averages.append(np.inf if fewest >= FEWEST_OF_MEMBERS else fewest)
    return np.r_[with_finding, averages], np.r_[without, averages]


def metric_bounds(
    values: np.ndarray,
    seeds: SeedVariance,
    positives: np.ndarray,
    negatives: np.ndarray,
    confidence: float,
    target_fpr: float,
) -> Bounds:
    """Intervals of METRICS, the last axis of `values`, whose first axis has the sample first.

    positives, negatives: patients with and without the finding, of shape (...) without that axis,
    of averages as from `patients_of_rows`. Blank where too few patients bear an interval, and for
    the largest Youden's J: a maximum over thresholds takes noise for height, and no interval of it
    that was tried covers where a finding is rare.
    """
    fewest = np.minimum(positives, negatives)[..., None]
    error = errors(values, seeds, patients=np.broadcast_to(fewest, values.shape[1:]))
    estimate = values[0]
    largest, at_target = METRICS.index("youden_j_max"), METRICS.index("youden_j_at_fpr20")
    low, high = bounded_interval(estimate, error, confidence)
    bounds = bounded_interval(estimate, error, confidence, -1.0, 1.0)
    with np.errstate(invalid="ignore"):
        misses = positives * (1 - target_fpr - estimate[..., at_target])
    for result, bound in zip((low, high), bounds, strict=True):
        of_target = bound[..., at_target]
        result[..., at_target] = np.where(misses < FEWEST_MISSES, np.nan, of_target)
        result[..., largest] = np.nan
    return low, high


def youden_bounds(tpr: np.ndarray, of_tpr: Bounds, fpr: np.ndarray, of_fpr: Bounds) -> Bounds:
    """Of a difference of two independent rates, from both rates' intervals (Newcombe 1998)."""
    difference = tpr - fpr
    return (
        difference - np.hypot(tpr - of_tpr[0], of_fpr[1] - fpr),
        difference + np.hypot(of_tpr[1] - tpr, fpr - of_fpr[0]),
    )


def rate_bounds(
    values: np.ndarray, by_seed: np.ndarray, patients: np.ndarray, confidence: float
) -> Bounds:
    """Of a share among `patients`, shape (...). values: (1 + replicates, ...), the sample first."""
    error = errors(values, seed_variance(by_seed))
    return rate_interval(values[0], error, confidence, patients)


def share_bounds(
    values: np.ndarray, by_seed: np.ndarray, patients: np.ndarray, confidence: float
) -> Bounds:
    """Of a number between 0 and 1 that is no share among known patients; arrays as above."""
    error = errors(values, seed_variance(by_seed), patients=patients)
    return bounded_interval(values[0], error, confidence)


def plain_bounds(
    values: np.ndarray, by_seed: np.ndarray, patients: np.ndarray, confidence: float
) -> Bounds:
    """Of a number without bounds; arrays as above."""
    error = errors(values, seed_variance(by_seed), patients=patients)
    return plain_interval(values[0], error, confidence)


def noise(values: np.ndarray, by_seed: np.ndarray, error: Errors, seed: int) -> np.ndarray:
    """Replicates' deviations from the sample, over patients and seeds. (replicates, ...).

    by_seed: (seeds, ...); their deviations are mixed with normal shares, so that groups and bins
    keep their correlations. Both parts are as wide as `error` takes them for, at 95 %.
    """
    drawn = values[1:] - values[:1]
    patients = Errors(error.patients, error.freedom, SeedVariance(0 * error.patients, np.inf))
    with np.errstate(invalid="ignore", divide="ignore"):
        raw = standard_error(drawn) * NORMAL
        drawn = drawn * np.where(raw > 0, patients.half_width(0.95) / raw, 1.0)
        if len(by_seed) > 1:
            of_seeds = np.sqrt(error.half_width(0.95) ** 2 - patients.half_width(0.95) ** 2)
            apart = by_seed - by_seed.mean(axis=0)
            spread = np.sqrt((apart**2).sum(axis=0)) * NORMAL
            apart = apart * np.where(spread > 0, of_seeds / spread, 0.0)
            shares = np.random.default_rng(seed).normal(size=(len(drawn), len(by_seed)))
            drawn = drawn + np.tensordot(shares, apart, 1)
    return drawn
