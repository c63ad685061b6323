"""Any table with one row an image: its columns and values are mapped by the configuration."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.datasets.raw import Flow, Raw, Reading, header
from cxrfmkd.datasets.records import LABELS, SPLITS, key, lines
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.groups import RACES, SEXES

NEEDED = ("records",)
OPTIONAL = ()

REQUIRED = ("path", "patient_id")
OPTIONAL_COLUMNS = ("image_id", "study_id", "sex", "age", "race", "view", "split", *FINDINGS)
MAPPED = ("sex", "race", "view", "split")
ALLOWED = {"sex": SEXES, "race": RACES, "split": SPLITS}


def read(raw: Raw) -> Reading:
    """Every row of the table. A column that it lacks is blank; without `split`, patients are divided later."""
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
    there = header(raw.path("records"))
    said = raw.settings.columns
    known = (*REQUIRED, *OPTIONAL_COLUMNS)
    place = f"datasets.{raw.name}.columns"
    problems = [
        f"{place}.{ours}: there is no such column of ours" for ours in said if ours not in known
    ]
    problems += [
        f"{place}.{ours} is {theirs}, which the file does not have"
        for ours, theirs in said.items()
        if theirs not in there
    ]
    found = {ours: said.get(ours, ours) for ours in known if said.get(ours, ours) in there}
    problems += [
        f"{place}.{ours} is not set, and the file has no {ours}"
        for ours in REQUIRED
        if ours not in found
    ]
    if not any(finding in found for finding in FINDINGS):
        problems.append(f"{place}: the file has none of the 14 findings; set at least one")
    if problems:
        raise InputError(
            "\n".join((f"{raw.path('records').name} has the columns {some(there, 60)}.", *problems))
        )
    return found


def _labels(
    raw: Raw, table: pd.DataFrame, finding: str, columns: dict[str, str]
) -> pd.Series | float:
    if finding not in table:
        return np.nan
    values = raw.numbers(table, finding, "records")
    wrong = np.flatnonzero(~values.isin(LABELS) & values.notna())
    if len(wrong):
        raise InputError(
            f"{raw.setting('records')}, column {columns[finding]}: labels are 1, 0, -1 (uncertain) "
            "or blank, not "
            f"{some(values.iloc[wrong].unique())} ({lines(wrong)})."
        )
    return values


def _mapped(raw: Raw, column: pd.Series, name: str) -> pd.Series:
    """`column` in our words; a value that is mapped to null becomes blank."""
    mapping = {str(theirs): ours for theirs, ours in raw.settings.values.get(name, {}).items()}
    ours = column.where(~column.isin(list(mapping)), column.map(mapping))
    if name in ALLOWED:
        wrong = ours.notna() & ~ours.isin(ALLOWED[name])
        if wrong.any():
            raise InputError(
                f"datasets.{raw.name}.values.{name}: {wrong.sum()} rows hold "
                f"{some(ours[wrong].unique())}, which is "
                f"none of {', '.join(ALLOWED[name])}. Map these values to ours, or to null for "
                "unknown."
            )
    return ours.astype("str").where(ours.notna())
