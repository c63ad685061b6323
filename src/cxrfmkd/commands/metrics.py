"""Evaluate any model's predictions by the study's definitions, with bootstrap intervals.

Reads a table of truth (0, 1, blank for unknown) and one of scores (logits or probabilities), each CSV or Parquet with one
row an image and a column a finding. Rows are matched by a key column, findings by the name of their column, nothing by
position. Writes one row per finding and metric: estimate, interval, images and positives.

    cxrfmkd metrics --truth test.csv --scores model.csv --key image_id --cluster patient_id --out metrics.csv

Name a --cluster column in the truth (the patient) wherever one patient has several images: without it images count as
independent, and intervals come out too narrow.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.errors import InputError, some
from cxrfmkd.evaluation.bootstrap import Sample, intervals
from cxrfmkd.evaluation.metrics import METRICS, checked, names, with_groups
from cxrfmkd.files import read_table, write_table
from cxrfmkd.findings import FINDINGS
from cxrfmkd.longform import long


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--truth", type=Path, required=True, help="CSV or Parquet: 0, 1 or blank")
    parser.add_argument("--scores", type=Path, required=True, help="CSV or Parquet: any scale")
    parser.add_argument("--key", required=True, help="column of both that names a row")
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
    parser.add_argument("--seed", type=int, default=42, help="of the bootstrap (default 42)")  # fmt: skip


def main(args: argparse.Namespace) -> None:
    truth = _table(args.truth, args.key, args.cluster, args.weights)
    scores = _table(args.scores, args.key)
    absent, extra = (
        truth.index.difference(scores.index), scores.index.difference(truth.index)
    )  # fmt: skip
    if len(absent) or len(extra):
        raise InputError(
            f"{args.scores}: {len(absent)} rows of {args.truth} have no scores and {len(extra)} rows of it no truth, "
            f"by {args.key}. Give both files the same rows."
        )
    findings = [c for c in truth if c in scores and c not in (args.cluster, args.weights)]
    if not findings:
        raise InputError(
            f"{args.scores}: no column has the name of one of {args.truth}, which has {some(truth, 20)}. "
            "A finding is matched by the name of its column."
        )
    _report(args, truth, scores, findings)
    scores = scores.loc[truth.index]
    weights = truth[args.weights] if args.weights else None
    measured = checked(_numbers(truth[findings], args.truth), _numbers(scores[findings], args.scores), weights)  # fmt: skip
    clusters = truth[args.cluster].to_numpy() if args.cluster else np.arange(len(truth))
    write_table(args.out, table(findings, *measured, clusters, args))


def table(findings, truth, scores, weights, clusters, args: argparse.Namespace) -> pd.DataFrame:
    """One row per finding and metric; the study's groups follow if all 14 findings are there."""
    sample = Sample(
        truth, clusters, weights, np.zeros((len(truth), 1), np.int16), args.replicates, seed=args.seed
    )  # fmt: skip
    values = sample.replicate(scores, target_fpr=args.target_fpr)[: len(METRICS), ..., 0]
    values = np.moveaxis(values, 0, -1)
    counted = ~np.isnan(truth) & (weights > 0)[:, None]
    n, positives = counted.sum(axis=0), (counted & (truth == 1)).sum(axis=0)
    rows = list(findings)
    if set(FINDINGS) <= set(findings):
        order = [findings.index(name) for name in FINDINGS]
        rest = [k for k in range(len(findings)) if k not in order]
        groups = with_groups(values[:, order])
        values = np.concatenate([groups, values[:, rest]], axis=1)
        rows = [*names(), *(findings[k] for k in rest)]
        blank = np.full(len(names()) - len(FINDINGS), np.nan)
        n, positives = (np.r_[part[order], blank, part[rest]] for part in (n, positives))
    low, high = intervals(values[1:], args.confidence)
    return long(
        {"finding": rows, "metric": list(METRICS)},
        estimate=values[0], low=low, high=high, n=n[:, None], positives=positives[:, None],
    )  # fmt: skip


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


def _report(args: argparse.Namespace, truth, scores, findings: list[str]) -> None:
    """Say which columns of either file have no counterpart."""
    named = {args.cluster, args.weights}
    for path, table in ((args.truth, truth), (args.scores, scores)):
        if left := [name for name in table if name not in findings and name not in named]:
            print(f"{path}: not in both files, so left out: {some(left, 20)}", file=sys.stderr)
