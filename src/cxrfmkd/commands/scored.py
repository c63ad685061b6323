"""Tables of truth and scores of any origin: rows matched by key, findings by name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.commands.user_tables import read_user_table
from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.evaluation.metrics import FINDINGS_AND_AVERAGES, checked, with_averages
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.vocabulary.findings import FINDINGS


def add_arguments(parser: argparse.ArgumentParser, scores: str, action: str = "store") -> None:
    """The arguments of commands on such tables. scores: help of --scores; action: its action."""
    add = parser.add_argument
    add("--truth", type=Path, required=True, help="CSV or Parquet: 0, 1 or blank")
    add("--scores", type=Path, required=True, help=scores, action=action)
    add("--key", required=True, help="column of all files that names a row")
    add("--cluster", help="column of the truth that the bootstrap draws, the patient")
    add("--weights", help="column of the truth that counts a row, such as a resampled test set's")
    add("--out", type=Path, required=True, help="CSV or Parquet to write")
    add("--replicates", type=int, default=2000, help="bootstrap replicates (default 2000)")
    add("--confidence", type=float, default=0.95, help="coverage (default 0.95)")
    add("--target-fpr", type=float, default=0.2, help="of youden_j_at_fpr20 (default 0.2)")
    add("--seed", type=int, default=42, help="of the bootstrap (default 42)")


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
        return [*FINDINGS_AND_AVERAGES, *self.findings[len(FINDINGS) :]]

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
                averaged = with_averages(values[:, : len(FINDINGS)])
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


def read_scored(args: argparse.Namespace, paths: Sequence[Path]) -> ScoredImages:
    """Truth as `args` names it, and the scores in `paths`; prints which columns are left out."""
    truth = _read(args.truth, args.key, args.cluster, args.weights)
    models = {path: _read(path, args.key) for path in paths}
    for path, scores in models.items():
        absent, extra = (
            len(a.index.difference(b.index)) for a, b in ((truth, scores), (scores, truth))
        )
        if absent or extra:
            raise InputError(
                f"{path}: {absent} rows of {args.truth} have no scores and {extra} rows of it no "
                f"truth, by {args.key}. Give all files the same rows."
            )
    no_findings = (args.cluster, args.weights)
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
    weights = truth[args.weights] if args.weights else None
    targets = _numbers(truth[findings], args.truth)
    checked_models = [
        checked(targets, _numbers(scores.loc[truth.index, findings], path), weights)
        for path, scores in models.items()
    ]
    clusters = truth[args.cluster].to_numpy() if args.cluster else np.arange(len(truth))
    targets, _, weights = checked_models[0]
    return ScoredImages(findings, targets, [s for _, s, _ in checked_models], weights, clusters)


def _read(path: Path, key: str, *columns: str | None) -> pd.DataFrame:
    """A table indexed by its key, which is unique text; `columns` are there without blanks."""
    required = [name for name in (key, *columns) if name]
    options = {} if path.suffix == ".parquet" else {"dtype": {key: "str"}}
    table = read_user_table(path, required, **options)
    if blank := int(table[required].isna().sum().sum()):
        raise InputError(f"{path}: {blank} blanks in {', '.join(required)}. Fill them.")
    table = table.set_index(table.pop(key).astype(str))
    if duplicates := int(table.index.duplicated().sum()):
        raise InputError(f"{path}: {duplicates} rows with a duplicate {key}. Give each one row.")
    return table


def _numbers(table: pd.DataFrame, path: Path) -> np.ndarray:
    """float64 of shape (n, f); InputError that names the columns that are not numeric."""
    numbers = table.apply(pd.to_numeric, errors="coerce")
    wrong = (numbers.isna() & table.notna()).any()
    if wrong.any():
        raise InputError(
            f"{path}: columns {some(wrong.index[wrong])} have values that are no numbers."
        )
    return numbers.to_numpy(float)
