"""The synthetic site in the raw layout of MIMIC-CXR-JPG 2.0.0 and MIMIC-IV 2.2.

Race is in the admissions, so it can be absent, unknown or contradictory; the images of such
patients exist as they do in the original.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.synthetic.population import population, stream
from cxrfmkd.synthetic.truth import Truth
from cxrfmkd.synthetic.writing import labels, write_gz, write_images
from cxrfmkd.vocabulary.findings import FINDINGS

RACE_TEXTS = {"White": "WHITE", "Asian": "ASIAN", "Black": "BLACK/AFRICAN AMERICAN"}
FINER_TEXTS = {
    "White": ("WHITE - OTHER EUROPEAN", "WHITE - RUSSIAN"),
    "Asian": ("ASIAN - CHINESE", "ASIAN - SOUTH EAST ASIAN"),
    "Black": ("BLACK/CAPE VERDEAN", "BLACK/CARIBBEAN ISLAND"),
}
UNINFORMATIVE = ("UNKNOWN", "UNABLE TO OBTAIN")
OTHER_TEXTS = ("OTHER", "HISPANIC OR LATINO", "PATIENT DECLINED TO ANSWER", "UNKNOWN")
# Among the included: how their race is written. Among the left out: why.
KEPT_CASES = {"plain": 0.84, "finer category": 0.10, "also unknown": 0.06}
LEFT_OUT_CASES = ("another race", "contradictory", "no admission")
# Procedure, view and orientation, as the metadata name them.
VIEWS = {
    "AP": ("CHEST (PORTABLE AP)", "antero-posterior", "Recumbent"),
    "PA": ("CHEST (PA AND LAT)", "postero-anterior", "Erect"),
    "LATERAL": ("CHEST (PA AND LAT)", "lateral", "Erect"),
}
ADMISSION_COLUMNS = """
    subject_id hadm_id admittime dischtime deathtime admission_type admit_provider_id
    admission_location discharge_location insurance language marital_status race edregtime edouttime
    hospital_expire_flag
""".split()


def write(out: Path, truth: Truth, patients: int, seed: int, workers: int) -> dict:
    """Write all tables and images below `out`; returns what can be counted in them."""
    rows = population(truth, patients, seed)
    rng = stream("tables", truth, seed)
    people = _people(rows, rng)
    rows = _identified(rows, people, rng)
    write_gz(out / "mimic-cxr-2.0.0-metadata.csv.gz", metadata(rows, truth))
    write_gz(out / "mimic-cxr-2.0.0-chexpert.csv.gz", chexpert(rows, truth, seed))
    write_gz(out / "hosp/patients.csv.gz", patients_table(people, rng))
    write_gz(out / "hosp/admissions.csv.gz", admissions(people, rng))
    subject, study = rows.subject_id.astype(str), rows.study_id.astype(str)
    paths = "p" + subject.str[:2] + "/p" + subject + "/s" + study + "/" + rows.dicom_id + ".jpg"
    write_images(out / "images", paths, rows, truth, seed, workers)
    frontal = rows["view"] != "LATERAL"
    return {
        "images": len(rows),
        "frontal images": int(frontal.sum()),
        "records": int((frontal & rows.included).sum()),
        "patients": people.case.value_counts().to_dict(),
    }


def _people(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    people = rows.drop_duplicates("patient").set_index("patient")
    kept = rng.choice(list(KEPT_CASES), p=list(KEPT_CASES.values()), size=len(people))
    people["case"] = np.where(people.included, kept, rng.choice(LEFT_OUT_CASES, size=len(people)))
    people["subject_id"] = np.sort(rng.choice(9_000_000, len(people), replace=False)) + 10_000_000
    since_anchor = rng.integers(0, 4, len(people))
    people["first_year"] = rng.integers(2110, 2200, len(people))
    people["anchor_age"] = np.maximum(people.age - since_anchor, 18)
    people["anchor_year"] = people.first_year - (people.age - people.anchor_age)
    return people


def _identified(rows: pd.DataFrame, people: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Rows with subject_id, study_id, dicom_id and the study's date and time."""
    rows = rows.join(people[["subject_id", "anchor_year", "anchor_age"]], on="patient")
    studies = rows.drop_duplicates(["patient", "study"])[["patient", "study"]].copy()
    studies["study_id"] = rng.choice(9_000_000, len(studies), replace=False) + 50_000_000
    studies["day"] = rng.integers(0, 365, len(studies))
    studies["milliseconds"] = rng.integers(0, 86_400_000, len(studies))
    rows = rows.merge(studies, on=["patient", "study"], how="left", validate="many_to_one")
    years = (rows.anchor_year + rows.age - rows.anchor_age).astype(str)
    dates = pd.to_datetime(years, format="%Y") + pd.to_timedelta(rows.day, unit="D")
    times = datetime(2000, 1, 1) + pd.to_timedelta(rows.milliseconds, unit="ms")
    words = rng.integers(0, 2**32, (len(rows), 5), dtype=np.uint64)
    return rows.assign(
        StudyDate=dates.dt.strftime("%Y%m%d").astype(int),
        StudyTime=times.dt.strftime("%H%M%S.%f").astype(float),
        dicom_id=["-".join(f"{word:08x}" for word in group) for group in words],
    )


def metadata(rows: pd.DataFrame, truth: Truth) -> pd.DataFrame:
    """mimic-cxr-2.0.0-metadata.csv.gz, one row an image."""
    height, width = truth.images
    procedure, code, orientation = (
        rows["view"].map({view: texts[i] for view, texts in VIEWS.items()}) for i in range(3)
    )
    table = {
        "dicom_id": rows.dicom_id,
        "subject_id": rows.subject_id,
        "study_id": rows.study_id,
        "PerformedProcedureStepDescription": procedure,
        "ViewPosition": rows["view"],
        "Rows": height,
        "Columns": width,
        "StudyDate": rows.StudyDate,
        "StudyTime": rows.StudyTime,
        "ProcedureCodeSequence_CodeMeaning": procedure,
        "ViewCodeSequence_CodeMeaning": code,
        "PatientOrientationCodeSequence_CodeMeaning": orientation,
    }
    return pd.DataFrame(table)


def chexpert(rows: pd.DataFrame, truth: Truth, seed: int) -> pd.DataFrame:
    """mimic-cxr-2.0.0-chexpert.csv.gz, one row a study, the findings in alphabetical order."""
    table = rows[["subject_id", "study_id"]].join(labels(rows, truth, seed)[sorted(FINDINGS)])
    return table.drop_duplicates("study_id")


def patients_table(people: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """hosp/patients.csv.gz."""
    died = people.anchor_year + rng.integers(4, 10, len(people))
    columns = ["subject_id", "gender", "anchor_age", "anchor_year"]
    return people.assign(gender=people.sex.str[0])[columns].assign(
        anchor_year_group="2011 - 2013",
        dod=np.where(rng.random(len(people)) < 0.2, died.astype(str) + "-06-15", None),
    )


def admissions(people: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """hosp/admissions.csv.gz: one to four stays a patient; race may change or be missing."""
    stays = [
        (row, text) for row in people.itertuples() for text in _race_texts(row.race, row.case, rng)
    ]
    numbers = rng.choice(9_000_000, len(stays), replace=False) + 20_000_000

    def one_of(*texts: str) -> str:
        return str(rng.choice(texts))

    table = []
    for (row, text), number in zip(stays, numbers, strict=True):
        minutes = timedelta(minutes=int(rng.integers(0, 900_000)))
        start = datetime(int(row.first_year), 1, 1) + minutes
        end = start + timedelta(minutes=int(rng.integers(600, 20_000)))
        kind = one_of("EW EMER.", "URGENT", "OBSERVATION ADMIT")
        provider = f"P{rng.integers(0, 10**5):05d}"
        insurance = one_of("Medicare", "Medicaid", "Other")
        marital_status = one_of("MARRIED", "SINGLE", "WIDOWED")
        stay = (row.subject_id, number, start, end, None, kind, provider)
        person = ("EMERGENCY ROOM", "HOME", insurance, "ENGLISH", marital_status, text)
        table.append((*stay, *person, start - timedelta(hours=6), start, 0))
    return pd.DataFrame(table, columns=ADMISSION_COLUMNS)


def _race_texts(race: str, case: str, rng: np.random.Generator) -> list[str]:
    """The race written at each of a patient's admissions."""
    if case == "no admission":
        return []
    number = int(rng.integers(1, 4))
    alternatives = {"another race": OTHER_TEXTS, "finer category": FINER_TEXTS[race]}
    if case in alternatives:
        return [str(rng.choice(alternatives[case]))] * number
    others = ["OTHER", *(text for name, text in RACE_TEXTS.items() if name != race)]
    added = {"also unknown": UNINFORMATIVE, "contradictory": others}
    texts = [RACE_TEXTS[race]] * number
    return [*texts, str(rng.choice(added[case]))] if case in added else texts
