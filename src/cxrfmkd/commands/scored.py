"""Tables of truth and scores of any origin: rows matched by key, findings by name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.commands.options import add_settings, output_file
from cxrfmkd.commands.user_tables import read_user_table
from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.evaluation.intervals import patients_of_rows
from cxrfmkd.evaluation.metrics import checked, with_averages
from cxrfmkd.runtime.cells import numbers, reject
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.text_tables import typed
from cxrfmkd.study.settings import Evaluation
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.findings import FINDINGS


def add_arguments(parser: argparse.ArgumentParser, scores: str, action: str = "store") -> None:
    """The arguments of commands on such tables. scores: help of --scores; action: its action."""
    add = parser.add_argument
    add("--truth", type=Path, required=True, help="CSV or Parquet: 0, 1 or blank")
    add("--scores", type=Path, required=True, help=scores, action=action)
    add("--key", required=True, help="column of all files that names a row")
    add("--cluster", help="column of the truth that the bootstrap draws, the patient")
    add("--weights", help="column of the truth that counts a row, such as a resampled test set's")
    add("--out", type=output_file, required=True, help="CSV or Parquet to write")
    add_settings(parser, Evaluation, "replicates", "confidence", "target_fpr", "seed")


@dataclass(frozen=True)
class ScoredImages:
    """Targets of n rows and f findings, and the scores of one or several models.

    findings: names; the study's 14 come first, in their order, if all are there. targets: (n, f),
    0, 1 or NaN; scores: (n, f) a model; weights, clusters: (n,).
    """

    findings: list[str]
    targets: np.ndarray
    scores: list[np.ndarray]
    weights: np.ndarray
    clusters: np.ndarray

    @property
    def complete(self) -> bool:
        """Whether the study's findings are all there, so that they have averages."""
        return tuple(self.findings[: len(FINDINGS)]) == FINDINGS

    @property
    def rows(self) -> list[str]:
        """What is measured: the findings, after the study's 14 their averages."""
        if not self.complete:
            return self.findings
        return [*THESIS.rows, *self.findings[len(FINDINGS) :]]

    def measure(self, args: argparse.Namespace) -> list[np.ndarray]:
        """Metrics of each model on the same replicates, the data themselves first.

        Shape (1 + replicates, rows, 4).
        """
        everyone = np.zeros((len(self.targets), 1), np.int16)
        sample = Sample(
            self.targets, self.clusters, self.weights, everyone, args.replicates, seed=args.seed
        )
        results = []
        for scores in self.scores:
            metrics = sample.measure(scores, target_fpr=args.target_fpr).metrics[..., 0]
            values = np.moveaxis(metrics, 1, -1)
            if self.complete:
                of_findings = values[:, : len(FINDINGS)]
                averaged = with_averages(of_findings, of_findings[0])
                values = np.concatenate([averaged, values[:, len(FINDINGS) :]], axis=1)
            results.append(values)
        return results

    def per_row(self, values: np.ndarray) -> np.ndarray:
        """A number per finding as a number per row, (rows, 1); blank for averages."""
        return pd.Series(values, self.findings, float).reindex(self.rows).to_numpy()[:, None]

    def counts(self) -> dict[str, np.ndarray]:
        """Columns n and positives: rows with a target and a weight, and those with the finding."""
        counted = ~np.isnan(self.targets) & (self.weights > 0)[:, None]
        positives = counted & (self.targets == 1)
        return {"n": self.per_row(counted.sum(0)), "positives": self.per_row(positives.sum(0))}

    def sides(self) -> tuple[np.ndarray, np.ndarray]:
        """Clusters with and without each finding and average, (rows,), for intervals."""
        counted = (self.weights > 0)[:, None] & ~np.isnan(self.targets)
        numbers = [
            [len(np.unique(self.clusters[rows])) for rows in (counted & (self.targets == side)).T]
            for side in (1, 0)
        ]
        with_finding, without = map(np.array, numbers)
        if not self.complete:
            return with_finding, without
        n = len(FINDINGS)
        averaged = patients_of_rows(with_finding[:n], without[:n], THESIS)
        return np.r_[averaged[0], with_finding[n:]], np.r_[averaged[1], without[n:]]


def read_scored(args: argparse.Namespace, paths: Sequence[Path]) -> ScoredImages:
    """Truth as `args` names it, and the scores in `paths`; prints which columns are left out."""
    truth = _read(args.truth, args.key, args.cluster, args.weights)
    models = {path: _read(path, args.key) for path in paths}
    keys = pd.Index(truth[args.key])
    orders = {path: _order(keys, path, scores, args) for path, scores in models.items()}
    no_findings = (args.key, args.cluster, args.weights)
    shared = set.intersection(*(set(scores) for scores in models.values())) - set(no_findings)
    findings = [column for column in truth if column in shared]
    if set(FINDINGS) <= set(findings):
        findings = list(dict.fromkeys([*FINDINGS, *findings]))
    if not findings:
        raise InputError(
            f"{' and '.join(map(str, models))}: no column has the name of one of {args.truth}, "
            f"which has {some(truth, 20)}. A finding is matched by the name of its column."
        )
    for path, table in {args.truth: truth, **models}.items():
        if left_out := [name for name in table if name not in (*findings, *no_findings)]:
            print(f"{path}: not in all files, so left out: {some(left_out, 20)}", file=sys.stderr)
    targets = _numbers(truth, findings, args.truth, _check_truth)
    weights = _numbers(truth, [args.weights], args.truth)[:, 0] if args.weights else None
    checked_models = [
        checked(targets, _numbers(scores, findings, path)[orders[path]], weights)
        for path, scores in models.items()
    ]
    clusters = np.arange(len(truth))
    if args.cluster:  # numbers in the order of numbers
        clusters = typed(truth[[args.cluster]])[args.cluster].to_numpy()
    targets, _, weights = checked_models[0]
    return ScoredImages(findings, targets, [s for _, s, _ in checked_models], weights, clusters)


def _read(path: Path, key: str, *columns: str | None) -> pd.DataFrame:
    """A table with unique keys, as text; `columns` are there without blanks."""
    required = list(dict.fromkeys(name for name in (key, *columns) if name))
    table = read_user_table(path, required)
    for name in required:
        reject(table[name].isna(), f"{path}, column {name}", "rows are blank", remedy="Fill them.")
    duplicate = table[key].duplicated(keep=False)
    problem = f"rows with a duplicate {key}"
    reject(duplicate, str(path), problem, remedy="Give each image one row.")
    return table


def _order(keys: pd.Index, path: Path, scores: pd.DataFrame, args) -> np.ndarray:
    """Where in `scores` each of the truth's keys stands; both have the same keys."""
    own = pd.Index(scores[args.key])
    absent, extra = len(keys.difference(own)), len(own.difference(keys))
    if absent or extra:
        raise InputError(
            f"{path}: {absent} rows of {args.truth} have no scores and {extra} rows of it no "
            f"truth, by {args.key}. Give all files the same rows."
        )
    return own.get_indexer(keys)


def _numbers(
    table: pd.DataFrame,
    columns: Sequence[str],
    path: Path,
    check: Callable[[pd.Series, str], None] | None = None,
) -> np.ndarray:
    """float64 of shape (n, columns); InputError with the lines of values that are not numbers."""
    values = [numbers(table[name], str(path)) for name in columns]
    for column in values:
        if check:
            check(column, f"{path}, column {column.name}")
    return np.stack([column.to_numpy() for column in values], axis=1)


def _check_truth(column: pd.Series, source: str) -> None:
    invalid = column.notna() & ~column.isin([0, 1])
    remedy = "Make each 0, 1 or blank; what -1 (uncertain) shall mean is for you to say."
    reject(invalid, source, "values are not 0, 1 or blank", column, remedy)
