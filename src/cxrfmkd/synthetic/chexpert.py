"""The synthetic site in CheXpert's raw layout.

Layout as described in the reference notebooks of the bias study: the spreadsheet's rows are in
another order than train.csv's, it knows patients without images, and the split file names rows of
train.csv by position.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.runtime.files import write_table
from cxrfmkd.synthetic.population import population, stream
from cxrfmkd.synthetic.truth import Truth
from cxrfmkd.synthetic.writing import labels, readings, write_images, write_xlsx
from cxrfmkd.vocabulary.findings import FINDINGS

RACE_TEXTS: dict[str, tuple[str | None, ...]] = {
    "White": ("White, non-Hispanic", "White"),
    "Asian": ("Asian, non-Hispanic", "Asian", "Asian - Historical Conv"),
    "Black": ("Black, non-Hispanic", "Black or African American"),
}
ETHNICITIES: tuple[str | None, ...] = ("Non-Hispanic/Non-Latino", "Not Hispanic")
OTHER_RACES = ("Other", "Unknown", "Native American, non-Hispanic", None)
OTHER_ETHNICITIES = ("Hispanic/Latino", "Hispanic", "Unknown", None)
# Why a patient is left out by the sampling rules.
REASONS = ("race", "ethnicity", "not in the spreadsheet")


def write(out: Path, truth: Truth, patients: int, seed: int, workers: int) -> dict:
    """Write all tables and images below `out`; returns what can be counted in them."""
    rows = population(truth, patients, seed)
    rng = stream("tables", truth, seed)
    people = rows.drop_duplicates("patient").set_index("patient")
    people["reason"] = np.where(people.included, "", rng.choice(REASONS, size=len(people)))
    table = train(rows, people, truth, seed)
    split = split_file(rows, people, rng)
    write_table(out / "train.csv", table, sealed=False)
    write_xlsx(out / "CHEXPERT DEMO.xlsx", demographics(people, rng))
    write_table(out / "chexpert_split_2021_08_20.csv", split, sealed=False)
    write_table(out / "reference.csv", reference(rows, table, split, truth, seed), sealed=False)
    write_images(out / "images", table.Path, rows, truth, seed, workers)
    return {
        "images": len(rows),
        "frontal images": int((rows["view"] != "LATERAL").sum()),
        "records": len(split),
        "patients": {
            "in the split": int(people.included.sum()),
            **{f"left out: {reason}": int(people.reason.eq(reason).sum()) for reason in REASONS},
        },
        "split": split.split.value_counts().to_dict(),
    }


def patient_name(patient: int) -> str:
    """CheXpert's name of the patient with a number from 0."""
    return f"patient{patient + 1:05d}"


def train(rows: pd.DataFrame, people: pd.DataFrame, truth: Truth, seed: int) -> pd.DataFrame:
    """train.csv; as in the original, one patient's sex is Unknown (one who is left out)."""
    frontal = np.where(rows["view"] == "LATERAL", "Lateral", "Frontal")
    sex = rows.sex.copy()
    left_out = people.index[people.reason == "race"]
    if len(left_out):
        sex[rows.patient == left_out[0]] = "Unknown"
    views = zip(rows.patient, rows.study, rows.image, frontal, strict=True)
    columns = {
        "Path": [
            f"CheXpert-v1.0/train/{patient_name(patient)}/study{study + 1}/"
            f"view{image + 1}_{kind.lower()}.jpg"
            for patient, study, image, kind in views
        ],
        "Sex": sex,
        "Age": rows.age,
        "Frontal/Lateral": frontal,
        "AP/PA": rows["view"].where(rows["view"] != "LATERAL"),
    }
    return pd.DataFrame(columns).join(labels(rows, truth, seed)[list(FINDINGS)])


def reference(
    rows: pd.DataFrame, table: pd.DataFrame, split: pd.DataFrame, truth: Truth, seed: int
) -> pd.DataFrame:
    """What experts say of the test images: a row for each image and reader, keyed by its path."""
    tested = split["index"][split.split == "test"].to_numpy()
    read = readings(rows.iloc[tested], truth, seed)
    read.insert(0, "Path", table.Path.iloc[read.index].to_numpy())
    return read


def demographics(people: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The spreadsheet, in its own order, with a few patients who have no image in train.csv."""
    listed = people[people.reason != REASONS[2]]
    races = [OTHER_RACES if r.reason == "race" else RACE_TEXTS[r.race] for r in listed.itertuples()]
    ethnicities = [
        OTHER_ETHNICITIES if reason == "ethnicity" else ETHNICITIES for reason in listed.reason
    ]
    columns = {
        "PATIENT": [patient_name(patient) for patient in listed.index],
        "PRIMARY_RACE": [rng.choice(np.array(texts, object)) for texts in races],
        "GENDER": listed.sex.to_numpy(),
        "AGE_AT_CXR": listed.age.to_numpy(),
        "ETHNICITY": [rng.choice(np.array(texts, object)) for texts in ethnicities],
    }
    table = pd.DataFrame(columns)
    strangers = table.sample(max(1, len(table) // 40), random_state=rng, replace=True)
    first = int(people.index.max()) + 1
    strangers["PATIENT"] = [patient_name(first + i) for i in range(len(strangers))]
    return pd.concat([table, strangers]).sample(frac=1, random_state=rng, ignore_index=True)


def split_file(rows: pd.DataFrame, people: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The split of the included patients' frontal images, 60 : 10 : 30 by patient in each race."""
    shares = np.array(["train"] * 6 + ["validate"] + ["test"] * 3)
    split: dict[int, str] = {}
    for _, group in people[people.included].groupby("race"):
        sides = [side for _ in range(len(group) // 10 + 1) for side in rng.permutation(shares)]
        split.update(zip(rng.permutation(group.index), sides, strict=False))
    included = rows.patient.isin(split.keys()) & (rows["view"] != "LATERAL")
    sides = [str(split[patient]) for patient in rows.patient[included]]
    table = pd.DataFrame({"index": np.flatnonzero(included), "split": sides})
    return table.reset_index(names="")
