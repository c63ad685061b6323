"""The study's four metrics, weighted, from one sort per finding.

Average precision, area under the ROC curve, maximum Youden's J, and J at a target false-positive
rate (method, section 6.1). A weight counts an image as that many rows: whole weights give what
scikit-learn gives on duplicated rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cxrfmkd.evaluation.bootstrap import Measurement, Sample
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.statistics.ranking import rank
from cxrfmkd.statistics.sweep import POSITIVE, TIED
from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS


def checked(
    targets: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three as float64 of shapes (n, f), (n, f), (n,), or InputError that says what is bad."""
    targets = np.atleast_2d(np.asarray(targets, np.float64).T).T
    scores = np.atleast_2d(np.asarray(scores, np.float64).T).T
    weights = np.ones(len(targets)) if weights is None else np.asarray(weights, np.float64)
    if targets.shape != scores.shape or weights.shape != targets.shape[:1]:
        raise InputError(
            f"targets {targets.shape}, scores {scores.shape} and weights {weights.shape} do not "
            "have the same rows and columns."
        )
    if strange := np.unique(targets[(targets != 0) & (targets != 1) & ~np.isnan(targets)]).tolist():
        raise InputError(f"the truth must be 0, 1 or missing; found {strange[:5]}.")
    if bad := int((~np.isfinite(scores)).sum()):
        raise InputError(f"{bad} scores are not finite; leave such rows out or score them.")
    if bad := int((~np.isfinite(weights) | (weights < 0)).sum()):
        raise InputError(f"{bad} weights are negative or not finite; a weight counts rows.")
    return targets, scores, weights


def metrics_of(
    targets: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None, target_fpr: float = 0.2
) -> np.ndarray:
    """The four METRICS of every finding.

    targets: shape (n,) or (n, f), 0, 1 or NaN (left out). scores: same shape, any monotone scale.
    weights: shape (n,), not negative; one each by default.
    Returns float64 of shape (f, 4); NaN where a finding has weight in one class only.
    """
    return metrics_and_thresholds(targets, scores, weights, target_fpr)[0]


def metrics_and_thresholds(
    targets: ArrayLike, scores: ArrayLike, weights: ArrayLike | None, target_fpr: float
) -> tuple[np.ndarray, np.ndarray]:
    """`metrics_of` every finding, and the score at the vertex of the last metric, shape (f,).

    "At least this score" is then the call for a finding (method, section 6.1). Infinity at the
    origin, NaN with one class only.
    """
    targets, scores, weights = checked(targets, scores, weights)
    everyone = np.zeros((len(targets), 1), np.int16)
    sample = Sample(targets, np.zeros(len(targets)), weights, everyone)
    measurement = Measurement(sample, scores, target_fpr=target_fpr)
    sample.for_each_block(measurement)
    return measurement.measures.metrics[0, :, :, 0].T, measurement.thresholds


def curve(
    targets: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Falling thresholds and the weight of positives and negatives that score at least as much.

    targets, scores, weights: shape (n,). One entry per distinct score with a positive weight; the
    first is infinity with nothing above it.
    """
    targets, scores, weights = checked(targets, scores, weights)
    ranking = rank(np.where(weights > 0, targets[:, 0], np.nan), scores[:, 0])
    positive, last = ranking.flags & POSITIVE > 0, np.flatnonzero(ranking.flags & TIED == 0)
    ranked = weights[ranking.rows]
    tp, fp = (np.cumsum(ranked * label)[last] for label in (positive, ~positive))
    return np.r_[np.inf, ranking.scores[last]], np.r_[0.0, tp], np.r_[0.0, fp]


def with_averages(
    values: np.ndarray, sample: np.ndarray | None = None, findings: Findings = THESIS
) -> np.ndarray:
    """Per-finding values followed by their means over all findings and over groups of them.

    values: shape (..., f, m) in the order of `findings.names`; returns them and the averages, in
    the order of `findings.rows`. A mean is over the findings for which the value is defined, NaN
    where none is. sample: shape (f, m), the values of the sample that `values` are replicates of:
    its defined findings are then averaged, and a replicate in which one of them is undefined has
    no mean, since a mean of the others would be another number.
    """
    means = []
    fixed = ~np.isnan(values if sample is None else sample)
    for members in findings.means.values():
        rows = [findings.names.index(name) for name in members]
        averaged = np.broadcast_to(fixed[..., rows, :], values[..., rows, :].shape)
        total = np.where(averaged, values[..., rows, :], 0).sum(axis=-2)
        count = averaged.sum(axis=-2)
        means.append(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
    return np.concatenate([values, np.stack(means, axis=-2)], axis=-2)
