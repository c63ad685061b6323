"""Evaluation of every classifier on one dataset: from predictions and records to the tables.

Each model is measured on the natural and on the resampled test set, on the same bootstrap
replicates as every other.
Memory: about as many arrays of replicates x findings x groups x 11 measures, 8 bytes each, as a
family has seeds, and three more (0.08 GB each for 2,000 replicates, 14 findings and 32 groups), and
a hundredth of that for each family that others are compared with.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from operator import or_

import numpy as np
import pandas as pd

from cxrfmkd.datasets import exclusions
from cxrfmkd.datasets.disclosure import Disclosure, disclosure
from cxrfmkd.datasets.records import check_findings
from cxrfmkd.evaluation import (
    calibration,
    comparisons,
    curves,
    gaps,
    measurement,
    subgroups,
    user_metrics,
)
from cxrfmkd.evaluation.columns import TABLE_COLUMNS
from cxrfmkd.evaluation.comparisons import PRIMARY, FamilySummary
from cxrfmkd.evaluation.families import Family, references
from cxrfmkd.evaluation.operating_points import threshold_table
from cxrfmkd.evaluation.populations import Population, populations
from cxrfmkd.evaluation.predictions import labelled_images, read_logits
from cxrfmkd.evaluation.publication import publish
from cxrfmkd.evaluation.recalibration import recalibration_table
from cxrfmkd.evaluation.runs import Run, Validation, by_family, validate
from cxrfmkd.evaluation.user_metrics import Metric, UserMetrics
from cxrfmkd.statistics.multiple import adjust_by_family
from cxrfmkd.study.settings import Evaluation, Findings, Labels
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.attributes import PRESETS, Attributes
from cxrfmkd.vocabulary.models import join_model

log = logging.getLogger(__name__)

NamedTables = Iterator[tuple[str, pd.DataFrame]]  # rows of tables, names as in TABLE_COLUMNS
ZEROS = Labels()
Comparison = tuple[str, Family, Family]  # kind, family, reference
OF_GROUPS = ("subgroups", "gaps", "halves")  # tables that may be of the selected seed alone


def evaluate(
    dataset: str,
    runs: list[Run],
    val: pd.DataFrame,
    test: pd.DataFrame,
    weights: pd.DataFrame,
    settings: Evaluation,
    labels: Labels = ZEROS,
    sources: dict[str, pd.DataFrame] | None = None,
    excluded: Mapping[str, pd.Series] | None = None,
    selected: Mapping[str, int] | None = None,
    attributes: Attributes = PRESETS,
    findings: Findings = THESIS,
    metrics: Mapping[str, Metric] | None = None,
) -> dict[str, pd.DataFrame]:
    """All tables of TABLE_COLUMNS, as in docs/evaluation.md.

    val, test: records. weights: columns image_id and weight, of the resampled test set; all 1
    means that there is none.
    labels: what uncertain and blank ones mean. sources: validation records of the datasets that
    models were trained on, for thresholds that are carried over from there. excluded: by name of a
    dataset, its images that no model is measured on, as from `excluded_images`; none by default.
    selected: by wildcard of a model trained on the dataset itself, the seed that tables of groups
    and halves are of; the mean over all seeds by default. attributes, findings: of the study; those
    findings are measured that the records have. metrics: users' own, by name, that `metrics`,
    `summary` and `comparisons` have beside the four.
    """
    check_findings({"val": val, "test": test})
    names = {dataset, *(sources or {})}
    excluded = dict.fromkeys(names, exclusions.nothing()) | dict(excluded or {})
    counts = exclusions.count_exclusions({"val": val, "test": test}, excluded[dataset])
    families = by_family(runs)
    source_images = {
        name: labelled_images(table, labels, excluded[name])
        for name, table in (sources or {}).items()
    }
    val_images, test_images = (
        labelled_images(table, labels, excluded[dataset]) for table in (val, test)
    )
    validated = {
        family: validate(members, val_images, source_images, settings.target_fpr)
        for family, members in families.items()
    }
    macro = {family: validation.macro for family, validation in validated.items()}
    pairs = references(families, dataset, macro, settings.comparisons)

    def rows() -> NamedTables:
        measured = exclusions.measured_images(test, excluded[dataset])
        about = settings.minimum_cell, labels, attributes
        disclosed = _disclosure(test, measured, weights, *about)
        divided = settings, disclosed, attributes, findings
        for population in populations(measured, test_images, weights, *divided):
            measured_rows = _measure(
                population, families, validated, pairs, selected or {}, metrics or {}
            )
            tables = _joined(measured_rows)
            deviations = tables.pop("deviations", pd.DataFrame())
            if "comparisons" in tables:
                tables["comparisons"] = comparisons.adjusted_comparisons(
                    tables["comparisons"], deviations.to_numpy(), settings.adjustment
                )
            for name, table in tables.items():
                yield name, publish(name, _adjusted(name, table, population), population.cells)

    tables = _joined(rows()) | {"exclusions": counts}
    return {
        name: tables.get(name, pd.DataFrame()).assign(dataset=dataset).reindex(columns=columns)
        for name, columns in TABLE_COLUMNS.items()
    }


def _disclosure(
    test: pd.DataFrame,
    measured: pd.DataFrame,
    weights: pd.DataFrame,
    minimum: int,
    labels: Labels,
    attributes: Attributes,
) -> Disclosure:
    """What may be shown of all test images, of the measured ones, and of those with a weight."""
    weighted = weights.image_id[weights.weight > 0]
    parts = [test, measured, measured[measured.image_id.isin(weighted)]]
    by_size = {len(part): part for part in parts if len(part)}
    policy = labels.uncertain, labels.blank, attributes
    return reduce(or_, (disclosure(part, minimum, *policy) for part in by_size.values()))


def _joined(named: Iterable[tuple[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """Tables of one name joined, in order."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for name, table in named:
        tables.setdefault(name, []).append(table)
    return {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}


def _measure(
    population: Population,
    families: dict[Family, list[Run]],
    validated: dict[Family, Validation],
    pairs: list[Comparison],
    selected: Mapping[str, int],
    metrics: Mapping[str, Metric],
) -> NamedTables:
    """Rows of all tables. Families that others are compared with come first, and are kept."""
    compared_with = {reference for _, _, reference in pairs}
    summaries: dict[Family, FamilySummary] = {}
    by_user: dict[Family, UserMetrics] = {}
    ordered = sorted(families, key=lambda family: family not in compared_with)
    for i, family in enumerate(ordered, start=1):
        log.info("%s test set: %s (%d of %d)", population.name, family.name, i, len(families))
        runs = families[family]
        images = population.images
        logits = [read_logits(run.predictions, "test", images, run.shared) for run in runs]
        seeds, cuts = [run.seed for run in runs], validated[family].cuts
        seed = selected.get(join_model(family.model, family.loss))
        trained_here = family.strategy == "own" and len(runs) > 1
        position = seeds.index(seed) if trained_here and seed is not None else None
        result = measurement.measure_family(logits, cuts, population, position)
        of_groups, over_replicates = result.seeds, result.measures
        if position is not None and result.alone is not None:
            of_groups = measurement.of_seed(result.seeds, position)
            over_replicates = result.alone
        cells = population.cells
        measures = subgroups.group_measures(over_replicates, cells)
        by_seed = subgroups.group_measures(of_groups.measures, cells)
        ranges = gaps.ranges(measures, cells.groups, cells.findings)
        tables = _family_tables(seeds, result, of_groups, measures, by_seed, ranges, population)
        for name, table in tables:
            if name == "summary":
                primary = (table.finding == PRIMARY[0]) & (table.metric == PRIMARY[1])
                table["validation"] = np.where(primary, validated[family].macro, np.nan)
            n_seeds = len((of_groups if name in OF_GROUPS else result.seeds).cuts)
            yield name, table.assign(**family._asdict(), n_seeds=n_seeds)
        if metrics:
            by_user[family] = user_metrics.measure(logits, population, metrics)
            for name, table in _user_tables(by_user[family], seeds, population):
                yield name, table.assign(**family._asdict(), n_seeds=len(runs))
        level = population.settings.confidence
        table = recalibration_table(logits, validated[family].fits, population, level)
        yield "recalibration", table.assign(**family._asdict(), n_seeds=len(runs))
        seed_ranges = gaps.ranges(by_seed, cells.groups, cells.findings)
        summary = measurement.summarise(result, ranges, seed_ranges, cells.findings)
        if family in compared_with:
            summaries[family] = summary
        else:
            yield from _comparisons(family, summary, summaries, pairs, population, by_user)
    for family, summary in summaries.items():
        yield from _comparisons(family, summary, summaries, pairs, population, by_user)


def _user_tables(measured: UserMetrics, seeds: list[int], population: Population) -> NamedTables:
    """A family's rows of users' metrics."""
    yield "metrics", user_metrics.metrics_table(measured, seeds, population)
    yield "summary", user_metrics.summary_table(measured, population)


def _family_tables(
    seeds: list[int],
    result: measurement.FamilyResult,
    of_groups: measurement.SeedResult,
    measures: subgroups.GroupMeasures,
    by_seed: subgroups.GroupMeasures,
    ranges: gaps.Ranges,
    population: Population,
) -> NamedTables:
    """A family's own rows of the tables. of_groups, by_seed: all seeds, or the selected one."""
    settings, cells = population.settings, population.cells
    level, names = settings.confidence, cells.findings.names
    sides = cells.with_finding[:, 0], cells.without_finding[:, 0]
    prevalence = result.measures.prevalence[0]
    counts = measurement.everyones_counts(result, cells)
    # Curves of findings that few patients have or lack would show single images.
    few = cells.images[:, 0] < calibration.BINS * cells.minimum
    without_points = np.array(names)[cells.hidden_counts[1][:, 0] | few]

    def counted(table: pd.DataFrame) -> pd.DataFrame:
        finding = pd.Index(names).get_indexer(table.finding)
        return table.assign(**{name: count[finding] for name, count in counts.items()})

    yield "metrics", measurement.metrics_table(result, seeds, cells)
    yield "summary", measurement.summary_table(result, cells, level, settings.target_fpr)
    worth = result.worth, result.seeds.worth, result.seeds.cuts
    yield "thresholds", counted(threshold_table(*worth, sides, level, names))
    calibrated = result.calibration, result.seeds.calibration
    table = calibration.calibration_table(*calibrated, np.minimum(*sides), level, names)
    points = (table.metric == "observed") & table.finding.isin(without_points)
    yield "calibration", counted(table[~points])
    yield "halves", measurement.halves_table(of_groups, cells.findings)
    table = curves.curve_table(result.seeds.curves, names)
    yield "curves", table[~table.finding.isin(without_points)]
    yield "subgroups", subgroups.subgroup_table(measures, by_seed, prevalence, cells, settings)
    yield "gaps", gaps.range_table(ranges, measures, by_seed, cells, settings)
    yield "gaps", gaps.pair_table(measures, by_seed, cells, level)


def _comparisons(
    family: Family,
    summary: FamilySummary,
    summaries: dict[Family, FamilySummary],
    pairs: list[Comparison],
    population: Population,
    by_user: Mapping[Family, UserMetrics],
) -> NamedTables:
    """A family's differences from its references, whose `summaries` are there."""
    sample, level = population.sample, population.settings.confidence
    patients = sample.patient_codes[0]
    cells = population.cells
    fewest = pd.Series(np.minimum(*measurement.patients_of(cells)), cells.findings.rows)
    for kind, reference in [(kind, b) for kind, a, b in pairs if a == family]:
        other = summaries[reference]
        table, deviations = comparisons.comparison_table(
            summary,
            other,
            sample.targets,
            patients,
            fewest,
            level,
            population.settings.margin,
            population.cells.findings,
        )
        names = {"model_a": family.name, "model_b": reference.name, "family": kind}
        yield "comparisons", table.assign(**names)
        yield "deviations", pd.DataFrame(deviations)
        if by_user:
            of_users = by_user[family], by_user[reference]
            table, deviations = user_metrics.comparison_table(
                *of_users, fewest, level, population.cells.findings
            )
            yield "comparisons", table.assign(**names)
            yield "deviations", pd.DataFrame(deviations)
        if kind != "loss":
            seeds = summary.ranges_by_seed, other.ranges_by_seed
            both, findings = (summary.ranges, other.ranges), population.cells.findings
            table = gaps.versus_table(*both, seeds, level, findings)
            yield "gaps", table.assign(a=family.name, b=reference.name, **family._asdict())


def _adjusted(name: str, table: pd.DataFrame, population: Population) -> pd.DataFrame:
    """One table of a population, with p-values adjusted within their families of tests."""
    method = population.settings.adjustment
    if name == "gaps" and "p" in table:
        # Groups differ in prevalence, on which AUC-PR depends: its gaps are no evidence of bias.
        table["p"] = table.p.mask(table.metric == "auc_pr")
        table["family"] = table.kind + ": " + table.attribute + ", " + table.metric
        table = adjust_by_family(table, [*Family._fields, "family"], method)
    half = " " + table.half if name == "halves" else ""
    return table.assign(population=population.name + half)
