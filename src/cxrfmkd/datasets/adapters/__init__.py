"""Adapters: each reads one dataset's raw layout into records.

A new one is a module with `NEEDED` and `OPTIONAL` (names of its raw tables) and `read(raw) ->
Reading`, and a line in `ADAPTERS`; or a function in a user's own file. See docs/data.md and
docs/extending.md.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import MutableMapping
from typing import Any

import pandas as pd

from cxrfmkd.datasets.adapters import biomedia, chexpert, mimic, nih, table
from cxrfmkd.datasets.raw import Flow, Raw, Reading
from cxrfmkd.datasets.records import COLUMNS, KEYS
from cxrfmkd.runtime import plugins
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.study.settings import Dataset
from cxrfmkd.vocabulary.findings import FINDINGS

ADAPTERS: MutableMapping[str, Any] = ChainMap(
    {
        "chexpert": chexpert,
        "mimic-cxr": mimic,
        "nih-cxr14": nih,
        "table": table,
        "biomedia": biomedia,
    },
    plugins.REGISTERED["adapter"],
)


def read(name: str, settings: Dataset) -> Reading:
    """Records of the dataset `name`, before the study's own selection and split.

    Raises InputError where a raw table is missing or is not what its adapter expects.
    """
    adapter = ADAPTERS[settings.adapter]
    raw = Raw(name, settings)
    raw.require(adapter.NEEDED, (*adapter.OPTIONAL, "exclude"))
    reading = adapter.read(raw)
    return reading if isinstance(reading, Reading) else _of_frame(reading, settings.adapter)


def _of_frame(frame: pd.DataFrame, adapter: str) -> Reading:
    """What a user's adapter has read; InputError where columns of records are missing."""
    needed = [column for column in COLUMNS if column not in ("split", "disease", "age_bin")]
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"adapter {adapter}: it gives {type(frame).__name__}, not a DataFrame.")
    if missing := [column for column in needed if column not in frame]:
        raise InputError(
            f"adapter {adapter}: its frame lacks {some(missing)}. A column of which nothing is "
            "known is one of missing values."
        )
    texts = (*KEYS, "sex", "race", "view")
    types = dict.fromkeys(texts, "str") | dict.fromkeys(("age", *FINDINGS), "float64")
    frame = frame.astype(types)
    return Reading(frame, Flow(frame, f"rows of adapter {adapter}"))
