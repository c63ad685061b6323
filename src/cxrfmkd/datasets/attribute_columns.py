"""The columns of declared attributes: looked for in a dataset's raw tables, joined by key, checked.

An adapter knows the presets. Any other column is taken from what it has read, from its raw tables,
or from a table of the user's own (`tables.attributes`) by image, study or patient.
"""

from __future__ import annotations

import pandas as pd

from cxrfmkd.datasets.groups import numeric_in, read_attribute
from cxrfmkd.datasets.raw import Raw
from cxrfmkd.datasets.records import known_key
from cxrfmkd.runtime.cells import masked
from cxrfmkd.runtime.errors import InputError, did_you_mean
from cxrfmkd.vocabulary.attributes import PRESETS, Attribute, Attributes, declarations

TABLE = "attributes"  # a user's own, for every adapter
KEYS = ("image_id", "study_id", "patient_id")
# By adapter: raw tables with a column that is a key of the records, and that key.
JOINED = {
    "chexpert": {"demographics": ("PATIENT", "patient_id"), "train": ("Path", "image_id")},
    "mimic-cxr": {
        "patients": ("subject_id", "patient_id"),
        "admissions": ("subject_id", "patient_id"),
        "metadata": ("dicom_id", "image_id"),
    },
    "nih-cxr14": {"entries": ("Image Index", "image_id")},
}


def with_attributes(
    records: pd.DataFrame, raw: Raw, attributes: Attributes
) -> tuple[pd.DataFrame, list[str]]:
    """`records` with a checked column for each declared attribute, and notes for the summary.

    records: as an adapter has read them. A column that no table has is blank. Raises InputError for
    values that are no group, and for a column that is set in `datasets.<name>.columns` but nowhere.
    """
    notes: list[str] = []
    for attribute in declarations(attributes):
        if attribute.name == "age":  # the adapter has read it
            unknown = numeric_in(records.age, attribute.missing)
            records = records.assign(age=records.age.mask(unknown))
            continue
        texts, source = _column(records, raw, attribute, notes)
        setting = f"datasets.{raw.name}.values.{attribute.name}"
        words = raw.settings.values.get(attribute.name, {})
        values = read_attribute(texts, attribute, words, source, setting)
        records = records.assign(**{attribute.name: values})
        if attribute.column != attribute.name and attribute.column not in PRESETS:
            records = records.drop(columns=attribute.column, errors="ignore")
    return records, notes


def _column(
    records: pd.DataFrame, raw: Raw, attribute: Attribute, notes: list[str]
) -> tuple[pd.Series, str]:
    """The texts of an attribute by record, named by their column; and the table, for messages."""
    name, adapter = attribute.name, raw.settings.adapter
    mapped = raw.settings.columns.get(name)
    column = (mapped or attribute.column).strip()
    tables = [*JOINED.get(adapter, {}), TABLE]
    for table in (table for table in tables if raw.has(table)):
        header = raw.header(table)
        if column in header:
            texts, several = _joined(records, raw, table, column, header)
            if several:
                notes.append(
                    f"{name}: several values of {column} in {raw.path(table).name} for {several} "
                    "of its keys; these are blank."
                )
            return texts.rename(column), raw.source(table)
    for own in (column, name):
        if own in records:
            source = raw.source("records") if raw.has("records") else f"datasets.{raw.name}"
            return records[own].astype("str").where(records[own].notna()).rename(column), source
    if mapped:
        headers = [one for table in tables if raw.has(table) for one in raw.header(table)]
        raise InputError(
            f"datasets.{raw.name}.columns.{name} is {mapped}, which no table has."
            f"{did_you_mean(mapped, headers)}"
        )
    notes.append(f"No table has a column {column}: {name} is blank.")
    return pd.Series(pd.NA, records.index, dtype="str", name=column), f"datasets.{raw.name}"


def _joined(
    records: pd.DataFrame, raw: Raw, table: str, column: str, header: list[str]
) -> tuple[pd.Series, int]:
    """A raw table's column by record, and how many of its keys have several values."""
    theirs, ours = JOINED.get(raw.settings.adapter, {}).get(table, ("", ""))
    if not theirs:
        ours = next((name for name in KEYS if name in header), "")
        theirs = ours
    if not ours:
        raise InputError(f"{raw.source(table)} has none of the columns {', '.join(KEYS)}.")
    rows = raw.table(table, (theirs, column))[[theirs, column]].dropna()
    keys, wanted = rows[theirs], records[ours]
    if ours == "image_id":
        if not keys.str.contains("/").any():
            wanted = wanted.str.rpartition("/")[2]
        keys = known_key(keys, wanted)
    rows = pd.DataFrame({"key": keys, "value": rows[column]}).drop_duplicates()
    several = rows.key[rows.key.duplicated(keep=False)].unique()
    by_key = rows[~rows.key.isin(several)].set_index("key").value
    if table == TABLE and len(rows) and not wanted.isin(rows.key).any():
        raise InputError(
            f"{raw.source(table)}: none of its {theirs} is that of an image of the dataset. Write "
            f"them as in its records, such as {masked(str(wanted.iloc[0]))}."
        )
    return wanted.map(by_key), len(several)
