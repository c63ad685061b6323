"""Evaluation of every classifier on one dataset: from predictions and records to the study's
tables.

Each model is measured on the natural and on the resampled test set, on the same bootstrap
replicates as every other.
Memory: about four arrays of replicates x 14 findings x groups x 11 measures, 8 bytes each (0.3 GB
for 2,000 replicates and 32 groups), and a hundredth of that for each family that others are
compared with.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.datasets import splits
from cxrfmkd.datasets.records import targets
from cxrfmkd.datasets.resampling import weights_in_order
from cxrfmkd.evaluation import calibration, comparisons, curves, gaps, operating_points, subgroups
from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.evaluation.families import Family, references
from cxrfmkd.evaluation.measurement import (
    MEASURES,
    Measured,
    halves_table,
    measure,
    metrics_tables,
    summary_table,
    whole,
)
from cxrfmkd.evaluation.metrics import measures, names, with_groups
from cxrfmkd.evaluation.predictions import read_logits
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.longform import stamped
from cxrfmkd.statistics.multiple import adjust_by_family
from cxrfmkd.study.settings import Evaluation
from cxrfmkd.vocabulary.findings import FINDINGS

log = logging.getLogger(__name__)

RUN = ["dataset", "source", "strategy", "model", "loss", "population"]
COUNTS = ["n", "positives", "prevalence"]
INTERVAL = ["estimate", "low", "high"]
TABLES = {
    "metrics": [
        *RUN[:-1],
        "seed",
        "population",
        "finding",
        "metric",
        *INTERVAL,
        *COUNTS,
        "undefined",
    ],
    "summary": [
        *RUN,
        "finding",
        "metric",
        "mean",
        "sd",
        "n_seeds",
        "low",
        "high",
        *COUNTS,
        "undefined",
    ],
    "comparisons": [
        "dataset",
        "population",
        "finding",
        "metric",
        "model_a",
        "model_b",
        "difference",
        "low",
        "high",
        "p",
        "p_adjusted",
        "family",
        "p_delong",
    ],
    "thresholds": [
        *RUN,
        "finding",
        "rule",
        "threshold",
        "threshold_sd",
        "metric",
        *INTERVAL,
        "n_seeds",
        *COUNTS,
    ],
    "calibration": [*RUN, "finding", "metric", "bin", "predicted", *INTERVAL, "n_seeds", *COUNTS],
    "subgroups": [
        *RUN,
        "attribute",
        "group",
        "finding",
        "metric",
        *INTERVAL,
        "relative",
        "relative_low",
        "relative_high",
        "n_seeds",
        "n",
        "patients",
        "positives",
        "prevalence",
        "suppressed",
    ],
    "gaps": [
        *RUN,
        "attribute",
        "finding",
        "metric",
        "kind",
        "a",
        "b",
        *INTERVAL,
        "expected",
        "corrected",
        "p",
        "p_adjusted",
        "family",
        "n_seeds",
    ],
    "curves": [*RUN, "finding", "curve", "x", "y", "sd", "n_seeds"],
    "halves": [*RUN, "finding", "metric", "mean", "n_seeds"],
}


@dataclass(frozen=True)
class Run:
    """One classifier's predictions. before: those on its source, for a model that was not trained again."""

    family: Family
    seed: int
    predictions: Path
    before: Path | None = None


def runs_of(
    described: list[dict], predictions: list[Path], before: list[Path]
) -> tuple[list[Run], list[str]]:
    """The runs of a spec with their files, and the sources whose validation records their
    thresholds need.

    described: source, strategy, model, loss and seed of each run. predictions: one file a run, in
    order. before: one file for each run of strategy "direct", in order, or none at all.
    """
    direct = [run["strategy"] == "direct" for run in described]
    if len(described) != len(predictions) or len(before) not in (0, sum(direct)):
        raise InputError(
            f"evaluate: {len(described)} runs, of them {sum(direct)} direct, but "
            f"{len(predictions)} predictions and "
            f"{len(before)} source predictions. Give one file a run, in the order of spec.runs."
        )
    waiting = iter(before)
    runs, sources = [], []
    for run, path, moved in zip(described, predictions, direct, strict=True):
        family = Family(*(run[name] for name in Family._fields))
        runs.append(Run(family, run["seed"], path, next(waiting, None) if moved else None))
        if moved and before and family.source not in sources:
            sources.append(family.source)
    return runs, sources


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
    """All TABLES, as in docs/evaluation.md.

    val, test: records. weights: columns image_id and weight, of the resampled test set; all 1
    means that there is none.
    uncertain: as in `records.targets`. sources: validation records of the datasets that models were
    trained on, for thresholds that are carried over from there.
    """
    families: dict[Family, list[Run]] = {}
    for run in runs:
        families.setdefault(run.family, []).append(run)
    sources = {name: (r.image_id, targets(r, uncertain)) for name, r in (sources or {}).items()}
    seen = (val.image_id, targets(val, uncertain).astype(float))
    validated = {
        f: validate(f, of, seen, sources, settings.target_fpr) for f, of in families.items()
    }
    populations = {"natural": np.ones(len(test))}
    resampled = weights_in_order(weights, test.image_id)
    if not (resampled == 1).all():
        populations["resampled"] = resampled
    truth = targets(test, uncertain).astype(float)
    groups = subgroups.groups(test, settings.attributes)
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for name, population in populations.items():
        chosen = _Population(dataset, name, population, truth, test, groups, settings)
        for table, rows in chosen.measure(families, validated).items():
            parts[table].append(stamped(rows, dataset=dataset))
    return {
        name: (pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()).reindex(
            columns=TABLES[name]
        )
        for name, rows in parts.items()
    }


def validate(
    family: Family, runs: list[Run], val: tuple, sources: dict[str, tuple], target_fpr: float
) -> tuple[np.ndarray, float]:
    """Thresholds of each seed, shape (seeds, 14, 2), and the mean macro AUC-ROC, all on validation
    images.

    val, and the values of `sources`: (image_ids, truth). The second threshold is from the source's
    images.
    """
    cuts, scores = [], []
    for run in runs:
        logits = read_logits(run.predictions, "val", val[0])
        own = operating_points.thresholds(val[1], logits, target_fpr)
        before = np.full(len(FINDINGS), np.nan)
        if run.before is not None:
            ids, truth = sources[family.source]
            before = operating_points.thresholds(
                truth, read_logits(run.before, "val", ids), target_fpr
            )
        cuts.append(np.stack([own, before], axis=1))
        scores.append(with_groups(measures(val[1], logits))[names().index("Macro"), 1])
    return np.array(cuts), float(np.mean(scores))


class _Population:
    """One weighting of the test images, and the tables that are filled on it."""

    def __init__(self, dataset, name, weights, truth, test, groups, settings: Evaluation) -> None:
        patients = test.patient_id.to_numpy()
        s = self.settings = settings
        self.dataset, self.name, self.ids, self.groups = dataset, name, test.image_id, groups
        self.side = splits.half(test.patient_id)
        self.cells = subgroups.cells(truth, patients, weights, groups.codes, s.minimum_cell)
        detail = self.cells.detail(groups)
        self.sample = Sample(
            truth, patients, weights, groups.codes, s.replicates, s.unit, s.seed, detail
        )
        self.parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}

    def measure(
        self, families: dict[Family, list[Run]], validated: dict
    ) -> dict[str, pd.DataFrame]:
        """All tables of this population. Families that others are compared with come first, and are kept."""
        macro = {family: score for family, (_, score) in validated.items()}
        pairs = references(families, self.dataset, macro, self.settings.comparisons)
        wanted = {reference for _, _, reference in pairs}
        kept = {}
        ordered = sorted(families, key=lambda family: family not in wanted)
        for place, family in enumerate(ordered, start=1):
            log.info(
                "%s, %s test set: %s (%d of %d)",
                self.dataset,
                self.name,
                family.name,
                place,
                len(families),
            )
            logits = (read_logits(run.predictions, "test", self.ids) for run in families[family])
            measured = measure(
                family.name, logits, validated[family][0], self.sample, self.side, self.settings
            )
            found = self._describe(family, [run.seed for run in families[family]], measured)
            if family in wanted:
                kept[family] = found
            else:
                self._compare(family, found, kept, pairs)
        for family, found in kept.items():
            self._compare(family, found, kept, pairs)
        return {name: self._finished(name, rows) for name, rows in self.parts.items() if rows}

    def _describe(
        self, family: Family, seeds: list[int], measured: Measured
    ) -> comparisons.Compared:
        """Add the family's own rows to the tables, and return what comparisons need of it."""
        level, groups, cells = self.settings.confidence, self.groups, self.cells
        about = family._asdict()
        n_seeds = len(seeds)

        def add(table: str, rows: pd.DataFrame, **more: object) -> None:
            rows = rows if "n_seeds" in rows or "seed" in more else rows.assign(n_seeds=n_seeds)
            self.parts[table].append(stamped(rows, **about, **more))

        for seed, rows in zip(seeds, metrics_tables(measured, cells), strict=True):
            add("metrics", rows, seed=seed)
        add("summary", summary_table(measured, cells, level))
        prevalence = measured.values[MEASURES.index("prevalence"), 0, :, 0]
        points = operating_points.table(measured.worth, measured.cuts, level)
        add("thresholds", self._counted(points, prevalence))
        reliable = calibration.table(
            measured.calibrated, measured.observed, measured.predicted, level
        )
        add(
            "calibration",
            self._counted(self._without_points(reliable, "metric", "observed"), prevalence),
        )
        add("halves", halves_table(measured))
        add("curves", self._without_points(curves.table(measured.curves), "curve", *curves.CURVES))
        rates = subgroups.with_rates(measured.values, MEASURES)
        by_seed = subgroups.with_rates(measured.by_seed, MEASURES)
        add("subgroups", subgroups.table(rates, groups, cells, level))
        ranges = gaps.ranges(rates, groups, cells)
        add("gaps", gaps.range_table(ranges, rates, groups, cells, level))
        add("gaps", gaps.pair_table(rates, by_seed, groups, cells, level))
        return comparisons.Compared(
            whole(measured.values), whole(measured.by_seed), ranges, measured.influence
        )

    def _without_points(self, rows: pd.DataFrame, column: str, *kinds: str) -> pd.DataFrame:
        """`rows` without the points of curves (those kinds of a column) of findings that few patients have or lack."""
        few = self.cells.images[:, 0] < calibration.BINS * self.settings.minimum_cell
        hidden = self.cells.hidden("prevalence")[:, 0] | few
        place = pd.Index(FINDINGS).get_indexer(rows.finding)
        return rows[~(rows[column].isin(kinds).to_numpy() & hidden[place])]

    def _counted(self, rows: pd.DataFrame, prevalence: np.ndarray) -> pd.DataFrame:
        """`rows` with the counts of their findings on everyone; small ones blank."""
        finding = pd.Index(FINDINGS).get_indexer(rows.finding)
        hidden = self.cells.hidden("prevalence")[finding, 0]
        return rows.assign(
            n=self.cells.images[finding, 0],
            positives=np.where(hidden, np.nan, self.cells.positives[finding, 0]),
            prevalence=np.where(hidden, np.nan, prevalence[finding]),
        )

    def _compare(self, family: Family, found, kept: dict, pairs: list) -> None:
        for kind, reference in [(kind, b) for kind, a, b in pairs if a == family]:
            other, sample = kept[reference], self.sample
            rows = comparisons.table(
                found, other, sample.truth, sample.patients, self.settings.confidence
            )
            self.parts["comparisons"].append(
                rows.assign(model_a=family.name, model_b=reference.name, family=kind)
            )
            if kind != "loss":
                rows = gaps.versus_table(found.ranges, other.ranges, self.settings.confidence)
                rows = rows.assign(a=family.name, b=reference.name)
                self.parts["gaps"].append(stamped(rows, **family._asdict()))

    def _finished(self, table: str, rows: list[pd.DataFrame]) -> pd.DataFrame:
        """One table of the population, with p-values adjusted within their families."""
        whole_table = pd.concat(rows, ignore_index=True)
        if table == "comparisons":
            whole_table["family"] = whole_table.family + ": " + whole_table.metric
            whole_table = adjust_by_family(whole_table, ["family"], self.settings.adjustment)
        if table == "gaps" and "p" in whole_table:
            whole_table["family"] = (
                whole_table.kind + ": " + whole_table.attribute + ", " + whole_table.metric
            )
            within = [*Family._fields, "family"]
            whole_table = adjust_by_family(whole_table, within, self.settings.adjustment)
        part = " " + whole_table.half if table == "halves" else ""
        return stamped(whole_table, population=self.name + part)
