"""Tiny raw tables in the layouts of CheXpert, MIMIC-CXR and NIH, random or given by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.study.settings import Dataset
from cxrfmkd.vocabulary.findings import FINDINGS

DEMOGRAPHIC_RACES = (
    "White",
    "White, non-Hispanic",
    "Black or African American",
    "Asian",
    "Other",
    "Unknown",
    None,
    "Asian - Historical Conv",
    "White or Asian",
    "Black, White",
)
ETHNICITIES = ("Non-Hispanic/Non-Latino", "Not Hispanic", "Hispanic/Latino", "Unknown", None)


def findings(random: np.random.Generator, n: int) -> pd.DataFrame:
    """Labels of 1, 0, -1 and blank; No Finding is 1 or blank, as in the real files."""
    table = pd.DataFrame(
        random.choice([1.0, 0.0, -1.0, np.nan], (n, 14), p=[0.25, 0.1, 0.1, 0.55]),
        columns=list(FINDINGS),
    )
    table["No Finding"] = random.choice([1.0, np.nan], n, p=[0.2, 0.8])
    return table


def touch(root: Path, paths) -> None:
    """Empty files, since records look for images without opening them."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def chexpert_tables(patients: int = 60, seed: int = 0) -> dict[str, pd.DataFrame]:
    """train, demographics and split, which names images of every race and view by patient."""
    random = np.random.default_rng(seed)
    rows = [
        (f"CheXpert-v1.0/train/patient{p:05d}/study{s}/view{v}_{side}.jpg", side.capitalize(), p)
        for p in range(patients)
        for s in range(1, random.integers(2, 4))
        for v, side in enumerate(("frontal", "lateral")[: random.integers(1, 3)], 1)
    ]
    n = len(rows)
    train = pd.DataFrame(
        {
            "Path": [path for path, _, _ in rows],
            "Sex": random.choice(["Male", "Female"], n),
            "Age": random.integers(18, 91, n),
            "Frontal/Lateral": [side for _, side, _ in rows],
            "AP/PA": [
                random.choice(["AP", "PA"]) if side == "Frontal" else None for _, side, _ in rows
            ],
        }
    ).join(findings(random, n))
    order = random.permutation(patients)
    demographics = pd.DataFrame(
        {
            "PATIENT": [f"patient{p:05d}" for p in order if p % 11 != 3],
            "PRIMARY_RACE": random.choice(
                np.array(DEMOGRAPHIC_RACES, object), sum(order % 11 != 3)
            ),
            "GENDER": "Unknown",
            "AGE_AT_CXR": 1,
            "ETHNICITY": random.choice(
                np.array(ETHNICITIES, object), sum(order % 11 != 3), p=[0.5, 0.3, 0.1, 0.05, 0.05]
            ),
        }
    )
    side = random.choice(["train", "validate", "test"], patients, p=[0.5, 0.2, 0.3])
    named = [row for row, (_, _, p) in enumerate(rows) if p % 7 != 5]
    split = pd.DataFrame({"index": named, "split": [side[rows[row][2]] for row in named]})
    return {"train": train, "demographics": demographics, "split": split}


def chexpert(root: Path, tables: dict[str, pd.DataFrame] | None = None, **settings) -> Dataset:
    """Write the tables under `root` as the real files are, and return the dataset's settings."""
    tables = tables or chexpert_tables()
    root.mkdir(parents=True, exist_ok=True)
    tables["train"].to_csv(root / "train.csv", index=False)
    tables["demographics"].to_excel(root / "CHEXPERT DEMO.xlsx", index=False)
    names = {"train": "train.csv", "demographics": "CHEXPERT DEMO.xlsx"}
    if "split" in tables:
        names["split"] = "split.csv"
        tables["split"].to_csv(root / "split.csv")
    touch(root, tables["train"].Path)
    paths = {key: str(root / name) for key, name in names.items()}
    return Dataset(adapter="chexpert", tables=paths, images=str(root), **settings)


def mimic_tables(patients: int = 60, seed: int = 0, version: int = 2) -> dict[str, pd.DataFrame]:
    """metadata, labels, patients and admissions; version 1 has `ethnicity`, later ones `race`."""
    random = np.random.default_rng(seed)
    coarse = [
        "WHITE",
        "BLACK/AFRICAN AMERICAN",
        "ASIAN",
        "OTHER",
        "UNKNOWN",
        "UNABLE TO OBTAIN",
        "HISPANIC/LATINO",
    ]
    fine = [
        *coarse,
        "ASIAN - CHINESE",
        "BLACK/AFRICAN",
        "BLACK/CAPE VERDEAN",
        "WHITE - RUSSIAN",
        None,
    ]
    words = np.array(fine if version > 1 else coarse, object)
    subjects = [str(10000000 + 37 * p) for p in range(patients)]
    admissions = pd.DataFrame(
        [
            (s, random.choice(words))
            for i, s in enumerate(subjects)
            if i % 13 != 4
            for _ in range(random.integers(1, 4))
        ],
        columns=["subject_id", "race" if version > 1 else "ethnicity"],
    )
    studies = [
        (s, str(50000000 + 3 * i + k)) for i, s in enumerate(subjects) for k in range(1 + i % 3)
    ]
    images = [(s, study) for s, study in studies for _ in range(random.integers(1, 3))]
    n = len(images)
    metadata = pd.DataFrame(
        {
            "dicom_id": [f"{value:016x}" for value in random.choice(2**40, n, replace=False)],
            "subject_id": [s for s, _ in images],
            "study_id": [study for _, study in images],
            "ViewPosition": random.choice(np.array(["AP", "PA", "LATERAL", "LL", None], object), n),
            "Rows": 3056,
            "StudyDate": random.integers(2150, 2200, n) * 10000 + 506,
        }
    )
    labels = pd.DataFrame(studies, columns=["subject_id", "study_id"]).join(
        findings(random, len(studies))
    )
    labels = labels[labels.study_id.astype(int) % 17 != 5]
    people = pd.DataFrame(
        {
            "subject_id": subjects,
            "gender": random.choice(["F", "M"], patients),
            "anchor_age": random.integers(20, 60, patients),
            "anchor_year": random.integers(2150, 2170, patients),
            "anchor_year_group": "2011 - 2013",
        }
    )
    people = people[people.index % 19 != 7]
    return {"metadata": metadata, "labels": labels, "patients": people, "admissions": admissions}


def mimic(
    root: Path, tables: dict[str, pd.DataFrame] | None = None, suffix: str = ".csv.gz", **settings
) -> Dataset:
    """Write the tables under `root`, touch the images, and return the dataset's settings."""
    tables = tables or mimic_tables()
    root.mkdir(parents=True, exist_ok=True)
    for key, table in tables.items():
        table.to_csv(root / f"{key}{suffix}", index=False)
    m = tables["metadata"].astype(str)
    touch(
        root / "files",
        "p"
        + m.subject_id.str[:2]
        + "/p"
        + m.subject_id
        + "/s"
        + m.study_id
        + "/"
        + m.dicom_id
        + ".jpg",
    )
    paths = {key: str(root / f"{key}{suffix}") for key in tables}
    return Dataset(adapter="mimic-cxr", tables=paths, images=str(root / "files"), **settings)


NIH_ROWS = [
    ("00000001_000.png", "Cardiomegaly", 0, 1, "058Y", "M", "PA"),
    ("00000001_001.png", "Cardiomegaly|Effusion", 1, 1, "059Y", "M", "AP"),
    ("00000002_000.png", "No Finding", 0, 2, "81", "F", "PA"),
    ("00000003_000.png", "Hernia|Infiltration", 0, 3, "011M", "F", "PA"),
    ("00000004_000.png", "Mass|Nodule", 0, 4, "013D", "M", "AP"),
    ("00000005_000.png", "Pleural_Thickening|Fibrosis", 0, 5, "411", "F", "AP"),
    ("00000006_000.png", "Pneumonia|Edema|Consolidation", 0, 6, "70", "F", "AP"),
]


def nih(root: Path, rows=NIH_ROWS, **settings) -> Dataset:
    """Write the entry table and touch the images in one folder."""
    columns = [
        "Image Index",
        "Finding Labels",
        "Follow-up #",
        "Patient ID",
        "Patient Age",
        "Patient Gender",
        "View Position",
    ]
    root.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=columns).to_csv(root / "entries.csv", index=False)
    touch(root / "images", [row[0] for row in rows])
    paths = {"entries": str(root / "entries.csv")}
    return Dataset(adapter="nih-cxr14", tables=paths, images=str(root / "images"), **settings)


def many(n: int = 40) -> list[tuple]:
    return [
        (
            f"{p:08d}_{k:03d}.png",
            "No Finding" if p % 2 else "Effusion",
            k,
            p,
            "50",
            "M",
            ("PA", "AP")[k],
        )
        for p in range(1, n + 1)
        for k in range(2)
    ]
