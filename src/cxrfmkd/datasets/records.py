"""Records: one row an image, with its keys, its patient, its findings and its split.

A records file is a CSV with the columns of `columns()`, in that order, and whatever else its
adapter knows. The findings that a dataset has are the columns between `view` and `split`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.datasets.record_files import (
    declared_groups,
    hashes,
    reject_outside,
    verify_file,
    verify_rows,
)
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.cells import name_places, numbers, reject, shared
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.files import read_table, write_json, write_table
from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.datasets import SPLITS
from cxrfmkd.vocabulary.findings import FINDINGS, OTHER
from cxrfmkd.vocabulary.groups import AGE_EDGES, RACES, SEXES

log = logging.getLogger(__name__)

KEYS = ("image_id", "patient_id", "study_id", "path")
BEFORE, AFTER = (*KEYS, "sex", "age", "race", "view"), ("split", "disease", "age_bin")

LABELS = (1.0, 0.0, -1.0)
TEXTS = ("sex", "race", "view")
OLDEST = 120
PER_YEAR = {"Y": 1, "M": 12, "W": 365.25 / 7, "D": 365.25}


def key(paths: pd.Series) -> pd.Series:
    """`image_id` of relative image paths: the path without its suffix, unique across folders."""
    return paths.str.replace(r"\.[^./]+$", "", regex=True)


def known_key(ids: pd.Series, image_ids: pd.Series) -> pd.Series:
    """`image_id` of images that a user's table names, by these ids or by a file's name.

    An id of `image_ids` is left as it is: it may end as a suffix does, such as a DICOM UID.
    """
    return ids.where(ids.isin(image_ids), key(ids))


def member_key(member: str, keys: pd.Series) -> pd.Series:
    """Keys of a member's images, patients or studies in a pool: below the name of the member."""
    return member + "/" + keys


def columns(findings: Sequence[str] = FINDINGS) -> tuple[str, ...]:
    """Columns of records with these findings, in order."""
    return (*BEFORE, *findings, *AFTER)


def findings_of(records: pd.DataFrame) -> tuple[str, ...]:
    """The findings that records have: their columns between `view` and `split`, in order.

    Of a table without these two columns, those of the 14 that it has.
    """
    names = list(records)
    if "view" not in names or "split" not in names:
        return tuple(name for name in FINDINGS if name in names)
    return tuple(names[names.index("view") + 1 : names.index("split")])


def check_findings(tables: Mapping[str, pd.DataFrame]) -> None:
    """Raise InputError unless the records of all splits have the same findings, in one order."""
    (first, expected), *others = ((name, findings_of(table)) for name, table in tables.items())
    for name, findings in others:
        if findings != expected:
            missing = [finding for finding in expected if finding not in findings]
            problem = f"they lack {some(missing)}" if missing else f"they have {some(findings)}"
            raise InputError(
                f"The records of {name} have other findings than those of {first}: {problem}. "
                "Make the records again."
            )


def disease(records: pd.DataFrame, classes: Sequence[str] = THESIS.classes) -> pd.Series:
    """The exclusive classes of resampling and bias analysis, shape (n,), text.

    The first of `classes` whose label is 1, as far as the records have it; else "Other". In the
    thesis an effusion wins, then comes No Finding. The published rule speaks only of a No Finding
    of 1 or blank; where it is 0 or -1 it leaves the number in place, and 0 is then read as the
    class "No Finding". Here both are "Other": the label does not say that the image is clear. On
    CheXpert and MIMIC-CXR, whose No Finding is 1 or blank, the two rules agree on every row.
    Source: chexpert.sample and mimic.sample notebooks.
    """
    known = [name for name in classes if name in records]
    of_image = pd.Series(OTHER, records.index, dtype="str", name="disease")
    for name in reversed(known):
        of_image = of_image.mask(records[name].eq(1), name)
    return of_image


def age_bin(ages: pd.Series) -> pd.Series:
    """Bin 0 to 7 of ages in years (`AGE_EDGES`, upper ends included); blank where age is."""
    bins = np.searchsorted(AGE_EDGES, ages.to_numpy(float), side="left")
    return pd.Series(bins, ages.index, dtype="Int64", name="age_bin").where(ages.notna())


def complete(records: pd.DataFrame, findings: Findings = THESIS) -> pd.DataFrame:
    """`records` with `disease` and `age_bin`, columns in order, the adapter's own columns last.

    findings: of the study; those that the records lack have no column.
    """
    of_image = disease(records, findings.classes)
    records = records.assign(disease=of_image, age_bin=age_bin(records.age))
    ordered = columns([name for name in findings.names if name in records])
    extras = [column for column in records if column not in ordered]
    return records[[*ordered, *extras]].reset_index(drop=True)


def targets(records: pd.DataFrame, uncertain: str = "zeros", blank: str = "zeros") -> np.ndarray:
    """What a classifier is taught, float32 (n, findings): 1, 0, or NaN for a label to leave out.

    uncertain: what -1 becomes: `zeros`, `ones`, or `ignore` (NaN). blank: what no label becomes,
    `zeros` or `ignore`. The thesis has zeros for both.
    """
    meaning = {"zeros": 0.0, "ones": 1.0, "ignore": np.nan}
    if uncertain not in meaning:
        raise InputError(f"labels.uncertain is {uncertain!r}; choose one of {', '.join(meaning)}.")
    raw = records[list(findings_of(records))].to_numpy(np.float32)
    values = [np.float32(1), *(np.float32(meaning[policy]) for policy in (uncertain, blank))]
    return np.select([raw == 1, raw == -1, np.isnan(raw)], values, np.float32(0))


def present(records: pd.DataFrame, *arrays: KeyedArray) -> pd.DataFrame:
    """The records that every array has, in order, less those that an array lists as excluded.

    An array lists them in its `meta["excluded"]`; the log counts them. Any other absence raises
    InputError.
    """
    keep = np.ones(len(records), bool)
    for array in arrays:
        absent = ~records.image_id.isin(array.index.image_id).to_numpy()
        unexplained = absent & ~records.image_id.isin(array.meta.get("excluded", [])).to_numpy()
        if unexplained.any():
            raise InputError(
                f"{array.name}: {unexplained.sum()} of {len(records)} records are neither in it "
                "nor among those that it excluded (record rows "
                f"{some(np.flatnonzero(unexplained) + 1)}). It was made from other records; make "
                "it again."
            )
        keep &= ~absent
    if not keep.all():
        log.info("%d of %d images are left out: declared as excluded", (~keep).sum(), len(keep))
    return records[keep].reset_index(drop=True)


def read_records(*paths: str | Path) -> pd.DataFrame:
    """The records of one or more files, one below the other, checked.

    Keys and categories are text, findings and age float64, age_bin Int64; blanks are missing
    values. Raises InputError that lists every kind of violation with its lines.
    """
    records = pd.concat([_read(Path(path)) for path in paths], ignore_index=True)
    duplicates = int(records.image_id.duplicated().sum())
    if duplicates:
        problem = f"{duplicates} duplicate image_id across these files"
        raise InputError(f"{some(paths)}: {problem}. Make the records again.")
    return records


def write_records(
    path: str | Path, records: pd.DataFrame, groups: Mapping[str, Sequence[str]] = {}
) -> None:
    """Write records as CSV, checked first; groups: of declared attributes."""
    check(records, str(path), groups)
    write_table(path, records)


def write_splits(files: Mapping[str, Path], records: pd.DataFrame, summary: dict) -> None:
    """Write the records of each split, and their summary with the hashes of these files.

    files: by split, and that of `summary`.
    """
    for split in SPLITS:
        rows = records[records.split == split]
        write_records(files[split], rows, summary.get("attributes", {}))
        patients = rows.patient_id.nunique()
        log.info("%s: %d images of %d patients", split, len(rows), patients)
    tables = [files[split] for split in SPLITS]
    write_json(files["summary"], summary | {"files": hashes(tables)})


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise InputError(f"{path}: there is no such file. Make the records first.")
    verify_file(path)
    records = read_table(path, dtype="str")
    missing = [column for column in columns(()) if column not in records]
    if missing:
        raise InputError(
            f"{path}: these columns of a records file are missing: {some(missing)}. It has "
            f"{some(records.columns)}."
        )
    if not (findings := findings_of(records)):
        raise InputError(
            f"{path}: it has no finding. Their columns stand between `view` and `split`; it has "
            f"{some(records.columns)}."
        )
    for column in ("age", *findings):
        records[column] = numbers(records[column], str(path))
    records["age_bin"] = numbers(records.age_bin, str(path)).astype("Int64")
    check(records, str(path), declared_groups(path))
    reject_outside(records.path, str(path))
    verify_rows(path, records)
    return records


def years(ages: pd.Series, source: str) -> pd.Series:
    """Texts such as "058Y", "011M", "013D", "002W" or plain numbers, as years; InputError else."""
    parts = ages.str.extract(r"^(\d+(?:\.\d+)?)\s*([YMWDymwd]?)$")
    invalid = parts[0].isna() & ages.notna()
    problem = "values are neither a number of years nor of the form 058Y"
    remedy = "Write a number, or leave unknown ages blank."
    reject(invalid, f"{source}, column {ages.name}", problem, ages, remedy)
    return parts[0].astype(float) / parts[1].str.upper().replace("", "Y").map(PER_YEAR)


def possible_years(ages: pd.Series, source: str) -> pd.Series:
    """`years`, of which each is possible; else InputError."""
    values = years(ages, source)
    impossible = values.notna() & ~values.between(0, OLDEST)
    problem = f"values are no age from 0 to {OLDEST} years"
    remedy = "Correct them, or make them blank where the age is not known."
    reject(impossible, f"{source}, column {ages.name}", problem, ages, remedy)
    return values


def check(records: pd.DataFrame, source: str, groups: Mapping[str, Sequence[str]] = {}) -> None:
    """Raise InputError that lists every violation of the schema: column, rule, values and lines.

    groups: by name, of sex, race and view where the study declares them anew. Values of key columns
    and rare ones are not shown, since messages end up in logs.
    """
    import pandera.pandas as pandera

    def one_of(allowed: Sequence[str], nullable: bool = True) -> pandera.Column:
        error = f"is none of {', '.join(allowed)}{', blank' * nullable}"
        return pandera.Column(str, pandera.Check.isin(allowed, error=error), nullable=nullable)

    findings = findings_of(records)
    labels = pandera.Check.isin(LABELS, error="is none of 1, 0, -1, blank")
    ages = pandera.Check.in_range(0, OLDEST, error=f"is no age from 0 to {OLDEST} years")
    bins = pandera.Check.in_range(0, len(AGE_EDGES), error=f"is no bin from 0 to {len(AGE_EDGES)}")
    schema = pandera.DataFrameSchema(
        {name: pandera.Column(str, unique=name == "image_id") for name in KEYS}
        | {"sex": one_of(SEXES), "race": one_of(RACES), "view": pandera.Column(str, nullable=True)}
        | {name: one_of(groups[name]) for name in TEXTS if name in groups}
        | {"age": pandera.Column(float, ages, nullable=True)}
        | {finding: pandera.Column(float, labels, nullable=True) for finding in findings}
        | {"split": one_of(SPLITS, False), "disease": one_of((*findings, OTHER), False)}
        | {"age_bin": pandera.Column("Int64", bins, nullable=True)}
    )
    try:
        schema.validate(_typed(records), lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
    else:
        return
    report = [f"{source}: {len(cases)} values break the rules of a records file."]
    for (column, rule), group in cases.groupby(["column", "check"], sort=False):
        rule = {"not_nullable": "is blank", "field_uniqueness": "is a duplicate"}.get(rule, rule)
        values = "" if column in KEYS else shared(group.failure_case)
        values = f": {values}" if values else ""
        where = (
            name_places(group["index"].to_numpy(int) + 2, "line")
            if group["index"].notna().all()
            else "all lines"
        )
        report.append(f"  column {column}, {len(group)} x {rule}{values} ({where})")
    raise InputError("\n".join(report))


def _typed(records: pd.DataFrame) -> pd.DataFrame:
    """`records` with blank text columns as text: an empty column does not tell its type."""
    text = (*KEYS, *TEXTS, "split", "disease")
    kinds = dict.fromkeys((name for name in text if records[name].isna().all()), "str")
    floats = dict.fromkeys(("age", *findings_of(records)), float)
    return records.reset_index(drop=True).astype(kinds | floats)
