"""The study's own result files, read as tables that know what they are about.

A path such as `results/bias/chexpert/cxr-fm-lp/ks.csv` says the dataset and the model; what the
file itself does not say is added from it as columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from cxrfmkd.runtime.files import read_json, read_table
from cxrfmkd.tables.checking import check_result
from cxrfmkd.vocabulary.models import split_model

_SEED = r"seed(?P<seed>\d+)/"
PATH_PATTERNS = tuple(
    re.compile(pattern + "[^/]+$")
    for pattern in (
        rf"(?P<source>[^/]+)-to-(?P<dataset>[^/]+)/(?P<strategy>[^/]+)/(?P<model>[^/]+)/{_SEED}",
        r"(?P<source>[^/]+)-to-(?P<dataset>[^/]+)/",
        rf"(?P<dataset>[^/]+)/models/(?P<model>[^/]+)/(?:{_SEED})?",
        rf"(?P<dataset>[^/]+)/students/(?P<loss>[^/]+)/(?:{_SEED})?",
        r"(?P<dataset>[^/]+)/(?:records|teacher|images)/",
        r"(?P<dataset>[^/]+)/teachers/(?P<teacher>[^/]+)/",
        r"bias/(?P<dataset>[^/]+)/(?P<model>[^/]+)/",
        r"(?:bias|evaluation)/(?P<dataset>[^/]+)/",
    )
)
# Columns of text, whose blanks are empty strings; ids are text even where they look like numbers.
TEXT = (
    "dataset source strategy model loss population finding metric attribute group a b model_a "
    "model_b family sample measure form level what device scored suppressed given reason "
    "erased target teacher"
).split()
IDS = dict.fromkeys(("image_id", "patient_id", "study_id"), "str")


def about(path: str | Path) -> dict[str, str | int]:
    """What a result's path says: dataset, source, strategy, model, loss, seed, where it does."""
    text = Path(path).as_posix()
    match = next((match for p in PATH_PATTERNS if (match := p.search(text))), None)
    if match is None:
        return {}
    facts: dict[str, str | int] = {k: v for k, v in match.groupdict().items() if v is not None}
    if "model" in facts:
        model, loss = split_model(str(facts["model"]))
        facts |= {"model": model, "loss": loss}
    if "seed" in facts:
        facts["seed"] = int(facts["seed"])
    return facts


def read_result(path: str | Path) -> pd.DataFrame:
    """One CSV or Parquet file; what its path says stands in front of its own columns.

    A model written as `cxr-fmkd-lp.mse` is taken apart into `model` and `loss`. Raises InputError
    where the file is missing or empty.
    """
    path = Path(path)
    table = read_table(path) if path.suffix == ".parquet" else read_table(path, dtype=IDS)
    check_result(path, table)
    for column in table.columns.intersection(TEXT):
        table[column] = table[column].astype(object).fillna("").astype(str)
    if "model" in table and table.model.str.contains(".", regex=False).any():
        models = table.model.map(split_model)
        table["model"], table["loss"] = models.str[0], models.str[1]
    for position, (column, value) in enumerate(about(path).items()):
        if column not in table:
            table.insert(min(position, table.shape[1]), column, value)
    return table


def read_results(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Tables one below the other; without columns where there are no paths."""
    tables = [read_result(path) for path in paths] or [pd.DataFrame()]
    with_rows = [table for table in tables if len(table)]
    return pd.concat(with_rows or tables[:1], ignore_index=True)


def gather(files: Mapping[str, Sequence[Path]]) -> dict[str, pd.DataFrame]:
    """The tables of every name; JSON files are left out (see `read_documents`)."""
    return {
        name: read_results(paths)
        for name, paths in files.items()
        if paths and paths[0].suffix != ".json"
    }


def read_documents(paths: Iterable[str | Path]) -> list[dict]:
    """JSON files that hold objects, each with what its path says under `about`.

    A file with a list holds such documents, gathered.
    """
    documents: list[dict] = []
    for path in paths:
        content = read_json(path)
        gathered = isinstance(content, list)
        documents += content if gathered else [{"about": about(path), **content}]
    return documents
