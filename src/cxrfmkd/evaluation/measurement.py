"""Everything that is measured of one run family on one population, averaged over its seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from cxrfmkd.datasets.halves import HALVES
from cxrfmkd.evaluation import calibration, curves, operating_points, subgroups
from cxrfmkd.evaluation.bootstrap import Measurement
from cxrfmkd.evaluation.comparisons import Compared, FamilySummary
from cxrfmkd.evaluation.gaps import Ranges
from cxrfmkd.evaluation.intervals import metric_bounds, patients_of_rows
from cxrfmkd.evaluation.metrics import metrics_of, with_averages
from cxrfmkd.evaluation.populations import Population
from cxrfmkd.evaluation.subgroups import Cells
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics import delong
from cxrfmkd.statistics.intervals import deviation
from cxrfmkd.statistics.ranking import Measures
from cxrfmkd.statistics.uncertainty import SeedVariance, seed_variance, standard_error
from cxrfmkd.study.settings import Findings
from cxrfmkd.vocabulary.metrics import METRICS


class SeedResult(NamedTuple):
    """Numbers of one seed's model on the sample itself; stacked, seeds are the first axis.

    measures: as from `Sample.measure`. low, high: intervals of the metrics, (rows, 4). cuts: the
    thresholds of operating points, (f, rules). over_patients: variance of the metrics, (rows, 4).
    worth: of operating points, (f, rules, measures). calibration: as from `calibrate`, of the
    sample alone, but for `gaps`. curves: (f, 2, grid). halves: metrics on either half of the
    patients, (2, f, 4).
    """

    measures: Measures
    low: np.ndarray
    high: np.ndarray
    over_patients: np.ndarray
    worth: np.ndarray
    calibration: calibration.Calibration
    cuts: np.ndarray
    curves: np.ndarray
    halves: np.ndarray


@dataclass(frozen=True)
class FamilyResult:
    """Numbers of one family.

    measures, worth, calibration: of the mean over seeds, the sample itself first, then the
    replicates over patients; worth of operating points: (1 + replicates, f, rules, measures).
    seeds: of each seed's model. influence: of the mean areas; None where images have weights, which
    DeLong's variance does not know. alone: as measures, of the selected seed; None without one.
    """

    measures: Measures
    worth: np.ndarray
    calibration: calibration.Calibration
    seeds: SeedResult
    influence: delong.Influence | None
    alone: Measures | None


def measure_family(
    models: list[np.ndarray], cuts: np.ndarray, population: Population, selected: int | None = None
) -> FamilyResult:
    """Measure a family.

    models: logits of each seed's model, shape (n, f), in order. cuts: shape (seeds, f, 2),
    thresholds from validation images and from those of the source, NaN where there is none. A
    finding that the models do not tell has NaN for logits, and for everything that is measured.
    selected: position of a seed whose replicates are kept beside their mean over seeds.
    """
    sample, settings = population.sample, population.settings
    alone = None
    untold = np.isnan(models[0]).all(axis=0)
    models = [np.where(untold, 0, logits) for logits in models]
    measurements = [
        Measurement(sample, logits, cut, settings.target_fpr)
        for logits, cut in zip(models, cuts, strict=True)
    ]
    calibrations = [
        calibration.CalibrationOfModel(sample, operating_points.probabilities(logits))
        for logits in models
    ]
    # All at once, so that no replicate is drawn twice.
    sample.for_each_block(*measurements, *calibrations)
    totals: list[np.ndarray] = []
    seeds, influences = [], []
    for logits, cut in zip(models, cuts, strict=True):
        measured, calibrated = measurements.pop(0), calibrations.pop(0).result
        measures, thresholds = measured.measures, np.where(untold, np.nan, measured.thresholds)
        _blank(untold, measures, calibrated)
        cuts_of_all = np.column_stack([cut, thresholds])
        if (sample.weights == 1).all():
            influences.append(delong.influence(sample.targets, logits, sample.patient_codes[0]))
        worth = operating_points.worth_of_rules(measures)
        seeds.append(_seed_result(measures, worth, calibrated, logits, cuts_of_all, population))
        if len(seeds) - 1 == selected:
            alone = Measures(*(array.copy() for array in measures))
        arrays = [*measures, worth, *calibrated[:3]]
        for array in arrays:  # in place: these are large
            array /= len(cuts)
        if totals:
            arrays = [np.add(a, b, out=b) for a, b in zip(totals, arrays, strict=True)]
        totals = arrays
    stacked = _stacked(seeds)
    return FamilyResult(
        Measures(*totals[:4]),
        totals[4],
        calibration.Calibration(
            totals[5], totals[6], totals[7], stacked.calibration.gaps, stacked.calibration.shares
        ),
        stacked,
        delong.mean(influences) if influences else None,
        alone,
    )


def _blank(untold: np.ndarray, measures: Measures, calibrated: calibration.Calibration) -> None:
    """Undo what was measured of findings that a model does not tell."""
    if untold.any():
        for array in (measures.metrics, measures.tpr, measures.fpr):
            array[:, :, untold] = np.nan
        for array in (calibrated.measures, calibrated.observed, calibrated.predicted):
            array[:, untold] = np.nan


def _seed_result(
    measures: Measures,
    worth: np.ndarray,
    calibrated: calibration.Calibration,
    logits: np.ndarray,
    cuts: np.ndarray,
    population: Population,
) -> SeedResult:
    """What is shown of one seed's model, or needed for the spread over seeds."""
    targets, weights = population.sample.targets, population.sample.weights
    settings, half = population.settings, population.half
    fpr = settings.target_fpr
    findings = population.cells.findings
    metrics = everyones_metrics(measures, findings)
    alone = SeedVariance(np.zeros(metrics.shape[1:]), np.inf)
    bounds = metric_bounds(metrics, alone, *patients_of(population.cells), settings.confidence, fpr)
    halves = [metrics_of(targets[i], logits[i], weights[i], fpr) for i in (half == 0, half == 1)]
    on_grid = curves.curves_on_grid(targets, logits, weights)
    untold = np.isnan(metrics[0, : len(findings.names)]).all(axis=1)
    on_grid[untold] = np.nan
    for of_half in halves:
        of_half[untold] = np.nan
    return SeedResult(
        Measures(*(array[0].copy() for array in measures)),
        *bounds,
        standard_error(metrics[1:]) ** 2,
        worth[0].copy(),
        calibration.Calibration(
            calibrated.measures[0].copy(),
            calibrated.observed[0].copy(),
            calibrated.predicted[0].copy(),
            calibrated.gaps,
            calibrated.shares,
        ),
        cuts,
        on_grid,
        np.array(halves),
    )


def patients_of(cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Patients with and without each finding and average, (rows,), for intervals."""
    sides = cells.with_finding[:, 0], cells.without_finding[:, 0]
    return patients_of_rows(*sides, cells.findings)


def of_seed(stacked: SeedResult, position: int) -> SeedResult:
    """Stacked results of one seed alone."""
    one: list = [_at(values, position) for values in stacked]
    return SeedResult(*one)


def _at(values: tuple | np.ndarray, position: int) -> tuple | np.ndarray:
    """One seed of what `_stack` returned, its first axis kept."""
    if isinstance(values, tuple):
        return type(values)(*(array[[position]] for array in values))
    return values[[position]]


def _stacked(seeds: list[SeedResult]) -> SeedResult:
    stacked: list = [_stack(values) for values in zip(*seeds, strict=True)]
    return SeedResult(*stacked)


def _stack(values: tuple) -> tuple | np.ndarray:
    """Arrays, or tuples of arrays, with seeds as their first axis."""
    first = values[0]
    if isinstance(first, tuple):
        return type(first)(*map(np.stack, zip(*values, strict=True)))
    return np.stack(values)


def everyones_metrics(measures: Measures, findings: Findings) -> np.ndarray:
    """Metrics of findings and their averages on all patients, (k, rows, 4).

    k: the sample and its replicates, or seeds, which have the targets of one sample.
    """
    values = np.moveaxis(measures.metrics[..., 0], -2, -1)
    return with_averages(values, values[0], findings)


def metrics_over_seeds(result: FamilyResult, findings: Findings) -> tuple[np.ndarray, SeedVariance]:
    """Metrics of the mean over seeds, (1 + replicates, rows, 4), and their variance over seeds."""
    metrics = everyones_metrics(result.measures, findings)
    over_patients = standard_error(metrics[1:]) ** 2
    by_seed = everyones_metrics(result.seeds.measures, findings)
    within = result.seeds.over_patients
    return metrics, seed_variance(by_seed, over_patients, within.mean(axis=0))


def summarise(
    result: FamilyResult, ranges: Ranges, by_seed: Ranges, findings: Findings
) -> FamilySummary:
    """What comparisons need of a family; ranges, by_seed: from `gaps.ranges`."""
    of_seeds = everyones_metrics(result.seeds.measures, findings)
    compared = Compared(*metrics_over_seeds(result, findings), of_seeds)
    return FamilySummary(compared, ranges, by_seed, result.influence)


def metrics_table(result: FamilyResult, seeds: list[int], cells: Cells) -> pd.DataFrame:
    """Metrics of every seed, of findings and their averages, with intervals over patients."""
    estimate = everyones_metrics(result.seeds.measures, cells.findings)
    columns = {"estimate": estimate, "low": result.seeds.low, "high": result.seeds.high}
    return _with_counts(result, cells, {"seed": seeds}, columns)


def summary_table(
    result: FamilyResult, cells: Cells, confidence: float, target_fpr: float
) -> pd.DataFrame:
    """Mean and SD over seeds, with intervals over patients and seeds."""
    metrics, seeds = metrics_over_seeds(result, cells.findings)
    low, high = metric_bounds(metrics, seeds, *patients_of(cells), confidence, target_fpr)
    columns = {"mean": metrics[0], "low": low, "high": high}
    columns["sd"] = deviation(everyones_metrics(result.seeds.measures, cells.findings))
    return _with_counts(result, cells, {}, columns)


def halves_table(seeds: SeedResult, findings: Findings) -> pd.DataFrame:
    """Mean over seeds of the averages over findings, in each of HALVES (column `half`)."""
    means = with_averages(seeds.halves.mean(axis=0), None, findings)[:, len(findings.names) :]
    return long({"half": HALVES, "finding": list(findings.means), "metric": METRICS}, mean=means)


def _with_counts(
    result: FamilyResult, cells: Cells, axes: dict[str, list], columns: dict[str, np.ndarray]
) -> pd.DataFrame:
    """Columns of shape (..., rows, 4) with what they rest on; small counts are blank."""
    undefined = np.isnan(result.measures.metrics[0, 0, :, 0])
    findings = cells.findings
    blank = np.full(len(findings.means), np.nan)
    n_undefined = [
        sum(undefined[findings.names.index(name)] for name in members)
        for members in findings.means.values()
    ]
    counts = everyones_counts(result, cells)
    numbers = {
        "n": np.r_[counts["n"], blank],
        "positives": np.r_[counts["positives"], blank],
        "prevalence": np.r_[counts["prevalence"], blank],
        "undefined": np.r_[undefined, n_undefined].astype(int),
    }
    rows = axes | {"finding": findings.rows, "metric": METRICS}
    return long(rows, **columns, **{name: number[:, None] for name, number in numbers.items()})


def everyones_counts(result: FamilyResult, cells: Cells) -> dict[str, np.ndarray]:
    """Columns n, positives and prevalence of all patients, shape (f,); blank as by group."""
    columns = subgroups.counts(result.measures.prevalence[0], cells)
    return {name: columns[name][:, 0] for name in ("n", "positives", "prevalence")}
