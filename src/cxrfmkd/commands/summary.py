"""The three numbers that a finished study is about, and where its report is.

RESULTS is the folder of the study's results. Macro AUC-ROC on the first dataset that classifiers
were trained on, with the intervals of the tables: of a probe on the teacher's embeddings, of the
probe on a student that is best on validation images, and of a probe on the same network without
distillation.

    cxrfmkd summary results/demo
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.tables.gathering import read_result
from cxrfmkd.tables.selecting import distilled, ranked_models, where
from cxrfmkd.vocabulary.losses import loss_title
from cxrfmkd.vocabulary.models import MODELS
from cxrfmkd.vocabulary.titles import model_title

TABLES = "evaluation/*/summary.csv"
STUDENT = "student"
# Linear probes, so that what differs is the network below.
KEY_MODELS = {
    "teacher": ["cxr-fm-lp"],
    STUDENT: [name for name, m in MODELS.items() if m.student and not m.finetuned],
    "the same network without distillation": ["cxr-model-lp"],
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    parser.add_argument("results", type=Path, help="folder of the study's results")


def main(args: argparse.Namespace) -> None:
    """Print the numbers and the report's path."""
    paths = sorted(args.results.glob(TABLES))
    if not paths:
        raise InputError(
            f"{args.results}: there is no {TABLES} in it. Run the study to its end first."
        )
    if lines := next(filter(None, map(three_numbers, paths)), None):
        print("\n  ".join(lines))
    report = args.results / "report" / "index.html"
    if report.is_file():
        print(f"The report: {report.resolve()}")


def three_numbers(path: Path) -> list[str]:
    """Lines on the models that were trained on a dataset, of its summary; none without any."""
    table = read_result(path)
    dataset = table.dataset.iloc[0]
    ranked = ranked_models(table, dataset)
    lines = []
    for name, models in KEY_MODELS.items():
        candidates = where(ranked, model=models)
        candidates = distilled(candidates) if name == STUDENT else candidates
        lines += [line(name, row) for _, row in candidates.head(1).iterrows()]
    if not lines:
        return []
    test_set = f"the {ranked.population.iloc[0]} test set of {dataset}"
    return [f"Macro AUC-ROC of linear probes on {test_set}:", *lines]


def line(name: str, row: pd.Series) -> str:
    """One number in words, with its interval where it has one."""
    if name == STUDENT:
        name = f"{name} ({model_title(row.model)}, {loss_title(row.loss)})"
    elif row.loss:  # of several teachers
        name = f"{name} ({loss_title(row.loss)})"
    interval = "" if pd.isna(row.low) else f" ({row.low:.3f} to {row.high:.3f})"
    return f"{name:44} {row['mean']:.3f}{interval}"
