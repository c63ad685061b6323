"""Paired differences between two run families on the same bootstrap replicates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from cxrfmkd.evaluation.metrics import FINDINGS_AND_AVERAGES
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics import delong
from cxrfmkd.statistics.intervals import percentile_interval
from cxrfmkd.statistics.multiple import standard_error, wald
from cxrfmkd.vocabulary.findings import MACRO, SEVEN
from cxrfmkd.vocabulary.metrics import METRICS

# Comparing all 14 findings would cost power and add little: the thesis's first seven, and the mean
# of all.
COMPARED_FINDINGS = (MACRO, *SEVEN)


class FamilySummary(NamedTuple):
    """What a comparison needs of a family.

    metrics: of the mean over seeds, (1 + replicates, 17, 4), the sample itself first. by_seed:
    (seeds, 17, 4). ranges: as from `gaps.ranges`. influence: of the areas, or None.
    """

    metrics: np.ndarray
    by_seed: np.ndarray
    ranges: dict[tuple[str, str], np.ndarray]
    influence: delong.Influence | None


def difference_columns(
    difference: np.ndarray, confidence: float, *by_seed: np.ndarray
) -> dict[str, np.ndarray]:
    """Columns difference, low, high and p of paired differences.

    difference: shape (1 + replicates, ...), the sample itself first. by_seed: of each of the two
    models, (seeds, ...).
    """
    low, high = percentile_interval(difference[1:], confidence)
    p = wald(difference[0], standard_error(difference[1:]), *by_seed)
    return {"difference": difference[0], "low": low, "high": high, "p": p}


def comparison_table(
    a: FamilySummary, b: FamilySummary, targets: np.ndarray, patients: np.ndarray, confidence: float
) -> pd.DataFrame:
    """A minus b for every metric of COMPARED_FINDINGS, with interval and p-value.

    p_delong: of AUC-ROC alone, from the analytic variance over patients (the seeds taken as they
    are). targets: shape (n, 14); patients: (n,).
    """
    rows = [FINDINGS_AND_AVERAGES.index(name) for name in COMPARED_FINDINGS]
    difference = (a.metrics - b.metrics)[:, rows]
    analytic = np.full(difference.shape[1:], np.nan)
    if a.influence is not None and b.influence is not None:
        p = delong.p_value(a.influence - b.influence, targets, patients)
        analytic[1:, METRICS.index("auc_roc")] = p[rows[1:]]
    columns = difference_columns(difference, confidence, a.by_seed[:, rows], b.by_seed[:, rows])
    axes = {"finding": COMPARED_FINDINGS, "metric": METRICS}
    return long(axes, **columns, p_delong=analytic)
