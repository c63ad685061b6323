"""Paired differences between two run families on the same bootstrap replicates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cxrfmkd.evaluation.metrics import with_averages
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics import delong
from cxrfmkd.statistics.multiple import adjust_by_family, deviations, max_t_by_family, tost
from cxrfmkd.statistics.uncertainty import (
    FEWEST_PATIENTS,
    Errors,
    SeedVariance,
    errors,
    plain_interval,
    seed_variance,
)
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


class Compared(NamedTuple):
    """Numbers of a model, of findings and averages (rows), that are compared with another's.

    metrics: of the mean over seeds, (1 + replicates, rows, metrics), the sample itself first.
    seeds: their variance over seeds. by_seed: of each seed on the sample, (seeds, rows, metrics).
    """

    metrics: np.ndarray
    seeds: SeedVariance
    by_seed: np.ndarray


class FamilySummary(NamedTuple):
    """What a comparison needs of a family.

    compared: of the four. ranges: as from `gaps.ranges`; ranges_by_seed: of each seed's model on
    the sample itself. influence: of the areas, or None.
    """

    compared: Compared
    ranges: dict[tuple[str, str], np.ndarray]
    ranges_by_seed: dict[tuple[str, str], np.ndarray]
    influence: delong.Influence | None


def paired_errors(
    difference: np.ndarray, *seeds: SeedVariance, patients: ArrayLike = np.inf
) -> Errors:
    """Errors of paired differences, unknown on fewer than FEWEST_PATIENTS.

    difference: shape (1 + replicates, ...), the sample itself first. seeds: of each of the two
    models. patients: on how many each difference rests. On more, patients' part has normal
    quantiles, whose false positives are those that are stated (docs/validity.md).
    """
    few = np.asarray(patients) < FEWEST_PATIENTS
    return errors(difference, *seeds, patients=np.where(few, 0.0, np.inf))


def difference_columns(
    difference: np.ndarray, error: Errors, confidence: float
) -> dict[str, np.ndarray]:
    """Columns difference, low, high and p of paired differences, of any shape, with their error."""
    low, high = plain_interval(difference, error, confidence)
    return {
        "difference": difference,
        "low": low,
        "high": high,
        "p": error.p_values(difference),
    }


def paired(
    a: Compared, b: Compared, findings: Findings
) -> tuple[list[str], np.ndarray, list[SeedVariance]]:
    """The compared rows, the difference of two models in them, and both variances over seeds.

    The difference: (1 + replicates, rows, metrics). Averages are over the findings that both models
    tell; of others, they would differ for that alone.
    """
    compared = compared_rows(findings)
    rows = [findings.rows.index(name) for name in compared]
    n = len(findings.names)
    difference, seeds = a.metrics - b.metrics, [a.seeds, b.seeds]
    shared = ~np.isnan(difference[0, :n])
    told = (~np.isnan(of.metrics[0, :n]) for of in (a, b))
    if any((of != shared).any() for of in told):
        difference = with_averages(difference[:, :n], difference[0, :n], findings)
        seeds = [_seeds_of_shared(of, shared, findings) for of in (a, b)]
    of_rows = [SeedVariance(of.variance[rows], of.freedom) for of in seeds]
    return compared, difference[:, rows], of_rows


def _seeds_of_shared(model: Compared, shared: np.ndarray, findings: Findings) -> SeedVariance:
    """A model's variance over seeds, that of averages taken over `shared` findings, (f, metrics).

    What of it is due to patients is not taken off an average's, so its interval is a little wider.
    """
    n = len(findings.names)
    averaged = with_averages(np.where(shared, model.by_seed[:, :n], np.nan), None, findings)
    variance = np.r_[model.seeds.variance[:n], seed_variance(averaged).variance[n:]]
    return SeedVariance(variance, model.seeds.freedom)


def comparison_table(
    a: FamilySummary,
    b: FamilySummary,
    targets: np.ndarray,
    patients: np.ndarray,
    fewest: pd.Series,
    confidence: float,
    margin: float,
    findings: Findings = THESIS,
) -> tuple[pd.DataFrame, np.ndarray]:
    """A minus b for every metric of `compared_rows`, with interval and p-values.

    p_delong: of AUC-ROC alone, from the analytic variance over patients (the seeds taken as they
    are). targets: shape (n, f); patients: (n,). fewest: the fewer of the patients with and without
    each finding and average, by its name. margin: within which a difference is none. Beside the
    table, each row's replicates of the difference, as deviations in standard errors, float32 (rows,
    replicates).
    """
    compared, difference, seeds = paired(a.compared, b.compared, findings)
    analytic = np.full(difference.shape[1:], np.nan)
    if a.influence is not None and b.influence is not None:
        p = delong.p_value(a.influence - b.influence, targets, patients)
        findings_of = [findings.names.index(name) for name in compared[1:]]
        known = ~np.isnan(difference[0, 1:, METRICS.index("auc_roc")])
        analytic[1:, METRICS.index("auc_roc")] = np.where(known, p[findings_of], np.nan)
    error = paired_errors(difference, *seeds, patients=fewest[compared].to_numpy()[:, None])
    columns = difference_columns(difference[0], error, confidence)
    columns["p_noninferior"], columns["p_equivalent"] = tost(difference[0], margin, error.p_values)
    analytic[np.isnan(columns["p"])] = np.nan
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
