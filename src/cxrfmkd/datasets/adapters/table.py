"""Any table with one row an image: its columns and values are mapped by the configuration."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.datasets.raw import Flow, Raw, Reading
from cxrfmkd.datasets.records import key
from cxrfmkd.runtime.cells import column_names, reject
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.vocabulary.datasets import SPLITS
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.groups import RACES, SEXES

NEEDED = ("records",)
OPTIONAL = ()

REQUIRED = ("path", "patient_id")
OPTIONAL_COLUMNS = ("image_id", "study_id", "sex", "age", "race", "view", "split", *FINDINGS)
ALLOWED = {"sex": SEXES, "race": RACES, "split": SPLITS}
BLANK_COLUMNS = ("study_id", "sex", "race", "view")


def read(raw: Raw) -> Reading:
    """Every row of the table.

    A column that it lacks is blank; without `split`, patients are divided later.
    """
    columns = _columns(raw)
    table = raw.table("records", tuple(dict.fromkeys(columns.values())))
    frame = pd.DataFrame({ours: table[theirs] for ours, theirs in columns.items()}, table.index)
    for name in REQUIRED:
        raw.reject(frame[name].isna(), "records", columns[name], "are blank")
    if "image_id" in columns:
        raw.reject(frame.image_id.isna(), "records", columns["image_id"], "are blank")
    else:
        frame["image_id"] = key(frame.path)
    for name in columns:
        frame[name] = _mapped(raw, frame[name].rename(columns[name]), name)
    for name in {*BLANK_COLUMNS} - set(columns):
        frame[name] = pd.Series(pd.NA, frame.index, dtype="str")
    frame["study_id"] = frame.study_id.fillna(frame.image_id)
    texts = {name: frame[name].rename(columns[name]).to_frame() for name in columns}
    if "age" in columns:
        frame["age"] = raw.years(texts["age"], columns["age"], "records")
    for name in ("age", *FINDINGS):
        if name not in columns:
            frame[name] = np.nan
        elif name != "age":
            frame[name] = raw.labels(texts[name], columns[name], "records")
    for name in ("image_id", "path"):
        raw.unique(frame, [name], "records")
    absent = [finding for finding in FINDINGS if finding not in columns]
    notes = [f"The table has no column for {some(absent, 14)}; they are blank."] if absent else []
    if "race" not in columns:
        notes.append("The table has no race.")
    return Reading(frame, Flow(frame, raw.path("records").name), notes=notes)


def _columns(raw: Raw) -> dict[str, str]:
    """Our column -> the file's, for every column of ours that the file has.

    What is mapped wins over a column of the file that has our name, and may be used several times.
    """
    names = raw.header("records")
    mapping, setting = raw.settings.columns, f"datasets.{raw.name}.columns"
    mapping = {name: theirs.strip() for name, theirs in mapping.items()}
    ours = (*REQUIRED, *OPTIONAL_COLUMNS)
    columns = {name: mapping.get(name, name) for name in ours if mapping.get(name, name) in names}
    problems = [
        *(f"{setting}.{name}: records have no such column" for name in mapping if name not in ours),
        *(
            f"{setting}.{name} is {theirs}, which the file does not have"
            for name, theirs in mapping.items()
            if theirs not in names
        ),
        *(
            f"{setting}.{name} is not set, and the file has no {name}"
            for name in REQUIRED
            if name not in columns
        ),
        *(
            f"datasets.{raw.name}.values.{name}: "
            + ("the file has no such column" if name in ours else "records have no such column")
            for name in raw.settings.values
            if name not in columns
        ),
    ]
    if not any(finding in columns for finding in FINDINGS):
        problems.append(f"{setting}: the file has none of the 14 findings; set at least one")
    if problems:
        message = f"{raw.source('records')} has the columns {column_names(names)}."
        raise InputError("\n".join((message, *problems)))
    return columns


def _mapped(raw: Raw, column: pd.Series, name: str) -> pd.Series:
    """`column` in the study's words; a value that is mapped to null becomes blank."""
    values = raw.settings.values.get(name, {})
    mapping = {str(theirs): None if ours is None else str(ours) for theirs, ours in values.items()}
    ours = column.where(~column.isin(list(mapping)), column.map(mapping))
    ours = ours.astype("str").where(ours.notna())
    if allowed := ALLOWED.get(name):
        setting = f"datasets.{raw.name}.values.{name}"
        reject(
            ours.notna() & ~ours.isin(allowed),
            f"{raw.source('records')}, column {column.name}",
            f"rows are none of {', '.join(allowed)}",
            ours,
            f"Map these values to one of them in {setting}, or to null for unknown.",
        )
    return ours
