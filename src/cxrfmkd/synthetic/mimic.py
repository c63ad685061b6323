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
PROCEDURES = {
    "AP": "CHEST (PORTABLE AP)",
    "PA": "CHEST (PA AND LAT)",
    "LATERAL": "CHEST (PA AND LAT)",
}
VIEW_CODES = {"AP": "antero-posterior", "PA": "postero-anterior", "LATERAL": "lateral"}


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
    paths = [
        f"p{str(row.subject_id)[:2]}/p{row.subject_id}/s{row.study_id}/{row.dicom_id}.jpg"
        for row in rows.itertuples()
    ]
    write_images(out / "images", paths, rows, truth, seed, workers)
    frontal = rows["view"] != "LATERAL"
    return {
        "images": len(rows),
        "frontal images": int(frontal.sum()),
        "records": int((frontal & rows.included).sum()),
        "patients": {case: int(n) for case, n in people.case.value_counts().items()},
    }


def _people(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    people = rows.drop_duplicates("patient").set_index("patient")
    kept = rng.choice(list(KEPT_CASES), p=list(KEPT_CASES.values()), size=len(people))
    people["case"] = np.where(people.included, kept, rng.choice(LEFT_OUT_CASES, size=len(people)))
    people["subject_id"] = np.sort(rng.choice(9_000_000, len(people), replace=False)) + 10_000_000
    since_anchor = rng.integers(0, 4, len(people))
    people["first_year"] = rng.integers(2110, 2200, len(people))
    people["anchor_year"] = people.first_year - since_anchor
    people["anchor_age"] = np.maximum(people.age - since_anchor, 18)
    people["anchor_year"] = people.first_year - (people.age - people.anchor_age)
    return people


def _identified(rows: pd.DataFrame, people: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Rows with subject_id, study_id, dicom_id and the study's date and time."""
    rows = rows.join(people[["subject_id", "anchor_year", "anchor_age"]], on="patient")
    studies = rows.drop_duplicates(["patient", "study"])[["patient", "study"]].copy()
    studies["study_id"] = rng.choice(9_000_000, len(studies), replace=False) + 50_000_000
    studies["day"] = rng.integers(0, 365, len(studies))
    studies["seconds"] = rng.integers(0, 86_400_000, len(studies))
    rows = rows.merge(studies, on=["patient", "study"], how="left", validate="many_to_one")
    years = rows.anchor_year + rows.age - rows.anchor_age
    dates = [
        datetime(int(year), 1, 1) + timedelta(days=int(day))
        for year, day in zip(years, rows.day, strict=True)
    ]
    times = [datetime(2000, 1, 1) + timedelta(milliseconds=int(ms)) for ms in rows.seconds]
    words = rng.integers(0, 2**32, (len(rows), 5), dtype=np.uint64)
    return rows.assign(
        StudyDate=[int(date.strftime("%Y%m%d")) for date in dates],
        StudyTime=[round(float(time.strftime("%H%M%S.%f")), 3) for time in times],
        dicom_id=["-".join(f"{word:08x}" for word in group) for group in words],
    )


def metadata(rows: pd.DataFrame, truth: Truth) -> pd.DataFrame:
    """mimic-cxr-2.0.0-metadata.csv.gz, one row an image."""
    height, width = truth.images
    procedure = rows["view"].map(PROCEDURES)
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
        "ViewCodeSequence_CodeMeaning": rows["view"].map(VIEW_CODES),
        "PatientOrientationCodeSequence_CodeMeaning": rows["view"].map(
            {"AP": "Recumbent", "PA": "Erect", "LATERAL": "Erect"}
        ),
    }
    return pd.DataFrame(table)


def chexpert(rows: pd.DataFrame, truth: Truth, seed: int) -> pd.DataFrame:
    """mimic-cxr-2.0.0-chexpert.csv.gz, one row a study, the findings in alphabetical order."""
    table = rows[["subject_id", "study_id"]].join(labels(rows, truth, seed)[sorted(FINDINGS)])
    return table.drop_duplicates("study_id")


def patients_table(people: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """hosp/patients.csv.gz."""
    died = people.anchor_year + rng.integers(4, 10, len(people))
    return pd.DataFrame(
        {
            "subject_id": people.subject_id,
            "gender": people.sex.str[0],
            "anchor_age": people.anchor_age,
            "anchor_year": people.anchor_year,
            "anchor_year_group": "2011 - 2013",
            "dod": np.where(rng.random(len(people)) < 0.2, died.astype(str) + "-06-15", None),
        }
    )


def admissions(people: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """hosp/admissions.csv.gz: one to four stays a patient; race may change or be missing."""
    stays = [
        (row, text) for row in people.itertuples() for text in _race_texts(row.race, row.case, rng)
    ]
    numbers = rng.choice(9_000_000, len(stays), replace=False) + 20_000_000
    table = []
    for (row, text), number in zip(stays, numbers, strict=True):
        start = datetime(int(row.first_year), 1, 1) + timedelta(
            minutes=int(rng.integers(0, 900_000))
        )
        end = start + timedelta(minutes=int(rng.integers(600, 20_000)))
        table.append(
            {
                "subject_id": row.subject_id,
                "hadm_id": number,
                "admittime": start,
                "dischtime": end,
                "deathtime": None,
                "admission_type": str(rng.choice(["EW EMER.", "URGENT", "OBSERVATION ADMIT"])),
                "admit_provider_id": f"P{rng.integers(0, 10**5):05d}",
                "admission_location": "EMERGENCY ROOM",
                "discharge_location": "HOME",
                "insurance": str(rng.choice(["Medicare", "Medicaid", "Other"])),
                "language": "ENGLISH",
                "marital_status": str(rng.choice(["MARRIED", "SINGLE", "WIDOWED"])),
                "race": text,
                "edregtime": start - timedelta(hours=6),
                "edouttime": start,
                "hospital_expire_flag": 0,
            }
        )
    return pd.DataFrame(table)


def _race_texts(race: str, case: str, rng: np.random.Generator) -> list[str]:
    """The race written at each of a patient's admissions."""
    if case == "no admission":
        return []
    number = int(rng.integers(1, 4))
    if case == "another race":
        return [str(rng.choice(OTHER_TEXTS))] * number
    if case == "finer category":
        return [str(rng.choice(FINER_TEXTS[race]))] * number
    texts = [RACE_TEXTS[race]] * number
    if case == "also unknown":
        texts.append(str(rng.choice(UNINFORMATIVE)))
    if case == "contradictory":
        others = [text for name, text in RACE_TEXTS.items() if name != race]
        texts.append(str(rng.choice(["OTHER", *others])))
    return texts
