"""Calibration: whether a predicted probability of 20 % is right in 20 % of images.

Bins hold equal weights of images, so that rare findings are not all in the first bin (Nixon 2019).
The expected calibration error is biased upward by noise within bins; the debiased root mean square
error takes that noise off (Kumar, Liang and Ma 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numba import njit

from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.evaluation.intervals import Bounds, plain_bounds, share_bounds
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics.inversion import ABSOLUTE, ROOT_MEAN_SQUARE, invert
from cxrfmkd.statistics.sweep import LANES, Drawn
from cxrfmkd.statistics.uncertainty import FEWEST_PATIENTS, errors, seed_variance
from cxrfmkd.vocabulary.findings import FINDINGS

CALIBRATION_MEASURES = ("brier", "brier_skill", "mean_error", "ece", "rmsce_debiased")
BINS = 10


class Calibration(NamedTuple):
    """Calibration of one model on the sample (first) and its replicates.

    measures: CALIBRATION_MEASURES, shape (1 + replicates, f, 5). observed: the share of each bin
    with the finding, shape (1 + replicates, f, bins). predicted: mean probability of each bin on
    the sample itself, shape (1, f, bins). gaps: mean probability less observed share of each bin,
    shape (1 + replicates, f, bins). shares: of the weight in each bin on the sample, (f, bins).
    """

    measures: np.ndarray
    observed: np.ndarray
    predicted: np.ndarray
    gaps: np.ndarray
    shares: np.ndarray


def equal_weight_bins(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Bin of each image, 0 to BINS - 1, by rising probability; no tie is cut.

    probabilities, weights: shape (n,). Returns int16, shape (n,).
    """
    order = np.argsort(probabilities, kind="stable")
    ranked = probabilities[order]
    below = np.r_[0.0, np.cumsum(weights[order])[:-1]]
    first = np.searchsorted(ranked, ranked, side="left")
    share = below[first] / max(weights.sum(), 1e-300)
    result = np.empty(len(order), np.int16)
    result[order] = np.minimum(share * BINS + 1e-9, BINS - 1)
    return result


@njit(nogil=True, cache=True, error_model="numpy")
def _measures_of_bins(weight, hits, predicted, squares, brier):
    """CALIBRATION_MEASURES from sums per bin, and the sum of squared errors `brier`.

    weight, hits, predicted, squares: sums of weights, of weighted targets and probabilities, and of
    squared weights.
    """
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
def _measure(out, observed, gaps, drawn, targets, probabilities, bins):
    """Fill out[replicate, finding, measure], observed and gaps[replicate, finding, bin].

    drawn: of these replicates. targets, probabilities, bins: (f, n).
    """
    n_bins, lanes = observed.shape[2], drawn.counts.shape[2]
    # Of each bin: weights, those with the finding, weighted probabilities, squared weights; and of
    # all images squared errors. A row each, so that additions to one are vector instructions.
    sums, brier = np.empty((4, n_bins, lanes)), np.empty(lanes)
    for finding in range(len(targets)):
        counts = drawn.counts[min(finding, len(drawn.counts) - 1)]
        sums[:], brier[:] = 0.0, 0.0
        for i in range(targets.shape[1]):
            target, weight = targets[finding, i], np.float64(drawn.weights[i])
            if target < 0 or weight == 0:
                continue
            p, unit = probabilities[finding, i], counts[drawn.units[i]]
            of_bin = sums[:, bins[finding, i]]
            _add_image(of_bin[0], unit, weight)
            if target > 0:
                _add_image(of_bin[1], unit, weight)
            _add_image(of_bin[2], unit, weight * p)
            _add_squares(of_bin[3], unit, weight)
            _add_image(brier, unit, weight * (p - target) ** 2)
        for lane in range(len(out)):
            weight, hits, predicted, squares = sums[:, :, lane]
            if weight.sum() > 0:
                values = _measures_of_bins(weight, hits, predicted, squares, brier[lane])
                for k in range(len(values)):
                    out[lane, finding, k] = values[k]
                for b in range(n_bins):
                    observed[lane, finding, b] = hits[b] / weight[b]
                    gaps[lane, finding, b] = (predicted[b] - hits[b]) / weight[b]


@njit(nogil=True, cache=True)
def _add_image(sums, counts, value):
    """Add `value` to the sum of every replicate as often as the image is drawn."""
    for lane in range(LANES):
        sums[lane] += counts[lane] * value


@njit(nogil=True, cache=True)
def _add_squares(sums, counts, weight):
    """Add the square of the image's weight to the sum of every replicate."""
    for lane in range(LANES):
        drawn = counts[lane] * weight
        sums[lane] += drawn * drawn


class CalibrationOfModel:
    """Calibration of one model, which calls for blocks of replicates fill.

    probabilities: shape (n, f). result: of the sample and its replicates.
    """

    def __init__(self, sample: Sample, probabilities: np.ndarray) -> None:
        n, findings = sample.targets.shape
        left_out = np.isnan(sample.targets) | (sample.weights == 0)[:, None]
        self._targets = np.where(left_out, -1, sample.targets).T.astype(np.int8)
        self._chances = np.ascontiguousarray(probabilities.T, np.float64)
        self._bins = np.zeros((findings, n), np.int16)
        predicted, shares = np.full((1, findings, BINS), np.nan), np.zeros((findings, BINS))
        for k in range(findings):
            labelled = np.flatnonzero(self._targets[k] >= 0)
            weights, chances = sample.weights[labelled], self._chances[k, labelled]
            bin_ = self._bins[k, labelled] = equal_weight_bins(chances, weights)
            total = np.bincount(bin_, weights, BINS)
            weighted = np.bincount(bin_, weights * chances, BINS)
            np.divide(weighted, total, out=predicted[0, k], where=total > 0)
            shares[k] = total / max(total.sum(), 1e-300)
        observed, gaps, measures = (
            np.full((1 + sample.replicates, findings, size), np.nan)
            for size in (BINS, BINS, len(CALIBRATION_MEASURES))
        )
        self.result = Calibration(measures, observed, predicted, gaps, shares)

    def __call__(self, start: int, stop: int, drawn: Drawn) -> None:
        """Measure the replicates from `start` to `stop`."""
        result = self.result
        out, observed, gaps = (
            of[start:stop] for of in (result.measures, result.observed, result.gaps)
        )
        _measure(out, observed, gaps, drawn, self._targets, self._chances, self._bins)


def calibrate(sample: Sample, probabilities: np.ndarray) -> Calibration:
    """Calibration of one model on the sample and its replicates. probabilities: shape (n, f)."""
    calibration = CalibrationOfModel(sample, probabilities)
    sample.for_each_block(calibration)
    return calibration.result


def calibration_table(
    calibration: Calibration,
    by_seed: Calibration,
    patients: np.ndarray,
    confidence: float,
    findings: Sequence[str] = FINDINGS,
) -> pd.DataFrame:
    """Measures, then the points of the reliability curve, of the mean over seeds.

    by_seed: arrays with seeds as first axis. patients: shape (f,), the fewer of those with and
    without each finding. Rows of the curve have metric "observed", the number of their bin and its
    mean prediction.
    """
    values, fewest = calibration.measures, np.broadcast_to(patients[:, None], (len(patients), 5))
    low, high = plain_bounds(values, by_seed.measures, fewest, confidence)
    brier = CALIBRATION_MEASURES.index("brier")
    arguments = by_seed.measures[..., brier], patients, confidence
    low[:, brier], high[:, brier] = share_bounds(values[..., brier], *arguments)
    for name, kind in (("ece", ABSOLUTE), ("rmsce_debiased", ROOT_MEAN_SQUARE)):
        k = CALIBRATION_MEASURES.index(name)
        spread = values[..., k], by_seed.measures[..., k]
        low[:, k], high[:, k] = distance_bounds(kind, *spread, by_seed, patients, confidence)
    columns = {"estimate": values[0], "low": low, "high": high}
    measured = long({"finding": findings, "metric": CALIBRATION_MEASURES}, **columns)
    in_bin = np.broadcast_to(patients[:, None], calibration.observed.shape[1:])
    low, high = share_bounds(calibration.observed, by_seed.observed, in_bin, confidence)
    points = long(
        {"finding": findings, "bin": list(range(1, BINS + 1))},
        metric=np.array("observed"),
        predicted=calibration.predicted[0],
        estimate=calibration.observed[0],
        low=low,
        high=high,
    )
    points = points[points.estimate.notna()]
    return pd.concat([measured.assign(bin=pd.NA, predicted=np.nan), points], ignore_index=True)


def distance_bounds(
    kind: int,
    values: np.ndarray,
    of_seeds: np.ndarray,
    by_seed: Calibration,
    patients: np.ndarray,
    confidence: float,
) -> Bounds:
    """Intervals of a mean distance of the reliability curve from the diagonal, shape (f,).

    kind: as for `invert`. values: (1 + replicates, f), of_seeds: (seeds, f), the distance itself.
    Over patients by inversion, of all seeds' bins at once; what seeds add is added in quadrature.
    """
    seeds, _, findings, bins = by_seed.gaps.shape
    parts = np.moveaxis(by_seed.gaps, 0, 2).reshape(-1, findings, seeds * bins)
    shares = np.moveaxis(by_seed.shares, 0, 1).reshape(findings, seeds * bins) / seeds
    inverted = invert(kind, parts[0], parts[1:] - parts[:1], confidence, shares)
    error = errors(values, seed_variance(of_seeds))
    alone = errors(values)
    added = np.sqrt(error.half_width(confidence) ** 2 - alone.half_width(confidence) ** 2)
    estimate = values[0]
    low = np.maximum(estimate - np.hypot(np.maximum(estimate - inverted.low, 0), added), 0)
    high = estimate + np.hypot(np.maximum(inverted.high - estimate, 0), added)
    known = patients >= FEWEST_PATIENTS
    return np.where(known, low, np.nan), np.where(known, high, np.nan)
