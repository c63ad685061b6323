"""The study's four metrics, weighted, from one sort per finding.

Average precision, area under the ROC curve, maximum Youden's J, and J at a target false-positive
rate (method, section 6.1). A weight counts an image as that many rows: whole weights give what
scikit-learn gives on duplicated rows.
"""

from __future__ import annotations

import numpy as np

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.statistics.ranking import (
    POSITIVE,
    TIED,
    Ranking,
    accumulate,
    areas,
    nearest_vertex,
    ranking,
)
from cxrfmkd.vocabulary.findings import FINDINGS, GROUPS
from cxrfmkd.vocabulary.metrics import METRICS


def checked(truth, scores, weights=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three as float64 of shapes (n, f), (n, f), (n,), or InputError that says what is wrong."""
    truth = np.atleast_2d(np.asarray(truth, np.float64).T).T
    scores = np.atleast_2d(np.asarray(scores, np.float64).T).T
    weights = np.ones(len(truth)) if weights is None else np.asarray(weights, np.float64)
    if truth.shape != scores.shape or weights.shape != truth.shape[:1]:
        raise InputError(
            f"truth {truth.shape}, scores {scores.shape} and weights {weights.shape} do not have "
            "the same rows "
            "and columns."
        )
    if strange := np.unique(truth[(truth != 0) & (truth != 1) & ~np.isnan(truth)]).tolist():
        raise InputError(f"truth must be 0, 1 or missing; found {strange[:5]}.")
    if bad := int((~np.isfinite(scores)).sum()):
        raise InputError(f"{bad} scores are not finite numbers; leave such rows out or score them.")
    if bad := int((~np.isfinite(weights) | (weights < 0)).sum()):
        raise InputError(f"{bad} weights are negative or not finite; a weight counts rows.")
    return truth, scores, weights


def measures(truth, scores, weights=None, target_fpr: float = 0.2) -> np.ndarray:
    """The four METRICS of every finding.

    truth: shape (n,) or (n, f), 0, 1 or NaN (left out). scores: same shape, any monotone scale.
    weights: shape (n,), not negative; one each by default.
    Returns float64 of shape (f, 4); NaN where a finding has weight in one class only.
    """
    truth, scores, weights = checked(truth, scores, weights)
    return np.array(
        [
            _measures(ranking(*column), weights, target_fpr)[0]
            for column in zip(truth.T, scores.T, strict=True)
        ]
    )


def _measures(ranked: Ranking, weights: np.ndarray, target_fpr: float) -> tuple[list[float], int]:
    """The four metrics of one ranking, and the number of rows above the threshold nearest to `target_fpr`."""
    below, below_hits = np.empty(len(ranked.rows) + 1), np.empty(len(ranked.hits) + 1)
    accumulate(ranked.rows, ranked.hits, weights, below, below_hits)
    positives, negatives = below_hits[-1], below[-1] - below_hits[-1]
    if not (positives > 0 and negatives > 0):
        return [np.nan] * len(METRICS), 0
    sums = ranked.end, ranked.last, below, below_hits, positives, negatives
    j, place = nearest_vertex(ranked.rows, ranked.flags, *sums[:2], weights, *sums[2:], target_fpr)
    return [*areas(ranked.begin, *sums), j], place


def curve(truth, scores, weights=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Falling thresholds and the weight of positives and negatives that score at least as much.

    truth, scores, weights: shape (n,). One entry per distinct score with a positive weight; the
    first is infinity with nothing above it.
    """
    truth, scores, weights = checked(truth, scores, weights)
    rows, flags, thresholds = ranking(np.where(weights > 0, truth[:, 0], np.nan), scores[:, 0])[:3]
    positive, last = flags & POSITIVE > 0, np.flatnonzero(flags & TIED == 0)
    tp, fp = (np.cumsum(weights[rows] * label)[last] for label in (positive, ~positive))
    return np.r_[np.inf, thresholds[last]], np.r_[0.0, tp], np.r_[0.0, fp]


def threshold_at_fpr(truth, scores, weights=None, target_fpr: float = 0.2) -> float:
    """The score at the ROC vertex nearest to `target_fpr`; infinity at the origin, NaN with one
    class only.

    "At least this score" is then the call for a finding (method, section 6.1).
    """
    truth, scores, weights = checked(truth, scores, weights)
    ranked = ranking(truth[:, 0], scores[:, 0])
    metrics, place = _measures(ranked, weights, target_fpr)
    if np.isnan(metrics[0]):
        return float("nan")
    return float(ranked.scores[place - 1]) if place else float("inf")


def with_groups(values: np.ndarray) -> np.ndarray:
    """Per-finding values followed by their means over the thesis's groups.

    values: shape (..., 14, m) in the order of FINDINGS; returns (..., 17, m), named by `names()`. A
    group's mean is over the findings for which the value is defined, NaN where none is.
    """
    means = []
    for members in GROUPS.values():
        chosen = values[..., [FINDINGS.index(name) for name in members], :]
        defined = (~np.isnan(chosen)).sum(axis=-2)
        total = np.nansum(chosen, axis=-2)
        means.append(np.divide(total, defined, out=np.full(total.shape, np.nan), where=defined > 0))
    return np.concatenate([values, np.stack(means, axis=-2)], axis=-2)


def names() -> list[str]:
    """The findings and groups, in the order of `with_groups`."""
    return [*FINDINGS, *GROUPS]
