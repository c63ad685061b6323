"""MIMIC-CXR-JPG, or the DICOM files of MIMIC-CXR, with the demographics of MIMIC-IV.

Version 1.0 has them in core/ (`ethnicity`), version 2 and later in hosp/ (`race`).
Rules: mimic.sample notebook of biomedia-mira/chexploration.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.datasets.raw import SEX_CODES, Flow, Raw, Reading
from cxrfmkd.datasets.records import key
from cxrfmkd.runtime.errors import InputError

NEEDED = ("metadata", "labels")
OPTIONAL = ("patients", "admissions")

LOOKED_FOR = 200  # images whose files are looked for, to know their suffix
GROUPS = {"WHITE": "White", "ASIAN": "Asian", "BLACK": "Black"}
IDENTITIES = {"patient_id": r"/p(\d+)/", "study_id": r"/s(\d+)/"}
UNINFORMATIVE = ("UNKNOWN", "UNABLE TO OBTAIN", "PATIENT DECLINED TO ANSWER")


def read(raw: Raw) -> Reading:
    """AP and PA images of patients with one documented race: Asian, Black or White.

    Rows come in the order of the metadata.
    """
    images = _images(raw)
    flow = Flow(images, "metadata")
    labels = raw.table("labels", ("subject_id", "study_id", *raw.chexpert_findings))
    labels = raw.unique(labels, ["subject_id", "study_id"], "labels")
    labels = labels.assign(**raw.findings(labels, "labels"))
    labels = labels.rename(columns={"subject_id": "patient_id"})
    merged = images.merge(labels, "left", ["patient_id", "study_id"], indicator="labelled")
    images = merged.set_axis(images.index)
    labelled = images.pop("labelled").eq("both")
    images = flow.keep(images, labelled, "labels", "study without labels")
    blank, joined, notes = pd.Series(pd.NA, images.index, dtype="str"), None, []
    images = images.assign(race=blank, sex=blank, age=np.nan)
    if raw.has("admissions"):
        images, joined, note = _with_race(raw, images, flow)
        notes.append(note)
    frontal = images.view.isin(["AP", "PA"])
    images = flow.keep(images, frontal, "view", "neither AP nor PA")
    if raw.has("patients"):
        images = _with_sex_and_age(raw, images, flow)
    for table, columns in (("admissions", "race is"), ("patients", "sex and age are")):
        if not raw.has(table):
            notes.append(
                f"No table of {table}: {columns} blank, and no patient is excluded by them."
            )
    return Reading(images.drop(columns="year"), flow, joined, IDENTITIES, notes)


def _with_race(raw: Raw, images: pd.DataFrame, flow: Flow) -> tuple[pd.DataFrame, float, str]:
    """Images of the study's races; share of them whose patient was admitted; a note."""
    races, column = _races(raw)
    images = images.assign(race=images.patient_id.map(races))
    admitted = images.race.notna()
    joined = float(admitted.mean())
    images = flow.keep(images, admitted, "admissions", "patient without an admission")
    consistent = images.race.ne("inconsistent")
    images = flow.keep(images, consistent, "one race", "more than one documented race")
    images = images.assign(race=images.race.map(GROUPS))
    images = flow.keep(images, images.race.notna(), "race", "not Asian, Black or White")
    version = "1.0" if column == "ethnicity" else "2 or later"
    return images, joined, f"MIMIC-IV {version}: admissions has the column {column}."


def _with_sex_and_age(raw: Raw, images: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    """Images whose patient is in the patients table, with sex, and age in the year of the image."""
    people = _people(raw)
    listed = images.patient_id.isin(people.index)
    images = flow.keep(images, listed, "patients", "not in the patients table")
    person = people.loc[images.patient_id].set_axis(images.index)
    age = person.anchor_age + images.year - person.anchor_year
    return images.assign(sex=person.sex, age=age)


def coarse(documented: pd.Series) -> pd.Series:
    """The category of version 1.0 for a race string of any version: ASIAN for "ASIAN - CHINESE".

    By the beginning of the string, since "CAUCASIAN" ends in ASIAN.
    """
    text = documented.str.strip().str.upper()
    return text.str.extract(r"^(WHITE|BLACK|ASIAN|HISPANIC)\b")[0].fillna(text)


def _races(raw: Raw) -> tuple[pd.Series, str]:
    """One category by patient with an admission, or `inconsistent`; and the column it came from.

    `strict` counts every category; `informative` lets unknown ones not count beside a known one.
    """
    table = raw.table("admissions", ("subject_id",), ("race", "ethnicity"))
    column = next((name for name in ("race", "ethnicity") if name in table), None)
    if column is None:
        raise InputError(
            f"{raw.source('admissions')} has neither a column race (MIMIC-IV 2 and later, hosp/) "
            "nor ethnicity (1.0, core/). Set it to admissions.csv of one of these."
        )
    pairs = table.fillna({column: "UNKNOWN"}).drop_duplicates(["subject_id", column])
    words = pairs[column].drop_duplicates()
    pairs["category"] = pairs[column].map(coarse(words).set_axis(words))
    pairs = pairs.drop_duplicates(["subject_id", "category"])
    if raw.settings.inconsistent_race == "informative":
        unknown = pairs.category.isin(UNINFORMATIVE)
        informed = pairs.subject_id.isin(pairs.subject_id[~unknown])
        pairs = pairs[~(unknown & informed)]
    several = pairs.subject_id.duplicated(keep=False)
    categories = pairs.set_index("subject_id").category.mask(several.to_numpy(), "inconsistent")
    return categories[~categories.index.duplicated()], column


def _images(raw: Raw) -> pd.DataFrame:
    columns = ("dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate")
    table = raw.unique(raw.table("metadata", columns), ["dicom_id"], "metadata")
    dates = raw.numbers(table, "StudyDate", "metadata")
    invalid = ~dates.between(1e7, 1e8)
    problem = "are not of the form yyyymmdd"
    raw.reject(invalid, "metadata", "StudyDate", problem, table.StudyDate)
    patient, study = table.subject_id, table.study_id
    stem = "p" + patient.str[:2] + "/p" + patient + "/s" + study + "/" + table.dicom_id
    path = stem + _suffix(raw, stem)
    return pd.DataFrame(
        {
            "image_id": key(path),
            "patient_id": patient,
            "study_id": study,
            "path": path,
            "view": table.ViewPosition.str.upper(),
            "year": dates // 10000,
        }
    )


def _suffix(raw: Raw, stems: pd.Series) -> str:
    """Of MIMIC-CXR-JPG, or .dcm where the first file that is there is of MIMIC-CXR itself."""
    root = Path(raw.settings.images)
    for stem in stems.iloc[np.unique(np.linspace(0, len(stems) - 1, LOOKED_FOR).astype(int))]:
        for suffix in (".jpg", ".dcm"):
            if (root / f"{stem}{suffix}").is_file():
                return suffix
    return ".jpg"


def _people(raw: Raw) -> pd.DataFrame:
    """sex, anchor_age and anchor_year by patient."""
    table = raw.table("patients", ("subject_id", "gender", "anchor_age", "anchor_year"))
    table = raw.unique(table, ["subject_id"], "patients")
    columns = {
        "sex": raw.codes(table, "gender", "patients", SEX_CODES),
        "anchor_age": raw.years(table, "anchor_age", "patients"),
        "anchor_year": raw.numbers(table, "anchor_year", "patients"),
    }
    return pd.DataFrame(columns).set_axis(table.subject_id)
