"""Paired differences between two run families on the same bootstrap replicates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics import delong
from cxrfmkd.statistics.multiple import adjust_by_family, deviations, max_t_by_family, tost
from cxrfmkd.statistics.uncertainty import SeedVariance, errors, plain_interval
from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.findings import MACRO
from cxrfmkd.vocabulary.metrics import METRICS

# The primary endpoint, declared before any result: its tests are a family of their own.
PRIMARY = (MACRO, "auc_roc")


def compared_rows(findings: Findings) -> list[str]:
    """The mean of all findings, and those of the focused table.

    Comparing all 14 would cost power and add little.
    """
    return [MACRO, *findings.focused]


class FamilySummary(NamedTuple):
    """What a comparison needs of a family.

    metrics: of the mean over seeds, (1 + replicates, rows, 4), the sample itself first. seeds:
    their variance over seeds. ranges: as from `gaps.ranges`; ranges_by_seed: of each seed's model
    on the sample itself. influence: of the areas, or None.
    """

    metrics: np.ndarray
    seeds: SeedVariance
    ranges: dict[tuple[str, str], np.ndarray]
    ranges_by_seed: dict[tuple[str, str], np.ndarray]
    influence: delong.Influence | None


def difference_columns(
    difference: np.ndarray, confidence: float, *seeds: SeedVariance
) -> dict[str, np.ndarray]:
    """Columns difference, low, high and p of paired differences.

    difference: shape (1 + replicates, ...), the sample itself first. seeds: of each of the two
    models.
    """
    error = errors(difference, *seeds)
    low, high = plain_interval(difference[0], error, confidence)
    return {
        "difference": difference[0],
        "low": low,
        "high": high,
        "p": error.p_values(difference[0]),
    }


def paired(
    metrics: Sequence[np.ndarray], seeds: Sequence[SeedVariance], findings: Findings
) -> tuple[list[str], np.ndarray, list[SeedVariance]]:
    """The compared rows, the difference of two models in them, and both variances over seeds.

    metrics: of the mean over seeds, (1 + replicates, findings and averages, metrics), of each
    model; seeds: their variance over seeds. The difference: (1 + replicates, rows, metrics).
    """
    compared = compared_rows(findings)
    rows = [findings.rows.index(name) for name in compared]
    a, b = metrics
    of_rows = [SeedVariance(of.variance[rows], of.freedom) for of in seeds]
    return compared, (a - b)[:, rows], of_rows


def comparison_table(
    a: FamilySummary,
    b: FamilySummary,
    targets: np.ndarray,
    patients: np.ndarray,
    confidence: float,
    margin: float,
    findings: Findings = THESIS,
) -> tuple[pd.DataFrame, np.ndarray]:
    """A minus b for every metric of `compared_rows`, with interval and p-values.

    p_delong: of AUC-ROC alone, from the analytic variance over patients (the seeds taken as they
    are). targets: shape (n, f); patients: (n,). margin: within which a difference is none. Beside
    the table, each row's replicates of the difference, as deviations in standard errors, float32
    (rows, replicates).
    """
    compared, difference, seeds = paired((a.metrics, b.metrics), (a.seeds, b.seeds), findings)
    analytic = np.full(difference.shape[1:], np.nan)
    if a.influence is not None and b.influence is not None:
        p = delong.p_value(a.influence - b.influence, targets, patients)
        findings_of = [findings.names.index(name) for name in compared[1:]]
        known = ~np.isnan(difference[0, 1:, METRICS.index("auc_roc")])
        analytic[1:, METRICS.index("auc_roc")] = np.where(known, p[findings_of], np.nan)
    columns = difference_columns(difference, confidence, *seeds)
    p_values = errors(difference, *seeds).p_values
    columns["p_noninferior"], columns["p_equivalent"] = tost(difference[0], margin, p_values)
    axes = {"finding": compared, "metric": METRICS}
    table = long(axes, **columns, p_delong=analytic, margin=np.array(margin))
    return table, deviations(difference[1:]).reshape(-1, len(table)).T


def adjusted_comparisons(table: pd.DataFrame, drawn: np.ndarray, method: str) -> pd.DataFrame:
    """`table` with its families of tests, and p-values adjusted within each, in two ways.

    table: of one population, `family` being the kind of comparison; drawn: float (rows,
    replicates), as from `comparison_table`. The primary endpoint is a family of its own in every
    kind; of other numbers, each metric is one.
    """
    primary = (table.finding == PRIMARY[0]) & (table.metric == PRIMARY[1])
    family = table.family + ": " + table.metric.mask(primary, "primary")
    table = adjust_by_family(table.assign(family=family), ["family"], method)
    return max_t_by_family(table, drawn)
