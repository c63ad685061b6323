"""What a threshold is worth: sensitivity, specificity and predictive values at operating points.

Three rules say where the threshold comes from; all take the ROC vertex nearest to a target
false-positive rate. The thesis chose it on the test images that it was then judged on ("test");
sound practice chooses it on validation images ("validation") and carries it over, for a model used
on another dataset even from the dataset that it was trained on ("source-validation").
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cxrfmkd.evaluation.intervals import rate_bounds, share_bounds, youden_bounds
from cxrfmkd.evaluation.metrics import metrics_and_thresholds
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics.intervals import deviation
from cxrfmkd.statistics.ranking import Measures
from cxrfmkd.vocabulary.findings import FINDINGS

THRESHOLD_RULES = ("validation", "source-validation", "test")  # as the cuts of `Measures`
THRESHOLD_MEASURES = ("sensitivity", "specificity", "ppv", "npv", "youden_j")


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Probabilities, float64, of logits of any shape."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


def thresholds_at_fpr(
    targets: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None, target_fpr: float = 0.2
) -> np.ndarray:
    """The score of every finding at the ROC vertex nearest to `target_fpr`, shape (f,).

    Arguments as for `metrics.metrics_of`. Infinity at the origin, NaN with one class only.
    """
    return metrics_and_thresholds(targets, scores, weights, target_fpr)[1]


def worth(prevalence: np.ndarray, tpr: np.ndarray, fpr: np.ndarray) -> np.ndarray:
    """THRESHOLD_MEASURES (last axis) by Bayes's rule, of arrays of any shape; NaN if undefined."""
    hit, alarm = prevalence * tpr, (1 - prevalence) * fpr
    miss, clear = prevalence - hit, (1 - prevalence) - alarm
    with np.errstate(divide="ignore", invalid="ignore"):
        positive, negative = hit / (hit + alarm), clear / (clear + miss)
    return np.stack([tpr, 1 - fpr, positive, negative, tpr - fpr], axis=-1)


def worth_of_rules(measures: Measures) -> np.ndarray:
    """`worth` on all patients by rule, shape (1 + replicates, f, rules, THRESHOLD_MEASURES)."""
    tpr, fpr = (np.moveaxis(rates[..., 0], 1, -1) for rates in (measures.tpr, measures.fpr))
    return worth(measures.prevalence[..., 0, None], tpr, fpr)


def threshold_table(
    values: np.ndarray,
    by_seed: np.ndarray,
    cuts: np.ndarray,
    patients: tuple[np.ndarray, np.ndarray],
    confidence: float,
    findings: Sequence[str] = FINDINGS,
) -> pd.DataFrame:
    """Worth of every rule and finding, of the mean over seeds.

    values: shape (1 + replicates, f, rules, THRESHOLD_MEASURES), the sample itself first; by_seed:
    (seeds, ...). cuts: shape (seeds, f, rules), logits; shown as probabilities, their mean and SD
    over seeds. patients: with and without each finding, (f,). Rules without a threshold are left
    out.
    """
    called = probabilities(cuts)
    low, high = _worth_bounds(values, by_seed, patients, confidence)
    table = long(
        {"finding": findings, "rule": THRESHOLD_RULES, "metric": THRESHOLD_MEASURES},
        threshold=called.mean(axis=0)[..., None],
        threshold_sd=deviation(called)[..., None],
        estimate=values[0],
        low=low,
        high=high,
    )
    return table[table.threshold.notna()]


def _worth_bounds(
    values: np.ndarray,
    by_seed: np.ndarray,
    patients: tuple[np.ndarray, np.ndarray],
    confidence: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of THRESHOLD_MEASURES; arrays as for `threshold_table`."""
    counts = [np.broadcast_to(count[:, None], values.shape[1:3]) for count in patients]
    fewest = np.minimum(*counts)[..., None]
    shape = values.shape[1:]
    low, high = share_bounds(values, by_seed, np.broadcast_to(fewest, shape), confidence)
    rates = []
    for measure, count in enumerate(counts):  # sensitivity, specificity
        bounds = rate_bounds(values[..., measure], by_seed[..., measure], count, confidence)
        low[..., measure], high[..., measure] = bounds
        rates.append((values[0][..., measure], bounds))
    (tpr, of_tpr), (specificity, (lower, upper)) = rates
    youden = youden_bounds(tpr, of_tpr, 1 - specificity, (1 - upper, 1 - lower))
    low[..., -1], high[..., -1] = youden
    return low, high
