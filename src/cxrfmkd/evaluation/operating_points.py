"""What a threshold is worth: sensitivity, specificity and predictive values at fixed operating
points.

Three rules say where the threshold comes from; all take the ROC vertex nearest to a target
false-positive rate. The thesis chose it on the test images that it was then judged on ("test");
sound practice chooses it on validation images ("validation") and carries it over, for a model used
on another dataset even from the dataset that it was trained on ("source-validation").
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.evaluation.metrics import threshold_at_fpr
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics.intervals import percentile_interval
from cxrfmkd.vocabulary.findings import FINDINGS

RULES = ("validation", "source-validation", "test")
MEASURES = ("sensitivity", "specificity", "ppv", "npv", "youden_j")


def chances(logits: np.ndarray) -> np.ndarray:
    """Probabilities, float64, of logits of any shape."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


def thresholds(
    truth: np.ndarray, scores: np.ndarray, target_fpr: float, weights: np.ndarray | None = None
) -> np.ndarray:
    """The threshold of each finding. truth, scores: shape (n, f); weights: (n,), one each by
    default.

    Returns shape (f,); NaN for a finding with one class only.
    """
    columns = zip(truth.T, scores.T, strict=True)
    return np.array([threshold_at_fpr(*column, weights, target_fpr) for column in columns])


def worth(prevalence: np.ndarray, tpr: np.ndarray, fpr: np.ndarray) -> np.ndarray:
    """MEASURES (last axis) of rates at a threshold, by Bayes's rule; NaN where nobody is called.

    prevalence, tpr, fpr: any shape.
    """
    hit, alarm = prevalence * tpr, (1 - prevalence) * fpr
    miss, clear = prevalence - hit, (1 - prevalence) - alarm
    with np.errstate(divide="ignore", invalid="ignore"):
        positive, negative = hit / (hit + alarm), clear / (clear + miss)
    return np.stack([tpr, 1 - fpr, positive, negative, tpr - fpr], axis=-1)


def worth_of_rules(values: np.ndarray, names: list[str]) -> np.ndarray:
    """MEASURES by rule. values: shape (measures, ...) of `Sample.replicate` with two cuts, named by
    `names`.

    Returns shape (..., rules, MEASURES).
    """
    found = dict(zip(names, values, strict=True))
    cuts = ("0", "1", "test")
    parts = [worth(found["prevalence"], found[f"tpr_{cut}"], found[f"fpr_{cut}"]) for cut in cuts]
    return np.stack(parts, axis=-2)


def table(values: np.ndarray, cuts: np.ndarray, confidence: float) -> pd.DataFrame:
    """Worth of every rule and finding, of the mean over seeds.

    values: shape (1 + replicates, 14, rules, MEASURES), the sample itself first. cuts: shape
    (seeds, 14, rules), logits; shown as probabilities, their mean and SD over seeds. Rules without
    a threshold are left out.
    """
    called = chances(cuts)
    low, high = percentile_interval(values[1:], confidence)
    seeds = len(cuts)
    result = long(
        {"finding": list(FINDINGS), "rule": list(RULES), "metric": list(MEASURES)},
        threshold=called.mean(axis=0)[..., None],
        threshold_sd=(called.std(axis=0, ddof=1) if seeds > 1 else called[0] * np.nan)[..., None],
        estimate=values[0],
        low=low,
        high=high,
    )
    order = ["finding", "rule", "threshold", "threshold_sd", "metric", "estimate", "low", "high"]
    return result.loc[result.threshold.notna(), order].reset_index(drop=True)
