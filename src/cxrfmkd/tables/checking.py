"""Result tables before they reach a person: columns, rows and ranges that they must have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.seals import altered, written_by
from cxrfmkd.vocabulary.metrics import AREAS, METRICS
from cxrfmkd.vocabulary.models import RUN_FAMILY

EVALUATION = re.compile(r"(?:^|/)evaluation/[^/]+/(?P<name>metrics|summary)\.csv$")
# What tells one row from another, in the tables of which each row is one number.
KEYS = {
    "metrics": "source strategy model loss seed population finding metric".split(),
    "summary": "source strategy model loss population finding metric".split(),
}
NUMBERS = {"metrics": ("estimate", "low", "high"), "summary": ("mean", "sd", "low", "high")}


def check_result(path: Path, table: pd.DataFrame) -> None:
    """Raise InputError where `metrics` or `summary` of an evaluation is not one that it writes.

    It has rows, none twice, as many of every model, and no number beyond what its metric can be.
    """
    match = EVALUATION.search(path.as_posix())
    if match is None:
        return
    keys = KEYS[match["name"]]
    needed = (*keys, *NUMBERS[match["name"]])
    if absent := [column for column in needed if column not in table]:
        raise altered(path, f"it has no column {some(absent)}", written_by(path))
    if problem := _problem(table, keys):
        raise altered(path, problem, written_by(path))


def check_families(summary: pd.DataFrame, expected: Sequence[Sequence[str]]) -> None:
    """Raise InputError unless a study's summaries are of the planned models, no more and no fewer.

    expected: dataset, source, strategy, model and loss of each.
    """
    found = set(summary[RUN_FAMILY].itertuples(index=False, name=None)) if len(summary) else set()
    planned = set(map(tuple, expected))
    if found != planned:
        raise InputError(
            f"evaluation: the summaries tell of {len(found & planned)} of {len(planned)} planned "
            f"models, and of {len(found - planned)} others. Missing: "
            f"{some(' '.join(filter(None, one)) for one in sorted(planned - found)) or 'none'}. "
            "Delete the summary.csv of that dataset, and Snakemake runs the rule evaluate again."
        )


def _problem(table: pd.DataFrame, keys: list[str]) -> str:
    """What is wrong with the rows of `metrics` or `summary`; empty if nothing is."""
    if table.empty:
        return "it has no rows"
    if twice := int(table.duplicated(keys).sum()):
        return f"{twice} of its {len(table)} rows are there twice"
    models = [key for key in keys if key not in ("population", "finding", "metric")]
    rows = table.fillna({"loss": ""}).groupby(models, dropna=False).size()
    if rows.nunique() > 1:
        return f"its models have between {rows.min()} and {rows.max()} rows, not all as many"
    outside = _outside(table)
    if outside.any():
        return f"{int(outside.sum())} rows have a number that their metric cannot be"
    return ""


def _outside(table: pd.DataFrame) -> pd.Series:
    """Rows with a number outside of its metric's range: areas 0 to 1, Youden's J -1 to 1."""
    known = table.metric.isin(METRICS)
    lowest = table.metric.isin(AREAS).map({True: 0.0, False: -1.0})
    numbers = table[[name for name in ("estimate", "mean", "low", "high") if name in table]]
    outside = numbers.lt(lowest - 1e-9, axis=0) | numbers.gt(1 + 1e-9)
    return outside.any(axis=1) & known
