"""Adapters: each reads one dataset's raw layout into records.

A new one is a module with `NEEDED` and `OPTIONAL` (names of its raw tables) and `read(raw) ->
Reading`, and a line in `ADAPTERS`; or a function in a user's own file. See docs/data.md and
docs/extending.md.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

import pandas as pd

from cxrfmkd.datasets.adapters import biomedia, chexpert, mimic, nih, table
from cxrfmkd.datasets.attribute_columns import TABLE, with_attributes
from cxrfmkd.datasets.raw import Flow, Raw, Reading
from cxrfmkd.datasets.records import BEFORE, KEYS, TEXTS
from cxrfmkd.runtime import plugins
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.study.settings import Dataset, Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.attributes import PRESETS, Attributes

OF_ALL = ("exclude", TABLE)  # tables that every adapter may have

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


def read(
    name: str,
    settings: Dataset,
    findings: Findings = THESIS,
    attributes: Attributes = PRESETS,
) -> Reading:
    """Records of the dataset `name`, before the study's own selection and split.

    Of `findings`, they have columns of those that the dataset knows of.

    Raises InputError where a raw table is missing or is not what its adapter expects.
    """
    adapter = ADAPTERS[settings.adapter]
    raw = Raw(name, settings, findings, attributes)
    raw.require(adapter.NEEDED, (*adapter.OPTIONAL, *OF_ALL))
    reading = adapter.read(raw)
    if not isinstance(reading, Reading):
        reading = _of_frame(reading, settings.adapter, findings)
    if not any(finding in reading.records for finding in findings.names):
        raise InputError(
            f"datasets.{name}: adapter {settings.adapter} knows none of the study's findings "
            f"{some(findings.names, 14)}. Name some that the dataset has in findings.names."
        )
    records, notes = with_attributes(reading.records, raw, attributes)
    return replace(reading, records=records, notes=[*reading.notes, *notes])


def _of_frame(frame: pd.DataFrame, adapter: str, findings: Findings) -> Reading:
    """What a user's adapter has read; InputError where columns of records are missing.

    Findings of which it has no column, or a blank one, are absent.
    """
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"adapter {adapter}: it gives {type(frame).__name__}, not a DataFrame.")
    if missing := [column for column in BEFORE if column not in frame]:
        raise InputError(
            f"adapter {adapter}: its frame lacks {some(missing)}. A column of which nothing is "
            "known is one of missing values."
        )
    known = [name for name in findings.names if name in frame]
    types = dict.fromkeys((*KEYS, *TEXTS), "str") | dict.fromkeys(("age", *known), "float64")
    frame = frame.astype(types)
    frame = frame.drop(columns=[name for name in known if frame[name].isna().all()])
    return Reading(frame, Flow(frame, f"rows of adapter {adapter}"))
