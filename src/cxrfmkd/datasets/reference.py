"""Labels of experts for some images of a dataset: read from tables, joined by key, and counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from cxrfmkd.datasets.records import LABELS, findings_of, known_key
from cxrfmkd.runtime.cells import in_our_words, masked, numbers, reject
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.text_tables import read_header, read_text_table
from cxrfmkd.study.settings import Reference

MAJORITY = "majority"


class ExpertLabels(NamedTuple):
    """What experts say of images.

    targets: float64 (n, f), 1, 0 or NaN (not read, or no verdict), a row for each image asked for.
    counts: `rows`, `units` (images or studies) and `readers` of the tables, `tested` units that are
    among the images asked for, `verdicts` of these and of all findings, and those `undecided`.
    """

    targets: np.ndarray
    counts: dict[str, int]


def read_experts(dataset: str, settings: Reference, records: pd.DataFrame) -> ExpertLabels:
    """The labels of experts for `records`, in their order.

    Raises InputError, with the lines, for a table that cannot be read, a blank or duplicate key, a
    value that is no label, a reader that is not there, or where no row is of any of the records.
    """
    setting = f"datasets.{dataset}.reference"
    column = settings.key or f"{settings.unit}_id"
    of_record = _unit_of(records, settings.unit)
    tables = [
        table
        for number, path in enumerate(settings.table)
        for table in _votes(Path(path), setting, settings, column, number, records)
    ]
    votes = pd.concat(tables, ignore_index=True)
    readers = list(dict.fromkeys(votes.reader))
    if settings.consensus not in (MAJORITY, *readers):
        raise InputError(
            f"{setting}.consensus is {settings.consensus}, but the readers are {some(readers, 20)}."
        )
    verdicts = _verdicts(votes, settings.consensus)
    targets = verdicts.reindex(of_record).to_numpy(float)
    tested = verdicts[verdicts.index.isin(of_record)]
    if not len(tested):
        raise InputError(
            f"{setting}.table: none of its {len(verdicts)} {settings.unit} keys, in the column "
            f"{column}, is of a test image. Records name them in the form "
            f"{masked(of_record.iloc[0])}."
        )
    heard = (
        votes[votes.unit.isin(tested.index)].groupby("unit")[list(findings_of(records))].count() > 0
    )
    counts = {
        "rows": len(votes) // max(len(settings.readers), 1),
        "units": len(verdicts),
        "readers": len(readers),
        "tested": len(tested),
        "verdicts": int(tested.notna().to_numpy().sum()),
        "undecided": int((heard & tested.reindex(heard.index).isna()).to_numpy().sum()),
    }
    return ExpertLabels(targets, counts)


def _votes(
    path: Path,
    setting: str,
    settings: Reference,
    column: str,
    number: int,
    records: pd.DataFrame,
) -> Iterable[pd.DataFrame]:
    """Tables with columns unit, reader and the findings, float64: one for each reader in `path`."""
    source = f"{setting}.table ({path.name})"
    if not path.is_file():
        raise InputError(f"{setting}.table is {path}, which does not exist.")
    header = read_header(path, source)
    own = {
        reader: _columns(header, source, settings, reader, findings_of(records))
        for reader in (settings.readers or [""])
    }
    keys = (column, settings.reader) if settings.reader else (column,)
    names = dict.fromkeys(name for columns in own.values() for name in columns.values())
    table = read_text_table(path, source, (*keys, *names))
    for name in keys:
        reject(table[name].isna(), f"{source}, column {name}", "rows are blank")
    remedy = "Say what tells readers apart (`reader`, `readers` or a table for each), or repair it."
    if settings.reader:
        remedy = "A reader reads an image once; repair the file."
    table[column] = _name(table[column], settings, records, f"{source}, column {column}")
    twice = table.duplicated(list(keys), keep=False)
    reject(twice, source, f"rows have a duplicate {' and '.join(keys)}", remedy=remedy)
    for reader, columns in own.items():
        labels = {
            finding: _labels(table[columns[finding]], source, settings)
            if finding in columns
            else np.full(len(table), np.nan)
            for finding in findings_of(records)
        }
        who = table[settings.reader] if settings.reader else reader or f"table {number + 1}"
        yield pd.DataFrame({"unit": table[column], "reader": who, **labels})


def _columns(
    header: list[str], source: str, settings: Reference, reader: str, findings: Sequence[str]
) -> dict[str, str]:
    """Finding -> the file's column of it; those that it lacks are left out if nobody named them."""
    names = {
        finding: settings.column.replace("{reader}", reader).replace(
            "{finding}", settings.columns.get(finding, finding)
        )
        for finding in findings
    }
    named = [finding for finding in settings.columns if finding in names]
    absent = [names[finding] for finding in named if names[finding] not in header]
    found = {finding: name for finding, name in names.items() if name in header}
    if absent or not found:
        wanted = absent or list(names.values())
        raise InputError(f"{source} has no column {some(wanted)}; it has {some(header, 60)}.")
    return found


def _labels(cells: pd.Series, source: str, settings: Reference) -> pd.Series:
    """A text column as votes: 1, 0, or NaN for none."""
    values = numbers(in_our_words(cells, settings.values), source)
    remedy = "Map these values in `values`, to null for blank."
    strange = values.notna() & ~values.isin(LABELS)
    reject(
        strange,
        f"{source}, column {cells.name}",
        "rows are not labels of 1, 0, -1 or blank",
        cells,
        remedy,
    )
    if settings.blank == "zeros":
        values = values.fillna(0.0)
    return values.mask(values == -1)


def _verdicts(votes: pd.DataFrame, consensus: str) -> pd.DataFrame:
    """The truth of every unit: of the majority of votes, NaN without one, or of one reader."""
    findings = [name for name in votes if name not in ("unit", "reader")]
    if consensus != MAJORITY:
        given = votes[votes.reader == consensus].set_index("unit")[findings]
        return given.reindex(pd.unique(votes.unit))
    sides = votes[findings] * 2 - 1
    balance = sides.groupby(votes.unit, sort=False).sum()
    return (balance > 0).astype(float).mask(balance == 0)


def _name(units: pd.Series, settings: Reference, records: pd.DataFrame, source: str) -> pd.Series:
    """Keys of a table as `_unit_of` names them: images without suffix, studies with their patient.

    A study's key may be its path, or its id alone where no two patients have a study of that id.
    """
    if settings.unit == "image":
        return known_key(units, records.image_id)
    patients = records.drop_duplicates(["patient_id", "study_id"]).set_index("study_id").patient_id
    several = units.isin(patients.index[patients.index.duplicated()])
    form = masked(_unit_of(records, "study").iloc[0])
    remedy = f"Write the patient too, in the form {form}."
    reject(several, source, "rows name a study that several patients have", remedy=remedy)
    whole = units.map(patients[~patients.index.duplicated(keep=False)]) + "/" + units
    return whole.fillna(units.str.split("/").str[-2:].str.join("/"))


def _unit_of(records: pd.DataFrame, unit: str) -> pd.Series:
    """The image or study of every record."""
    return records.image_id if unit == "image" else records.patient_id + "/" + records.study_id
