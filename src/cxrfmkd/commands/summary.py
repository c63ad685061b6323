"""The three numbers that a finished study is about, and where its report is.

RESULTS is the folder of the study's results. Macro AUC-ROC on the first dataset that classifiers
were trained on, with the intervals of the tables: of a probe on the teacher's embeddings, of the
best probe on a student, and of the same probe on the same network without distillation.

    cxrfmkd summary results/demo
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_table
from cxrfmkd.tables.selecting import HEADLINE_METRIC, in_main_population, native, where
from cxrfmkd.vocabulary.findings import MACRO
from cxrfmkd.vocabulary.losses import loss_title
from cxrfmkd.vocabulary.models import MODELS

TABLE = Path("tables", "performance_detailed.csv")
# Linear probes, so that what differs is the network below.
KEY_MODELS = {
    "teacher": ["cxr-fm-lp"],
    "student": [name for name, m in MODELS.items() if m.student and not m.finetuned],
    "the same network without distillation": ["cxr-model-lp"],
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    parser.add_argument("results", type=Path, help="folder of the study's results")


def main(args: argparse.Namespace) -> None:
    """Print the numbers and the report's path."""
    path = args.results / TABLE
    if not path.is_file():
        raise InputError(f"{path}: there is no such table. Run the study to its end first.")
    table = read_table(path, keep_default_na=False, na_values=[""])
    table = table.fillna({"loss": ""})
    rows = in_main_population(where(table, finding=MACRO, metric=HEADLINE_METRIC))
    probes = where(
        rows, strategy="own", model=[m for models in KEY_MODELS.values() for m in models]
    )
    if len(probes):
        dataset, population = probes[["dataset", "population"]].iloc[0]
        print(f"Macro AUC-ROC of linear probes on the {population} test set of {dataset}:")
        for name, models in KEY_MODELS.items():
            candidates = where(native(probes, dataset), model=models)
            if len(candidates):
                print("  " + line(name, candidates.loc[candidates.average.idxmax()]))
    report = args.results / "report" / "index.html"
    if report.is_file():
        print(f"The report: {report.resolve()}")


def line(name: str, row: pd.Series) -> str:
    """One number in words, with its interval where it has one."""
    words = f"{name} ({loss_title(row.loss)})" if row.loss else name
    interval = "" if pd.isna(row.low) else f" ({row.low:.3f} to {row.high:.3f})"
    return f"{words:44} {row.average:.3f}{interval}"
