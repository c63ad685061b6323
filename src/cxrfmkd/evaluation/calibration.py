"""Calibration: whether a predicted probability of 20 % is right in 20 % of images.

Bins hold equal weights of images, so that rare findings are not all in the first bin (Nixon 2019).
The expected calibration error is biased upward by noise within bins; the debiased root mean square
error takes that noise off (Kumar, Liang and Ma 2019).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numba import njit

from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics.intervals import basic_interval, percentile_interval
from cxrfmkd.vocabulary.findings import FINDINGS

MEASURES = ("brier", "brier_skill", "mean_error", "ece", "rmsce_debiased")
BINS = 10


def bins(probabilities: np.ndarray, weights: np.ndarray, count: int = BINS) -> np.ndarray:
    """Bin of each image, 0 to count - 1, by rising probability; bins hold about equal weights, no
    tie is cut.

    probabilities, weights: shape (n,). Returns int16, shape (n,).
    """
    order = np.argsort(probabilities, kind="stable")
    ranked = probabilities[order]
    below = np.r_[0.0, np.cumsum(weights[order])[:-1]]
    first = np.searchsorted(ranked, ranked, side="left")
    share = below[first] / max(weights.sum(), 1e-300)
    result = np.empty(len(order), np.int16)
    result[order] = np.minimum(share * count + 1e-9, count - 1)
    return result


@njit(nogil=True, cache=True, error_model="numpy")
def of_bins(weight, hits, predicted, squares, brier):
    """MEASURES from sums per bin: weight, weighted truth, weighted probability, squared weights; and the Brier sum."""
    total, positives, expected = weight.sum(), hits.sum(), predicted.sum()
    prevalence = positives / total
    ece = square = 0.0
    for b in range(len(weight)):
        if weight[b] > 0:
            gap, rate = (predicted[b] - hits[b]) / weight[b], hits[b] / weight[b]
            ece += weight[b] / total * abs(gap)
            size = weight[b] * weight[b] / squares[b]
            noise = rate * (1 - rate) / (size - 1) if size > 1 else gap * gap
            square += weight[b] / total * (gap * gap - noise)
    score, chance = brier / total, prevalence * (1 - prevalence)
    skill = 1 - score / chance if chance > 0 else np.nan
    return score, skill, (expected - positives) / total, ece, np.sqrt(max(square, 0.0))


@njit(nogil=True, cache=True, error_model="numpy")
def _read_off(out, curve, drawn, truth, probabilities, places):
    """Fill out[finding, measure] and curve[finding, bin], the observed shares; drawn: shape (1, n) or (f, n)."""
    n_bins = curve.shape[1]
    sums = np.empty((4, n_bins))
    for finding in range(truth.shape[0]):
        weights = drawn[min(finding, len(drawn) - 1)]
        sums[:] = 0.0
        brier = 0.0
        for i in range(len(weights)):
            if truth[finding, i] >= 0:
                place, weight, p = places[finding, i], weights[i], probabilities[finding, i]
                sums[0, place] += weight
                sums[1, place] += weight * truth[finding, i]
                sums[2, place] += weight * p
                sums[3, place] += weight * weight
                brier += weight * (p - truth[finding, i]) ** 2
        if sums[0].sum() > 0:
            values = of_bins(sums[0], sums[1], sums[2], sums[3], brier)
            for k in range(len(values)):
                out[finding, k] = values[k]
            for b in range(n_bins):
                curve[finding, b] = sums[1, b] / sums[0, b]


def replicate(
    sample: Sample, probabilities: np.ndarray, n_bins: int = BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Calibration of one model on the sample and on every replicate.

    probabilities: shape (n, f). Returns MEASURES, shape (1 + replicates, f, 5); the observed share
    of each bin, shape (1 + replicates, f, bins); the mean prediction of each bin on the sample
    itself, shape (f, bins).
    """
    n, findings = sample.truth.shape
    truth = np.where(np.isnan(sample.truth) | (sample.weights == 0)[:, None], -1, sample.truth)
    truth = np.ascontiguousarray(truth.T, np.int8)
    chances = np.ascontiguousarray(probabilities.T, np.float64)
    places = np.zeros((findings, n), np.int16)
    predicted = np.full((findings, n_bins), np.nan)
    for k in range(findings):
        known = np.flatnonzero(truth[k] >= 0)
        weights = sample.weights[known]
        places[k, known] = bins(chances[k, known], weights, n_bins)
        total = np.bincount(places[k, known], weights, n_bins)
        part = np.bincount(places[k, known], weights * chances[k, known], n_bins)
        np.divide(part, total, out=predicted[k], where=total > 0)
    shape = (1 + sample.replicates, findings)
    curve = np.full((*shape, n_bins), np.nan)
    out = np.full((*shape, len(MEASURES)), np.nan)

    def measure(replicate: int, drawn: np.ndarray) -> None:
        _read_off(out[replicate], curve[replicate], drawn, truth, chances, places)

    sample.each(measure)
    return out, curve, predicted


def calibration(truth, probabilities, weights=None, n_bins: int = BINS) -> np.ndarray:
    """MEASURES of every finding. truth, probabilities: shape (n, f); weights: (n,). Returns (f, 5)."""
    truth = np.asarray(truth, float)
    weights = np.ones(len(truth)) if weights is None else np.asarray(weights, float)
    everyone = np.zeros((len(truth), 1), np.int16)
    sample = Sample(truth, np.arange(len(truth)), weights, everyone)
    return replicate(sample, np.asarray(probabilities, float), n_bins)[0][0]


def table(
    values: np.ndarray, curve: np.ndarray, predicted: np.ndarray, confidence: float
) -> pd.DataFrame:
    """Measures, then the points of the reliability curve, of the mean over seeds.

    values, curve, predicted: as from `replicate`. Rows of the curve have metric "observed", the
    number of their bin and its mean prediction.
    """
    low, high = percentile_interval(values[1:], confidence)
    positive = [MEASURES.index(name) for name in ("ece", "rmsce_debiased")]
    low[:, positive], high[:, positive] = basic_interval(values[..., positive], confidence)
    measured = long(
        {"finding": list(FINDINGS), "metric": list(MEASURES)},
        bin=np.nan,
        predicted=np.nan,
        estimate=values[0],
        low=low,
        high=high,
    )
    low, high = percentile_interval(curve[1:], confidence)
    points = long(
        {"finding": list(FINDINGS), "metric": ["observed"], "bin": list(range(1, BINS + 1))},
        predicted=predicted[:, None],
        estimate=curve[0][:, None],
        low=low[:, None],
        high=high[:, None],
    )
    points = points[points.estimate.notna()]
    return pd.concat([measured.assign(bin=pd.NA), points], ignore_index=True)
