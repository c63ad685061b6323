"""Any table with one row an image: its columns and values are mapped by the configuration."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.datasets.raw import Flow, Raw, Reading, header
from cxrfmkd.datasets.records import LABELS, key, lines
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.vocabulary.datasets import SPLITS
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.groups import RACES, SEXES

NEEDED = ("records",)
OPTIONAL = ()

REQUIRED = ("path", "patient_id")
OPTIONAL_COLUMNS = ("image_id", "study_id", "sex", "age", "race", "view", "split", *FINDINGS)
MAPPED = ("sex", "race", "view", "split")
ALLOWED = {"sex": SEXES, "race": RACES, "split": SPLITS}


def read(raw: Raw) -> Reading:
    """Every row of the table.

    A column that it lacks is blank; without `split`, patients are divided later.
    """
    columns = _columns(raw)
    table = raw.table("records", ()).rename(
        columns={theirs: ours for ours, theirs in columns.items()}
    )
    for name in REQUIRED:
        blank = np.flatnonzero(table[name].isna())
        if len(blank):
            raise InputError(
                f"{raw.setting('records')}: column {columns[name]} is blank ({lines(blank)})."
            )
    frame = pd.DataFrame({"image_id": table.get("image_id", key(table.path))})
    for name in ("patient_id", "study_id", "path", *MAPPED[:3]):
        frame[name] = table.get(name, pd.Series(pd.NA, table.index, dtype="str"))
    frame["study_id"] = frame.study_id.fillna(frame.image_id)
    frame["age"] = raw.numbers(table, "age", "records") if "age" in table else np.nan
    for finding in FINDINGS:
        frame[finding] = _labels(raw, table, finding, columns)
    if "split" in table:
        frame["split"] = table.split
    for name in MAPPED:
        if name in frame:
            frame[name] = _mapped(raw, frame[name], name)
    absent = [finding for finding in FINDINGS if finding not in table]
    notes = [f"The table has no column for {some(absent, 14)}; they are blank."] if absent else []
    if "race" not in table:
        notes.append("The table has no race.")
    return Reading(frame, Flow(frame, raw.path("records").name), notes=notes)


def _columns(raw: Raw) -> dict[str, str]:
    """Our column -> the file's, for every column of ours that the file has."""
    names = header(raw.path("records"))
    mapping = raw.settings.columns
    ours = (*REQUIRED, *OPTIONAL_COLUMNS)
    setting = f"datasets.{raw.name}.columns"
    problems = [
        f"{setting}.{name}: records have no such column" for name in mapping if name not in ours
    ]
    problems += [
        f"{setting}.{name} is {theirs}, which the file does not have"
        for name, theirs in mapping.items()
        if theirs not in names
    ]
    columns = {name: mapping.get(name, name) for name in ours if mapping.get(name, name) in names}
    problems += [
        f"{setting}.{name} is not set, and the file has no {name}"
        for name in REQUIRED
        if name not in columns
    ]
    if not any(finding in columns for finding in FINDINGS):
        problems.append(f"{setting}: the file has none of the 14 findings; set at least one")
    if problems:
        message = f"{raw.path('records').name} has the columns {some(names, 60)}."
        raise InputError("\n".join((message, *problems)))
    return columns


def _labels(
    raw: Raw, table: pd.DataFrame, finding: str, columns: dict[str, str]
) -> pd.Series | float:
    if finding not in table:
        return np.nan
    values = raw.numbers(table, finding, "records")
    rows = np.flatnonzero(~values.isin(LABELS) & values.notna())
    if len(rows):
        raise InputError(
            f"{raw.setting('records')}, column {columns[finding]}: labels are 1, 0, -1 (uncertain) "
            f"or blank, not {some(values.iloc[rows].unique())} ({lines(rows)})."
        )
    return values


def _mapped(raw: Raw, column: pd.Series, name: str) -> pd.Series:
    """`column` in the study's words; a value that is mapped to null becomes blank."""
    mapping = {str(theirs): ours for theirs, ours in raw.settings.values.get(name, {}).items()}
    ours = column.where(~column.isin(list(mapping)), column.map(mapping))
    if name in ALLOWED:
        invalid = ours.notna() & ~ours.isin(ALLOWED[name])
        if invalid.any():
            allowed = ", ".join(ALLOWED[name])
            raise InputError(
                f"datasets.{raw.name}.values.{name}: {invalid.sum()} rows hold "
                f"{some(ours[invalid].unique())}, which is none of {allowed}. Map these values to "
                "one of them, or to null for unknown."
            )
    return ours.astype("str").where(ours.notna())
