"""Everything that is measured of one run family on one population, averaged over its seeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from cxrfmkd.datasets.halves import HALVES
from cxrfmkd.evaluation import calibration, curves, operating_points
from cxrfmkd.evaluation.bootstrap import seed_shares
from cxrfmkd.evaluation.comparisons import FamilySummary
from cxrfmkd.evaluation.gaps import Ranges
from cxrfmkd.evaluation.metrics import FINDINGS_AND_AVERAGES, metrics_of, with_averages
from cxrfmkd.evaluation.populations import Population
from cxrfmkd.evaluation.subgroups import Cells
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics import delong
from cxrfmkd.statistics.intervals import (
    deviation,
    estimate_columns,
    percentile_interval,
    skipped_share,
)
from cxrfmkd.statistics.ranking import Measures
from cxrfmkd.vocabulary.findings import AVERAGES, FINDINGS
from cxrfmkd.vocabulary.metrics import METRICS


class SeedResult(NamedTuple):
    """Numbers of one seed's model on the sample itself; stacked, seeds are the first axis.

    measures: as from `Sample.measure`. low, high: intervals of the metrics, (17, 4). cuts: the
    thresholds of operating points, (14, rules). curves: (14, 2, grid). halves: metrics on either
    half of the patients, (2, 14, 4).
    """

    measures: Measures
    low: np.ndarray
    high: np.ndarray
    cuts: np.ndarray
    curves: np.ndarray
    halves: np.ndarray


@dataclass(frozen=True)
class FamilyResult:
    """Numbers of one family.

    measures, worth, calibration: of the mean over seeds, the sample itself first, then the
    replicates; worth of operating points: (1 + replicates, 14, rules, measures).
    seeds: of each seed's model. influence: of the mean areas; None where images have weights, which
    DeLong's variance does not know.
    """

    measures: Measures
    worth: np.ndarray
    calibration: calibration.Calibration
    seeds: SeedResult
    influence: delong.Influence | None


def measure_family(
    name: str, models: Iterable[np.ndarray], cuts: np.ndarray, population: Population
) -> FamilyResult:
    """Measure a family.

    models: logits of each seed's model, shape (n, 14), in order. cuts: shape (seeds, 14, 2),
    thresholds from validation images and from those of the source, NaN where there is none.
    """
    sample, settings = population.sample, population.settings
    totals: list[np.ndarray] = []
    seeds, influences = [], []
    shares = seed_shares(len(cuts), settings.replicates, settings.seed, name)
    for logits, cut, share in zip(models, cuts, shares, strict=True):
        measures = sample.measure(logits, cut, settings.target_fpr)
        seeds.append(_seed_result(measures, logits, cut, population))
        if (sample.weights == 1).all():
            influences.append(delong.influence(sample.targets, logits, sample.patient_codes[0]))
        worth = operating_points.worth_of_rules(measures)
        calibrated = calibration.calibrate(sample, operating_points.probabilities(logits))
        arrays = [*measures, worth, *calibrated]
        for array in arrays:  # in place: these are large
            array *= share[: len(array)].reshape(-1, *[1] * (array.ndim - 1))
        if totals:
            arrays = [np.add(a, b, out=b) for a, b in zip(totals, arrays, strict=True)]
        totals = arrays
    return FamilyResult(
        Measures(*totals[:4]),
        totals[4],
        calibration.Calibration(*totals[5:]),
        _stacked(seeds),
        delong.mean(influences) if influences else None,
    )


def _seed_result(
    measures: Measures, logits: np.ndarray, cuts: np.ndarray, population: Population
) -> SeedResult:
    """What is shown of one seed's model."""
    targets, weights = population.sample.targets, population.sample.weights
    settings, half = population.settings, population.half
    fpr = settings.target_fpr
    low, high = percentile_interval(everyones_metrics(measures)[1:], settings.confidence)
    halves = [metrics_of(targets[i], logits[i], weights[i], fpr) for i in (half == 0, half == 1)]
    return SeedResult(
        Measures(*(array[0].copy() for array in measures)),
        low,
        high,
        np.column_stack([cuts, operating_points.thresholds_at_fpr(targets, logits, weights, fpr)]),
        curves.curves_on_grid(targets, logits, weights),
        np.array(halves),
    )


def _stacked(seeds: list[SeedResult]) -> SeedResult:
    measures, *others = zip(*seeds, strict=True)
    stacked = Measures(*map(np.stack, zip(*measures, strict=True)))
    return SeedResult(stacked, *map(np.stack, others))


def everyones_metrics(measures: Measures) -> np.ndarray:
    """Metrics of findings and their averages on all patients, (k, 17, 4).

    k: the sample and its replicates, or seeds, which have the targets of one sample.
    """
    values = np.moveaxis(measures.metrics[..., 0], -2, -1)
    return with_averages(values, values[0])


def summarise(result: FamilyResult, ranges: Ranges) -> FamilySummary:
    """What comparisons need of a family; ranges: from `gaps.ranges`."""
    metrics, by_seed = map(everyones_metrics, (result.measures, result.seeds.measures))
    return FamilySummary(metrics, by_seed, ranges, result.influence)


def metrics_table(result: FamilyResult, seeds: list[int], cells: Cells) -> pd.DataFrame:
    """Metrics of every seed, of findings and their averages, with intervals over patients."""
    estimate = everyones_metrics(result.seeds.measures)
    columns = {"estimate": estimate, "low": result.seeds.low, "high": result.seeds.high}
    return _with_counts(result, cells, {"seed": seeds}, columns)


def summary_table(result: FamilyResult, cells: Cells, confidence: float) -> pd.DataFrame:
    """Mean and SD over seeds, with intervals over patients and seeds."""
    metrics = everyones_metrics(result.measures)
    columns = estimate_columns(metrics, confidence) | {"skipped": skipped_share(metrics)}
    columns["sd"] = deviation(everyones_metrics(result.seeds.measures))
    return _with_counts(result, cells, {}, columns).rename(columns={"estimate": "mean"})


def halves_table(result: FamilyResult) -> pd.DataFrame:
    """Mean over seeds of the averages over findings, in each of HALVES (column `half`)."""
    means = with_averages(result.seeds.halves.mean(axis=0))[:, len(FINDINGS) :]
    return long({"half": HALVES, "finding": list(AVERAGES), "metric": METRICS}, mean=means)


def _with_counts(
    result: FamilyResult, cells: Cells, axes: dict[str, list], columns: dict[str, np.ndarray]
) -> pd.DataFrame:
    """Columns of shape (..., 17, 4) with what they rest on; small counts are blank."""
    undefined = np.isnan(result.measures.metrics[0, 0, :, 0])
    blank = np.full(len(AVERAGES), np.nan)
    n_undefined = [
        sum(undefined[FINDINGS.index(name)] for name in members) for members in AVERAGES.values()
    ]
    counts = everyones_counts(result, cells)
    numbers = {
        "n": np.r_[counts["n"], blank + counts["n"].max()],
        "positives": np.r_[counts["positives"], blank],
        "prevalence": np.r_[counts["prevalence"], blank],
        "undefined": np.r_[undefined, n_undefined].astype(int),
    }
    rows = axes | {"finding": FINDINGS_AND_AVERAGES, "metric": METRICS}
    return long(rows, **columns, **{name: number[:, None] for name, number in numbers.items()})


def everyones_counts(result: FamilyResult, cells: Cells) -> dict[str, np.ndarray]:
    """Columns n, positives and prevalence of all patients, shape (14,); small ones blank."""
    hidden = cells.hidden_counts[1][:, 0]
    return {
        "n": cells.images[:, 0],
        "positives": np.where(hidden, np.nan, cells.positives[:, 0]),
        "prevalence": np.where(hidden, np.nan, result.measures.prevalence[0, :, 0]),
    }
