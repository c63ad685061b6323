"""Evaluation of every classifier on one dataset: from predictions and records to the tables.

Each model is measured on the natural and on the resampled test set, on the same bootstrap
replicates as every other.
Memory: about four arrays of replicates x 14 findings x groups x 11 measures, 8 bytes each (0.3 GB
for 2,000 replicates and 32 groups), and a hundredth of that for each family that others are
compared with.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrfmkd.datasets import halves, records
from cxrfmkd.datasets.resampled import weights_in_order
from cxrfmkd.evaluation import (
    calibration,
    comparisons,
    curves,
    gaps,
    measurement,
    operating_points,
    subgroups,
)
from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.evaluation.columns import TABLE_COLUMNS
from cxrfmkd.evaluation.comparisons import FamilySummary
from cxrfmkd.evaluation.families import Family, references
from cxrfmkd.evaluation.measurement import FamilyResult, everyones_metrics
from cxrfmkd.evaluation.predictions import read_logits
from cxrfmkd.evaluation.runs import LabelledImages, Run, Validation, validate
from cxrfmkd.evaluation.subgroups import Cells, PatientGroups
from cxrfmkd.statistics.multiple import adjust_by_family
from cxrfmkd.study.settings import Evaluation
from cxrfmkd.vocabulary.findings import FINDINGS

log = logging.getLogger(__name__)

Tables = dict[str, list[pd.DataFrame]]  # parts of each of TABLE_COLUMNS
Comparison = tuple[str, Family, Family]  # kind, family, reference


@dataclass(frozen=True)
class Population:
    """One weighting of the test images. half: of the patients, 0 or 1, to which each belongs."""

    name: str
    image_ids: pd.Series
    half: np.ndarray
    groups: PatientGroups
    cells: Cells
    sample: Sample


def evaluate(
    dataset: str,
    runs: list[Run],
    val: pd.DataFrame,
    test: pd.DataFrame,
    weights: pd.DataFrame,
    settings: Evaluation,
    uncertain: str = "zeros",
    sources: dict[str, pd.DataFrame] | None = None,
) -> dict[str, pd.DataFrame]:
    """All tables of TABLE_COLUMNS, as in docs/evaluation.md.

    val, test: records. weights: columns image_id and weight, of the resampled test set; all 1
    means that there is none.
    uncertain: as in `records.targets`. sources: validation records of the datasets that models were
    trained on, for thresholds that are carried over from there.
    """

    def labelled(table: pd.DataFrame) -> LabelledImages:
        return LabelledImages(table.image_id, records.targets(table, uncertain).astype(float))

    families: dict[Family, list[Run]] = {}
    for run in runs:
        families.setdefault(run.family, []).append(run)
    source_images = {name: labelled(table) for name, table in (sources or {}).items()}
    validated = {
        family: validate(own, labelled(val), source_images, settings.target_fpr)
        for family, own in families.items()
    }
    macro = {family: validation.macro for family, validation in validated.items()}
    pairs = references(families, dataset, macro, settings.comparisons)
    parts: Tables = {name: [] for name in TABLE_COLUMNS}
    for population in _populations(test, labelled(test).targets, weights, settings):
        log.info("%s, %s test set: %d families", dataset, population.name, len(families))
        for name, table in _measure(population, families, validated, pairs, settings).items():
            parts[name].append(table.assign(dataset=dataset))
    return {
        name: (pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()).reindex(
            columns=TABLE_COLUMNS[name]
        )
        for name, tables in parts.items()
    }


def _populations(
    test: pd.DataFrame, targets: np.ndarray, weights: pd.DataFrame, settings: Evaluation
) -> Iterable[Population]:
    """The natural test set, and the resampled one if it differs."""
    patients = test.patient_id.to_numpy()
    groups = subgroups.patient_groups(test, settings.attributes)
    half = halves.half(test.patient_id)
    resampled = weights_in_order(weights, test.image_id)
    for name, weight in (("natural", np.ones(len(test))), ("resampled", resampled)):
        if name == "resampled" and (weight == 1).all():
            continue
        cells = subgroups.count_cells(
            targets, patients, weight, groups.codes, settings.minimum_cell
        )
        sample = Sample(
            targets,
            patients,
            weight,
            groups.codes,
            settings.replicates,
            settings.unit,
            settings.seed,
            cells.detail(groups),
        )
        yield Population(name, test.image_id, half, groups, cells, sample)


def _measure(
    population: Population,
    families: dict[Family, list[Run]],
    validated: dict[Family, Validation],
    pairs: list[Comparison],
    settings: Evaluation,
) -> dict[str, pd.DataFrame]:
    """All tables of a population. References come first; their summaries are kept."""
    parts: Tables = {name: [] for name in TABLE_COLUMNS}
    compared_with = {reference for _, _, reference in pairs}
    summaries: dict[Family, FamilySummary] = {}
    for family in sorted(families, key=lambda family: family not in compared_with):
        log.info("measuring %s", family.name)
        runs = families[family]
        logits = (read_logits(run.predictions, "test", population.image_ids) for run in runs)
        result = measurement.measure_family(
            family.name,
            logits,
            validated[family].cuts,
            population.sample,
            population.half,
            settings,
        )
        summary = _add_family(
            parts, family, [run.seed for run in runs], result, population, settings
        )
        if family in compared_with:
            summaries[family] = summary
        else:
            _add_comparisons(parts, family, summary, summaries, pairs, population, settings)
    for family, summary in summaries.items():
        _add_comparisons(parts, family, summary, summaries, pairs, population, settings)
    return {
        name: _adjusted(name, pd.concat(tables, ignore_index=True), population.name, settings)
        for name, tables in parts.items()
        if tables
    }


def _add_family(
    parts: Tables,
    family: Family,
    seeds: list[int],
    result: FamilyResult,
    population: Population,
    settings: Evaluation,
) -> FamilySummary:
    """Add a family's own rows to the tables, and return what comparisons need of it."""
    level, groups, cells = settings.confidence, population.groups, population.cells
    measures = subgroups.group_measures(result.measures)
    by_seed = subgroups.group_measures(result.seeds.measures)
    ranges = gaps.ranges(measures, groups, cells)
    counts = measurement.everyones_counts(result, cells)
    hidden_points = _hidden_points(cells)

    def counted(table: pd.DataFrame) -> pd.DataFrame:
        finding = pd.Index(FINDINGS).get_indexer(table.finding)
        return table.assign(**{name: count[finding] for name, count in counts.items()})

    def without_points(table: pd.DataFrame, points: pd.Series) -> pd.DataFrame:
        return table[~(points & table.finding.isin(hidden_points))]

    calibrated = calibration.calibration_table(result.calibration, level)
    curve_points = curves.curve_table(result.seeds.curves)
    tables = {
        "metrics": [measurement.metrics_table(result, seeds, cells)],
        "summary": [measurement.summary_table(result, cells, level)],
        "thresholds": [
            counted(operating_points.threshold_table(result.worth, result.seeds.cuts, level))
        ],
        "calibration": [counted(without_points(calibrated, calibrated.metric == "observed"))],
        "halves": [measurement.halves_table(result)],
        "curves": [without_points(curve_points, curve_points.curve.notna())],
        "subgroups": [subgroups.subgroup_table(measures, groups, cells, level)],
        "gaps": [
            gaps.range_table(ranges, measures, groups, cells, level),
            gaps.pair_table(measures, by_seed, groups, cells, level),
        ],
    }
    for name, own in tables.items():
        parts[name] += [table.assign(**family._asdict(), n_seeds=len(seeds)) for table in own]
    return FamilySummary(
        everyones_metrics(result.measures),
        everyones_metrics(result.seeds.measures),
        ranges,
        result.influence,
    )


def _hidden_points(cells: Cells) -> list[str]:
    """Findings that few patients have or lack, whose curves would show single images."""
    few = cells.images[:, 0] < calibration.BINS * cells.minimum
    return list(np.array(FINDINGS)[cells.hidden("prevalence")[:, 0] | few])


def _add_comparisons(
    parts: Tables,
    family: Family,
    summary: FamilySummary,
    summaries: dict[Family, FamilySummary],
    pairs: list[Comparison],
    population: Population,
    settings: Evaluation,
) -> None:
    """Add a family's differences from its references, whose `summaries` are there."""
    sample, level = population.sample, settings.confidence
    for kind, reference in [(kind, b) for kind, a, b in pairs if a == family]:
        other = summaries[reference]
        table = comparisons.comparison_table(summary, other, sample.targets, sample.patients, level)
        names = {"model_a": family.name, "model_b": reference.name, "family": kind}
        parts["comparisons"].append(table.assign(**names))
        if kind != "loss":
            table = gaps.versus_table(summary.ranges, other.ranges, level)
            table = table.assign(a=family.name, b=reference.name, **family._asdict())
            parts["gaps"].append(table)


def _adjusted(
    name: str, table: pd.DataFrame, population: str, settings: Evaluation
) -> pd.DataFrame:
    """One table of a population, with p-values adjusted within their families of tests."""
    if name == "comparisons":
        table["family"] = table.family + ": " + table.metric
        table = adjust_by_family(table, ["family"], settings.adjustment)
    if name == "gaps" and "p" in table:
        table["family"] = table.kind + ": " + table.attribute + ", " + table.metric
        table = adjust_by_family(table, [*Family._fields, "family"], settings.adjustment)
    half = " " + table.half if name == "halves" else ""
    return table.assign(population=population + half)
