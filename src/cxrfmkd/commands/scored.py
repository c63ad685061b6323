"""Anybody's tables of truth and scores: rows matched by key, findings by name, nothing by position."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.evaluation.metrics import checked, names, with_groups
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.files import read_table
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.metrics import METRICS


def arguments(parser: argparse.ArgumentParser, scores: str, **more: object) -> None:
    """What every command on such tables is given. scores: help of --scores; more: its further options."""
    parser.add_argument("--truth", type=Path, required=True, help="CSV or Parquet: 0, 1 or blank")
    parser.add_argument("--scores", type=Path, required=True, help=scores, **more)
    parser.add_argument("--key", required=True, help="column of all files that names a row")
    parser.add_argument(
        "--cluster", help="column of the truth that the bootstrap draws, the patient"
    )
    parser.add_argument(
        "--weights", help="column of the truth that counts a row, such as a resampled test set's"
    )
    parser.add_argument("--out", type=Path, required=True, help="CSV or Parquet to write")
    parser.add_argument(
        "--replicates", type=int, default=2000, help="bootstrap replicates (default 2000)"
    )
    parser.add_argument("--confidence", type=float, default=0.95, help="coverage (default 0.95)")
    parser.add_argument(
        "--target-fpr", type=float, default=0.2, help="of youden_j_at_fpr20 (default 0.2)"
    )
    parser.add_argument("--seed", type=int, default=42, help="of the bootstrap (default 42)")


@dataclass(frozen=True)
class Scored:
    """findings: f names; truth: (n, f), 0, 1 or NaN; scores: (n, f) a model; weights, clusters: (n,)."""

    findings: list[str]
    truth: np.ndarray
    scores: list[np.ndarray]
    weights: np.ndarray
    clusters: np.ndarray

    @classmethod
    def read(cls, args: argparse.Namespace, paths: Sequence[Path]) -> Scored:
        """Truth as `arguments` names it, and the scores in `paths`; says which columns are left out."""
        truth = _table(args.truth, args.key, args.cluster, args.weights)
        models = {path: _table(path, args.key) for path in paths}
        for path, scores in models.items():
            absent, extra = (
                truth.index.difference(scores.index),
                scores.index.difference(truth.index),
            )
            if len(absent) or len(extra):
                raise InputError(
                    f"{path}: {len(absent)} rows of {args.truth} have no scores and {len(extra)} "
                    "rows of it no truth, "
                    f"by {args.key}. Give all files the same rows."
                )
        others = (args.cluster, args.weights)
        shared = set.intersection(*(set(scores) for scores in models.values())) - set(others)
        findings = [column for column in truth if column in shared]
        if not findings:
            raise InputError(
                f"{' and '.join(map(str, models))}: no column has the name of one of {args.truth}, "
                "which has "
                f"{some(truth, 20)}. A finding is matched by the name of its column."
            )
        for path, table in {args.truth: truth, **models}.items():
            if left := [name for name in table if name not in findings and name not in others]:
                print(f"{path}: not in all files, so left out: {some(left, 20)}", file=sys.stderr)
        weights = truth[args.weights] if args.weights else None
        known = _numbers(truth[findings], args.truth)
        parts = [
            checked(known, _numbers(scores.loc[truth.index, findings], path), weights)
            for path, scores in models.items()
        ]
        clusters = truth[args.cluster].to_numpy() if args.cluster else np.arange(len(truth))
        return cls(findings, parts[0][0], [part[1] for part in parts], parts[0][2], clusters)

    @cached_property
    def _order(self) -> tuple[list[int], list[int]]:
        """Places of the study's findings, if all 14 are there, and of the rest."""
        full = set(FINDINGS) <= set(self.findings)
        order = [self.findings.index(name) for name in FINDINGS] if full else []
        return order, [k for k in range(len(self.findings)) if k not in order]

    @property
    def rows(self) -> list[str]:
        """What is measured: the findings; the study's groups follow its 14 findings if all are there."""
        order, rest = self._order
        return [*(names() if order else []), *(self.findings[k] for k in rest)]

    def replicate(self, args: argparse.Namespace) -> list[np.ndarray]:
        """Metrics of every model on the same replicates: (1 + replicates, rows, 4), the sample itself first."""
        nobody = np.zeros((len(self.truth), 1), np.int16)
        sample = Sample(
            self.truth, self.clusters, self.weights, nobody, args.replicates, seed=args.seed
        )
        order, rest = self._order
        found = []
        for scores in self.scores:
            values = sample.replicate(scores, target_fpr=args.target_fpr)[: len(METRICS), ..., 0]
            values = np.moveaxis(values, 0, -1)
            grouped = with_groups(values[:, order]) if order else values[:, :0]
            found.append(np.concatenate([grouped, values[:, rest]], axis=1))
        return found

    def per_row(self, values: np.ndarray) -> np.ndarray:
        """A number per finding as a number per row, (rows, 1); blank for groups."""
        order, rest = self._order
        blank = np.full(len(self.rows) - len(self.findings), np.nan)
        return np.r_[values[order], blank, values[rest]][:, None]

    def counts(self) -> dict[str, np.ndarray]:
        """Columns n and positives: images with a known label and a weight, and those with the finding."""
        counted = ~np.isnan(self.truth) & (self.weights > 0)[:, None]
        positives = counted & (self.truth == 1)
        return {"n": self.per_row(counted.sum(0)), "positives": self.per_row(positives.sum(0))}


def _table(path: Path, key: str, *others: str | None) -> pd.DataFrame:
    """A table indexed by its key, which is unique text."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.")
    named = [name for name in (key, *others) if name]
    text = {} if path.suffix == ".parquet" else {"dtype": {key: "str"}}
    found = read_table(path, **text)
    if missing := [name for name in named if name not in found]:
        raise InputError(f"{path}: no column {', '.join(missing)}; it has {some(found, 20)}.")
    if blank := int(found[named].isna().sum().sum()):
        raise InputError(f"{path}: {blank} blanks in {', '.join(named)}. Fill them.")
    found = found.set_index(found.pop(key).astype(str))
    if twice := int(found.index.duplicated().sum()):
        raise InputError(f"{path}: {twice} values of {key} stand twice. Give each image one row.")
    return found


def _numbers(table: pd.DataFrame, path: Path) -> np.ndarray:
    """float64 of shape (n, f); InputError that names the columns that are no numbers."""
    numbers = table.apply(pd.to_numeric, errors="coerce")
    wrong = numbers.isna() & table.notna()
    if wrong.to_numpy().any():
        raise InputError(
            f"{path}: columns {some(wrong.columns[wrong.any()])} have values that are no numbers."
        )
    return numbers.to_numpy(float)
