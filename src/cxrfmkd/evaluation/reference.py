"""Models and labels held to a reference standard: what experts say of some of the test images.

Every metric with the experts' truth, beside the same images with the labels of the dataset; how
well these labels agree with the experts, by group of patients; and whether models rank alike.
"""

from __future__ import annotations

import logging
from itertools import combinations

import numpy as np
import pandas as pd

from cxrfmkd.datasets import records
from cxrfmkd.datasets.disclosure import disclosure
from cxrfmkd.datasets.reference import ExpertLabels
from cxrfmkd.evaluation import measurement, subgroups
from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.evaluation.columns import REFERENCE_COLUMNS
from cxrfmkd.evaluation.comparisons import compared_rows
from cxrfmkd.evaluation.families import Family
from cxrfmkd.evaluation.intervals import rate_bounds
from cxrfmkd.evaluation.populations import Population, populations
from cxrfmkd.evaluation.predictions import LabelledImages, labelled_images, read_logits
from cxrfmkd.evaluation.publication import publish
from cxrfmkd.evaluation.runs import Run, by_family, validate
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics.uncertainty import (
    bounded_interval,
    errors,
    seed_variance,
    standard_error,
)
from cxrfmkd.study.settings import Evaluation, Findings, Labels
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.attributes import PRESETS, Attributes
from cxrfmkd.vocabulary.metrics import METRICS

log = logging.getLogger(__name__)

EXPERTS, LABELLER = "reference", "labeller"  # populations: the same images, with either's truth
AGREEMENT = ("sensitivity", "specificity", "kappa")


def evaluate_reference(
    dataset: str,
    runs: list[Run],
    val: pd.DataFrame,
    test: pd.DataFrame,
    experts: ExpertLabels,
    settings: Evaluation,
    labels: Labels,
    excluded: pd.Series,
    attributes: Attributes = PRESETS,
    findings: Findings = THESIS,
) -> dict[str, pd.DataFrame]:
    """All tables of REFERENCE_COLUMNS, as in docs/evaluation.md.

    val, test: records; experts: of every record of `test`. excluded: images that no model is
    measured on, as from `excluded_images`. Replicates draw patients, whatever `settings.unit`.
    attributes, findings: of the study.
    """
    read = ~np.isnan(experts.targets).all(axis=1)
    measured = read & ~test.image_id.isin(excluded.index).to_numpy()
    counts = experts.counts | {"images": int(read.sum()), "measured": int(measured.sum())}
    log.info("%s: experts read %d test images, %d measured", dataset, read.sum(), measured.sum())
    targets = records.targets(test[measured], labels.uncertain, labels.blank).astype(float)
    truth = experts.targets[measured]
    truths = {EXPERTS: truth, LABELLER: np.where(np.isnan(truth), np.nan, targets)}
    by_truth = {
        name: _population(name, test, measured, truth, settings, attributes, findings)
        for name, truth in truths.items()
    }
    rows: dict[str, list[pd.DataFrame]] = {}
    metrics: dict[str, list[np.ndarray]] = {name: [] for name in by_truth}
    # Experts choose no threshold.
    validation = labelled_images(val, labels, excluded)
    for family, members in by_family(runs).items():
        cuts = validate(members, validation, {}, settings.target_fpr).cuts
        images = by_truth[EXPERTS].images  # the same for either truth
        logits = [read_logits(run.predictions, "test", images, run.shared) for run in members]
        for name, population in by_truth.items():
            seeds = [run.seed for run in members]
            tables, replicates = _measure(family, seeds, logits, cuts, population)
            metrics[name].append(replicates)
            for table, part in tables.items():
                rows.setdefault(table, []).append(part.assign(population=name))
    tables = {name: pd.concat(parts, ignore_index=True) for name, parts in rows.items()}
    tables["reference_agreement"] = agreement(by_truth[EXPERTS], truths[LABELLER])
    tables["reference_ranks"] = rank_agreement(
        metrics[EXPERTS],
        metrics[LABELLER],
        settings.confidence,
        by_truth[EXPERTS].cells.findings,
    )
    tables["reference_counts"] = pd.DataFrame([counts])
    return {
        name: tables.get(name, pd.DataFrame()).assign(dataset=dataset).reindex(columns=columns)
        for name, columns in REFERENCE_COLUMNS.items()
    }


def _population(
    name: str,
    test: pd.DataFrame,
    measured: np.ndarray,
    targets: np.ndarray,
    settings: Evaluation,
    attributes: Attributes,
    findings: Findings,
) -> Population:
    """The images that were read, with one truth; only the experts' is divided into groups."""
    table = test[measured].reset_index(drop=True)
    table = table.assign(**dict(zip(records.findings_of(test), targets.T, strict=True)))
    table["disease"] = records.disease(table, findings.classes)
    known = [a for a in settings.attributes if table[a].notna().any() and name == EXPERTS]
    settings = settings.model_copy(update={"attributes": known, "unit": "patient"})
    images = LabelledImages(
        table.image_id, targets, test.image_id[~measured], records.findings_of(test)
    )
    weights = pd.DataFrame({"image_id": table.image_id, "weight": 1.0})
    disclosed = disclosure(table, settings.minimum_cell, "zeros", "ignore", attributes)
    divided = settings, disclosed, attributes, findings
    (population,) = populations(table, images, weights, *divided)
    return population


def _measure(
    family: Family,
    seeds: list[int],
    logits: list[np.ndarray],
    cuts: np.ndarray,
    population: Population,
) -> tuple[dict[str, pd.DataFrame], np.ndarray]:
    """A family's metrics, their mean over seeds and, with the experts' truth, its subgroups.

    Beside the tables, metrics of the mean over seeds, (1 + replicates, rows, 4).
    """
    settings, cells = population.settings, population.cells
    result = measurement.measure_family(logits, cuts, population)
    level = settings.confidence
    tables = {
        "metrics": measurement.metrics_table(result, seeds, cells),
        "summary": measurement.summary_table(result, cells, level, settings.target_fpr),
    }
    if cells.groups.divisions:
        measures = subgroups.group_measures(result.measures, cells)
        by_seed = subgroups.group_measures(result.seeds.measures, cells)
        prevalence = result.measures.prevalence[0]
        tables["subgroups"] = subgroups.subgroup_table(
            measures, by_seed, prevalence, cells, settings
        )
    published = {
        f"reference_{name}": publish(name, table, cells).assign(
            **family._asdict(), n_seeds=len(seeds)
        )
        for name, table in tables.items()
    }
    return published, measurement.everyones_metrics(result.measures, cells.findings)


def agreement(population: Population, labelled: np.ndarray) -> pd.DataFrame:
    """Sensitivity, specificity and Cohen's kappa of the labels against the experts, by group.

    population: with the experts' truth. labelled: (n, f), what the labels say of its images; NaN
    takes no part. Shares of patients have Wilson's interval with as many trials as their error is
    worth, kappa that of its logit between -1 and 1.
    """
    sample, settings = population.sample, population.settings
    missing = np.isnan(labelled)
    compared = np.where(missing, np.nan, sample.targets)
    cells = subgroups.count_cells(
        compared,
        sample.patients,
        sample.weights,
        population.cells.groups,
        settings.minimum_cell,
        population.cells.disclosed,
        population.cells.findings,
    )
    bootstrap = settings.replicates, "patient", settings.seed
    of_labels = Sample(
        compared, sample.patients, sample.weights, sample.groups, *bootstrap, cells.detail()
    )
    cut = np.full((labelled.shape[1], 1), 0.5)
    measures = of_labels.measure(np.where(missing, 0.0, labelled), cut)
    share, tpr, fpr = measures.prevalence, measures.tpr[:, 0], measures.fpr[:, 0]
    values = np.stack([tpr, 1 - fpr, kappa(share, tpr, fpr)])
    hidden = np.stack([cells.hidden(name) for name in ("tpr", "fpr", "kappa")])
    low, high = np.full((2, *hidden.shape), np.nan)
    counts = cells.with_finding, cells.without_finding, cells.fewest("kappa")
    for i, patients in enumerate(counts):
        one = values[i][:1]
        if i < 2:
            bounds = rate_bounds(values[i], one, patients, settings.confidence)
        else:
            error = errors(values[i], seed_variance(one), patients=patients)
            bounds = bounded_interval(values[i][0], error, settings.confidence, -1.0)
        low[i], high[i] = bounds
    about = list(zip(cells.groups.attributes, cells.groups.names, strict=True))
    table = long(
        {"metric": AGREEMENT, "finding": cells.findings.names, "attribute,group": about},
        estimate=np.where(hidden, np.nan, values[:, 0]),
        low=np.where(hidden, np.nan, low),
        high=np.where(hidden, np.nan, high),
        suppressed=hidden,
        **subgroups.counts(share[0], cells),
    )
    return publish("agreement", table, cells)


def kappa(share: np.ndarray, tpr: np.ndarray, fpr: np.ndarray) -> np.ndarray:
    """Cohen's kappa of two binary labels, from the share that the first calls positive.

    tpr, fpr: shares of these, and of the others, that the second calls positive. Arrays of any
    shape; NaN where both say the same of all.
    """
    other = share * tpr + (1 - share) * fpr
    observed = share * tpr + (1 - share) * (1 - fpr)
    expected = share * other + (1 - share) * (1 - other)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected < 1, (observed - expected) / (1 - expected), np.nan)


def rank_agreement(
    experts: list[np.ndarray],
    labeller: list[np.ndarray],
    confidence: float,
    findings: Findings = THESIS,
) -> pd.DataFrame:
    """Kendall's tau of the models under both truths, for every metric of `compared_rows`.

    experts, labeller: metrics of the same models in the same order, on the same replicates, of
    shape (1 + replicates, rows, 4), the sample first. The bootstrap of a rank correlation does not
    cover where models are about as good, so the interval holds every tau that the pairs of models
    allow whose order both truths tell with certainty: those whose difference exceeds what the
    largest of all pairs and both truths reaches by chance (Mogstad, Romano, Shaikh and Wilhelm
    2024). `resolved` counts these pairs, `reversed` those of them whose order differs. NaN with
    fewer than three models, or without replicates.
    """
    pairs = list(combinations(range(len(experts)), 2))
    lines = []
    for finding in compared_rows(findings):
        row = findings.rows.index(finding)
        for column, metric in enumerate(METRICS):
            sides = [
                np.stack([metrics[:, row, column] for metrics in models], axis=1)
                for models in (experts, labeller)
            ]
            line = {"finding": finding, "metric": metric, "n_models": len(experts)}
            lines.append(line | _tau(sides, pairs, confidence))
    return pd.DataFrame(lines)


def _tau(
    sides: list[np.ndarray], pairs: list[tuple[int, int]], confidence: float
) -> dict[str, float]:
    """Tau-b with its interval. sides: (1 + replicates, models) under either truth."""
    blank = dict.fromkeys(("estimate", "low", "high", "resolved", "reversed"), np.nan)
    if len(sides[0][0]) < 3 or any(np.isnan(side[0]).any() for side in sides):
        return blank | {"pairs": len(pairs)}
    first, second = np.array(pairs).T
    gaps = [side[:, first] - side[:, second] for side in sides]
    signs = [np.sign(gap[0]) for gap in gaps]
    size = np.sqrt(np.prod([np.abs(sign).sum() for sign in signs]))
    agree = np.prod(signs, axis=0)
    estimate = {"estimate": float(agree.sum() / size) if size else np.nan}
    error = np.concatenate([standard_error(gap[1:]) for gap in gaps])
    apart = np.concatenate([gap[0] for gap in gaps])
    drawn = np.concatenate(gaps, axis=1)[1:] - apart
    with np.errstate(invalid="ignore", divide="ignore"):
        largest = np.nan_to_num(np.abs(drawn) / error).max(axis=1, initial=0)
        if len(largest) < 2:
            return blank | estimate | {"pairs": len(pairs)}
        certain = np.abs(apart) / error > np.quantile(largest, confidence)
    both = certain.reshape(2, -1).all(axis=0)
    product = agree[both].sum()
    unknown = len(pairs) - both.sum()
    return estimate | {
        "low": float((product - unknown) / len(pairs)),
        "high": float((product + unknown) / len(pairs)),
        "pairs": len(pairs),
        "resolved": int(both.sum()),
        "reversed": int((both.sum() - product) / 2),
    }
