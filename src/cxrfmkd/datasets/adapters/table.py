"""Any table with one row an image: its columns and values are mapped by the configuration."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.datasets.raw import Flow, Raw, Reading, header
from cxrfmkd.datasets.records import LABELS, key, reject
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
        raw.reject(table[name].isna(), "records", columns[name], "are blank")
    frame = pd.DataFrame({"image_id": table.get("image_id", key(table.path))})
    for name in ("patient_id", "study_id", "path", *MAPPED[:3]):
        frame[name] = table.get(name, pd.Series(pd.NA, table.index, dtype="str"))
    frame["study_id"] = frame.study_id.fillna(frame.image_id)
    for name in ("age", *FINDINGS):
        frame[name] = raw.numbers(table, name, "records") if name in table else np.nan
    problem = "are not labels of 1, 0, -1 (uncertain) or blank"
    for name in FINDINGS:
        invalid = frame[name].notna() & ~frame[name].isin(LABELS)
        raw.reject(invalid, "records", columns.get(name, name), problem, frame[name])
    frame = frame.join(table.filter(["split"]))
    for name in frame.columns.intersection(MAPPED):
        frame[name] = _mapped(raw, frame[name], name)
    absent = [finding for finding in FINDINGS if finding not in table]
    notes = [f"The table has no column for {some(absent, 14)}; they are blank."] if absent else []
    if "race" not in table:
        notes.append("The table has no race.")
    return Reading(frame, Flow(frame, raw.path("records").name), notes=notes)


def _columns(raw: Raw) -> dict[str, str]:
    """Our column -> the file's, for every column of ours that the file has."""
    names = header(raw.path("records"))
    mapping, setting = raw.settings.columns, f"datasets.{raw.name}.columns"
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
    ]
    if not any(finding in columns for finding in FINDINGS):
        problems.append(f"{setting}: the file has none of the 14 findings; set at least one")
    if problems:
        message = f"{raw.path('records').name} has the columns {some(names, 60)}."
        raise InputError("\n".join((message, *problems)))
    return columns


def _mapped(raw: Raw, column: pd.Series, name: str) -> pd.Series:
    """`column` in the study's words; a value that is mapped to null becomes blank."""
    mapping = {str(theirs): ours for theirs, ours in raw.settings.values.get(name, {}).items()}
    ours = column.where(~column.isin(list(mapping)), column.map(mapping))
    allowed = ALLOWED.get(name)
    if allowed:
        invalid = ours.notna() & ~ours.isin(allowed)
        remedy = "Map these values to one of them, or to null for unknown."
        setting = f"datasets.{raw.name}.values.{name}"
        reject(invalid, setting, f"rows are none of {', '.join(allowed)}", ours, remedy)
    return ours.astype("str").where(ours.notna())
