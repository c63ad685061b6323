"""The study's own result files, read as tables that know what they are about.

A path such as `results/bias/chexpert/cxr-fm-lp/ks.csv` says the dataset and the model; what the
file itself does not say is added from it as columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_json
from cxrfmkd.vocabulary.models import split_model

_SEED = r"seed(?P<seed>\d+)/"
PLACES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?P<source>[^/]+)-to-(?P<dataset>[^/]+)/(?P<strategy>[^/]+)/(?P<model>[^/]+)/{_SEED}[^/]+$",
        rf"(?P<dataset>[^/]+)/models/(?P<model>[^/]+)/{_SEED}[^/]+$",
        r"(?P<dataset>[^/]+)/models/(?P<model>[^/]+)/[^/]+$",
        rf"(?P<dataset>[^/]+)/students/(?P<loss>[^/]+)/{_SEED}[^/]+$",
        r"(?P<dataset>[^/]+)/students/(?P<loss>[^/]+)/[^/]+$",
        r"(?P<dataset>[^/]+)/(records|teacher|images)/[^/]+$",
        r"bias/(?P<dataset>[^/]+)/(?P<model>[^/]+)/[^/]+$",
        r"bias/(?P<dataset>[^/]+)/[^/]+$",
        r"evaluation/(?P<dataset>[^/]+)/[^/]+$",
    )
)
TEXT = (
    "dataset",
    "source",
    "strategy",
    "model",
    "loss",
    "population",
    "finding",
    "metric",
    "attribute",
    "group",
    "a",
    "b",
    "model_a",
    "model_b",
    "family",
    "sample",
    "measure",
    "form",
    "level",
    "what",
    "device",
    "scored",
    "suppressed",
    "given",
    "reason",
)

KEYS = dict.fromkeys(("image_id", "patient_id", "study_id"), "str")


def about(path: str | Path) -> dict[str, str | int]:
    """What a result's path says: dataset, source, strategy, model, loss and seed, where it says them."""
    text = Path(path).as_posix()
    for place in PLACES:
        if found := place.search(text):
            facts: dict[str, str | int] = dict(found.groupdict())
            if "model" in facts:
                model, loss = split_model(str(facts["model"]))
                facts |= {"model": model, "loss": loss}
            if "seed" in facts:
                facts["seed"] = int(facts["seed"])
            return facts
    return {}


def read(path: str | Path) -> pd.DataFrame:
    """One CSV or Parquet file with what its path says in front; blanks of text columns are empty
    strings.

    A model written as `cxr-fmkd-lp.mse` is taken apart into `model` and `loss`.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such table. Ask Snakemake for it by this name.")
    try:
        parquet = path.suffix == ".parquet"
        table = pd.read_parquet(path) if parquet else pd.read_csv(path, dtype=KEYS)
    except pd.errors.EmptyDataError:
        raise InputError(
            f"{path}: an empty file, without even a header. Delete it and make it again."
        ) from None
    for column in TEXT:
        if column in table:
            table[column] = table[column].fillna("").astype(str)
    if "model" in table and table.model.str.contains(".", regex=False).any():
        parts = table.model.map(split_model)
        table["model"], table["loss"] = parts.str[0], parts.str[1]
    for position, (column, value) in enumerate(about(path).items()):
        if column not in table:
            table.insert(min(position, table.shape[1]), column, value)
    return table


def gather(files: Mapping[str, Iterable[str | Path]]) -> dict[str, pd.DataFrame]:
    """The tables of every name, one below the other; JSON files are left out (see `documents`)."""
    tables = {
        name: [read(path) for path in paths if Path(path).suffix != ".json"]
        for name, paths in files.items()
    }
    return {
        name: pd.concat(
            [table for table in several if len(table)] or several[:1], ignore_index=True
        )
        for name, several in tables.items()
        if several
    }


def documents(paths: Iterable[str | Path]) -> list[dict]:
    """JSON files, each with what its path says under `about`."""
    return [{"about": about(path), **read_json(path)} for path in paths]
