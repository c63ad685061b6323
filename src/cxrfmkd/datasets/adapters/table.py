"""Any table with one row an image: its columns and values are mapped by the configuration."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.datasets.raw import Flow, Raw, Reading
from cxrfmkd.datasets.records import key
from cxrfmkd.runtime.cells import column_names, in_our_words, reject
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.study.settings import LabelList
from cxrfmkd.vocabulary.attributes import declarations
from cxrfmkd.vocabulary.datasets import SPLITS
from cxrfmkd.vocabulary.groups import RACES, SEXES

NEEDED = ("records",)
OPTIONAL = ()

REQUIRED = ("path", "patient_id")
OPTIONAL_COLUMNS = ("image_id", "study_id", "sex", "age", "race", "view", "split")
EVERY_FINDING = "findings"  # in `values`, what holds for every finding without values of its own
ALLOWED = {"sex": SEXES, "race": RACES, "split": SPLITS}
BLANK_COLUMNS = ("study_id", "sex", "race", "view")


def read(raw: Raw) -> Reading:
    """Every row of the table.

    A column that it lacks is blank; without `split`, patients are divided later. A finding comes
    from a column of its own, of labels or of numbers with a threshold, or from the list of labels.
    """
    columns = _columns(raw)
    lists = raw.settings.label_list
    listing = {lists.column} if lists else set()
    needed = dict.fromkeys([*columns.values(), *listing])
    table = raw.table("records", tuple(needed), lists=listing.difference(columns.values()))
    frame = pd.DataFrame({ours: table[theirs] for ours, theirs in columns.items()}, table.index)
    for name in REQUIRED:
        raw.reject(frame[name].isna(), "records", columns[name], "are blank")
    if "image_id" in columns:
        raw.reject(frame.image_id.isna(), "records", columns["image_id"], "are blank")
    else:
        frame["image_id"] = key(frame.path)
    declared = {one.name for one in declarations(raw.attributes)} - {"age"}
    for name in (name for name in columns if name not in declared):  # see `attribute_columns`
        frame[name] = _mapped(raw, frame[name].rename(columns[name]), name)
    for name in {*BLANK_COLUMNS} - set(columns):
        frame[name] = pd.Series(pd.NA, frame.index, dtype="str")
    frame["study_id"] = frame.study_id.fillna(frame.image_id)
    texts = {name: frame[name].rename(columns[name]).to_frame() for name in columns}
    if "age" in columns:
        frame["age"] = raw.years(texts["age"], columns["age"], "records")
    else:
        frame["age"] = np.nan
    findings = [name for name in raw.study.names if name in columns]
    for name in findings:
        frame[name] = _labels(raw, texts[name], columns[name], name)
    notes = []
    if lists:
        listed, note = _listed(raw, lists, table[lists.column], findings)
        frame, notes = frame.assign(**listed), [note] if note else []
    for name in ("image_id", "path"):
        raw.unique(frame, [name], "records")
    if absent := [finding for finding in raw.study.names if finding not in frame]:
        notes.append(f"The table says nothing of {some(absent, 14)}.")
    if "race" not in columns:
        notes.append("The table has no race.")
    return Reading(frame, Flow(frame, raw.path("records").name), notes=notes)


def _columns(raw: Raw) -> dict[str, str]:
    """Our column -> the file's, for every column of ours that the file has.

    What is mapped wins over a column of the file that has our name, and may be used several times.
    """
    names = raw.header("records")
    mapping, setting = raw.settings.columns, f"datasets.{raw.name}.columns"
    declared = {one.name: one.column for one in declarations(raw.attributes)}
    mapping = declared | {name: theirs.strip() for name, theirs in mapping.items()}
    findings, lists = raw.study.names, raw.settings.label_list
    ours = dict.fromkeys((*REQUIRED, *OPTIONAL_COLUMNS, *declared, *findings))
    columns = {name: mapping.get(name, name) for name in ours if mapping.get(name, name) in names}
    problems = [
        *(f"{setting}.{name}: records have no such column" for name in mapping if name not in ours),
        *(
            f"{setting}.{name} is {theirs}, which the file does not have"
            for name, theirs in mapping.items()
            if theirs not in names and name in raw.settings.columns
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
            if name not in (*columns, EVERY_FINDING)
        ),
        *(
            f"datasets.{raw.name}.thresholds.{name}: the file has no such column"
            for name in raw.settings.thresholds
            if name not in columns
        ),
    ]
    if lists and lists.column not in names:
        problems.append(
            f"datasets.{raw.name}.label_list.column is {lists.column}, which the file does not have"
        )
    if not lists and not any(finding in columns for finding in findings):
        problems.append(
            f"{setting}: the file has none of the findings {some(findings, 14)}; set at least one, "
            f"or datasets.{raw.name}.label_list"
        )
    if problems:
        message = f"{raw.source('records')} has the columns {column_names(names)}."
        raise InputError("\n".join((message, *problems)))
    return columns


def _labels(raw: Raw, cells: pd.DataFrame, column: str, finding: str) -> pd.Series:
    """A finding's column as labels: 1, 0, -1 or missing; of numbers, 1 from its threshold on."""
    if finding not in raw.settings.thresholds:
        return raw.labels(cells, column, "records")
    values = raw.numbers(cells, column, "records")
    present = values.ge(raw.settings.thresholds[finding])
    return present.astype(float).where(values.notna())


def _listed(
    raw: Raw, settings: LabelList, cells: pd.Series, given: list[str]
) -> tuple[dict[str, pd.Series], str]:
    """The findings of the list of labels, but `given` ones of their own columns; a note."""
    is_text = isinstance(cells.dtype, pd.StringDtype)
    several = cells.str.split(settings.separator, regex=False) if is_text else cells
    labels = several.explode().astype("str").str.strip(" []'\"")
    labels = labels[labels.notna() & labels.ne("")]
    names = {name: settings.names.get(name, [name]) for name in raw.study.names}
    names = {name: of for name, of in names.items() if of and name not in given}
    listed = set(labels)
    # A finding that nobody named in the settings, nor the file anywhere, is not known to the file.
    names = {name: of for name, of in names.items() if name in settings.names or listed & {*of}}
    columns = {
        name: pd.Series(cells.index.isin(labels.index[labels.isin(of)]), cells.index, float)
        for name, of in names.items()
    }
    columns = {name: column.where(cells.notna()) for name, column in columns.items()}
    named = {label for of in names.values() for label in of}
    notes = []
    if others := listed - named:
        notes.append(f"{len(others)} of its labels stand for no finding of the study")
    if unheard := sorted(named - listed):
        notes.append(f"no row lists {some(unheard)}")
    return columns, f"The column {settings.column}: {'; '.join(notes)}." if notes else ""


def _mapped(raw: Raw, column: pd.Series, name: str) -> pd.Series:
    """`column` in the study's words; a value that is mapped to null becomes blank."""
    values = raw.settings.values.get(name)
    if values is None:
        values = raw.settings.values.get(EVERY_FINDING, {}) if name in raw.study.names else {}
    ours = in_our_words(column, values)
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
