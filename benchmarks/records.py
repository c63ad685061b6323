"""Raw tables of full size to records, and the resampled test set, beside plain loops over rows.

The tables are drawn at random in the layouts and sizes of CheXpert (223,414 rows, of which 127,118
are kept) and of MIMIC-CXR (377,110 rows, of which some 183,000 are kept). Prints one JSON line per
piece of work.
"""

from __future__ import annotations

import csv
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.datasets import adapters
from cxrfmkd.datasets.records import complete
from cxrfmkd.datasets.resampling import draw_rows, stratify
from cxrfmkd.study.settings import Dataset
from cxrfmkd.vocabulary.findings import FINDINGS

GOAL = 5.0


def findings(random: np.random.Generator, n: int) -> pd.DataFrame:
    table = random.choice(["1.0", "0.0", "-1.0", ""], (n, 14), p=[0.25, 0.1, 0.1, 0.55])
    table[:, 0] = random.choice(["1.0", ""], n, p=[0.1, 0.9])
    return pd.DataFrame(table, columns=list(FINDINGS))


def chexpert(root: Path) -> Dataset:
    """Images of 64,540 patients, 127,118 frontal, of known race and in the split file."""
    random = np.random.default_rng(1)
    patient = np.sort(random.integers(0, 64_540, 223_414))
    n = len(patient)
    frontal = random.random(n) < 0.855
    place = pd.Series(patient).astype(str).str.zfill(5)
    view = pd.Series(np.where(frontal, "frontal", "lateral"))
    path = (
        "CheXpert-v1.0/train/patient"
        + place
        + "/study1/view"
        + pd.Series(range(n)).astype(str)
        + "_"
        + view
        + ".jpg"
    )
    train = pd.DataFrame(
        {
            "Path": path,
            "Sex": random.choice(["Male", "Female"], n),
            "Age": random.integers(18, 91, n),
            "Frontal/Lateral": view.str.capitalize(),
            "AP/PA": np.where(frontal, random.choice(["AP", "PA"], n), None),
        }
    )
    train.join(findings(random, n)).to_csv(root / "train.csv", index=False)
    people = random.permutation(64_540)
    race = random.choice(
        ["White, non-Hispanic", "Asian", "Black or African American", "Other", "Unknown"],
        len(people),
        p=[0.62, 0.12, 0.06, 0.12, 0.08],
    )
    ethnicity = random.choice(
        ["Non-Hispanic/Non-Latino", "Not Hispanic", "Hispanic/Latino"],
        len(people),
        p=[0.6, 0.3, 0.1],
    )
    demographics = pd.DataFrame(
        {
            "PATIENT": ["patient" + str(p).zfill(5) for p in people],
            "PRIMARY_RACE": race,
            "GENDER": "",
            "AGE_AT_CXR": 0,
            "ETHNICITY": ethnicity,
        }
    )
    demographics.to_csv(root / "demographics.csv", index=False)
    side = random.choice(["train", "validate", "test"], 64_540, p=[0.6, 0.1, 0.3])
    eligible = (race != "Other") & (race != "Unknown") & (ethnicity != "Hispanic/Latino")
    known = np.zeros(64_540, bool)
    known[people] = eligible
    named = np.flatnonzero(frontal & known[patient])[:127_118]
    split = pd.DataFrame({"index": named, "split": side[patient[named]]})
    split.to_csv(root / "split.csv")
    names = {"train": "train.csv", "demographics": "demographics.csv", "split": "split.csv"}
    return Dataset(
        adapter="chexpert",
        tables={key: str(root / name) for key, name in names.items()},
        images=str(root),
    )


def chexpert_by_row(tables: dict[str, str]) -> pd.DataFrame:
    """The published rules, image by image, from dictionaries of the other tables."""
    people = {}
    for row in read(tables["demographics"]):
        people.setdefault(row["PATIENT"], (row["PRIMARY_RACE"], row["ETHNICITY"], len(people)))
    side = {int(row["index"]): row["split"] for row in read(tables["split"])}
    records = []
    for position, row in pd.read_csv(tables["train"]).iterrows():
        if position not in side:
            continue
        parts = row["Path"].split("/")
        said, ethnicity, rank = people[parts[2]]
        race = next((name for name in ("Asian", "White", "Black") if name in said), None)
        wanted = ethnicity in ("Non-Hispanic/Non-Latino", "Not Hispanic")
        if race and wanted and row["Frontal/Lateral"] == "Frontal":
            split = {"validate": "val"}.get(side[position], side[position])
            record = {
                "image_id": row["Path"][:-4],
                "patient_id": parts[2],
                "study_id": parts[3],
                "path": row["Path"],
                "sex": row["Sex"],
                "age": float(row["Age"]),
                "race": race,
                "view": row["AP/PA"],
            }
            record |= {name: row[name] for name in FINDINGS}
            records.append(record | derived(record, split) | {"ethnicity": ethnicity, "rank": rank})
    records.sort(key=lambda record: record.pop("rank"))
    return pd.DataFrame(records)


def mimic(root: Path) -> Dataset:
    """377,110 images of 65,379 patients with 227,827 studies and 523,740 admissions."""
    random = np.random.default_rng(2)
    subject = np.sort(random.choice(10_000_000, 65_379, replace=False)) + 10_000_000
    owner = np.sort(random.integers(0, 65_379, 227_827))
    study = random.permutation(np.arange(50_000_000, 50_000_000 + len(owner)))
    image = np.sort(random.integers(0, len(owner), 377_110))
    people = pd.DataFrame(
        {
            "subject_id": subject,
            "gender": random.choice(["F", "M"], len(subject)),
            "anchor_age": random.integers(18, 80, len(subject)),
            "anchor_year": random.integers(2110, 2180, len(subject)),
        }
    )
    race = random.choice(
        ["WHITE", "BLACK/AFRICAN AMERICAN", "ASIAN - CHINESE", "OTHER", "HISPANIC/LATINO - CUBAN"],
        len(subject),
        p=[0.56, 0.14, 0.05, 0.14, 0.11],
    )
    admitted = np.sort(random.integers(0, len(subject), 523_740))
    documented = np.where(random.random(len(admitted)) < 0.02, "UNKNOWN", race[admitted])
    metadata = pd.DataFrame(
        {
            "dicom_id": [
                f"{value:08x}-{k:08x}"
                for k, value in enumerate(random.integers(0, 2**32, len(image)))
            ],
            "subject_id": subject[owner[image]],
            "study_id": study[image],
            "ViewPosition": random.choice(
                ["AP", "PA", "LATERAL"], len(image), p=[0.39, 0.26, 0.35]
            ),
            "StudyDate": people.anchor_year.to_numpy()[owner[image]] * 10000 + 20000 + 506,
        }
    )
    labels = pd.DataFrame({"subject_id": subject[owner], "study_id": study}).join(
        findings(random, len(owner))
    )
    admissions = pd.DataFrame({"subject_id": subject[admitted], "race": documented})
    tables = {"metadata": metadata, "labels": labels, "patients": people, "admissions": admissions}
    for key, table in tables.items():
        table.to_csv(root / f"{key}.csv", index=False)
    return Dataset(
        adapter="mimic-cxr",
        tables={key: str(root / f"{key}.csv") for key in tables},
        images=str(root),
    )


def mimic_by_row(tables: dict[str, str]) -> pd.DataFrame:
    """The published rules, image by image, with unknown not counted as a second race."""
    labels = {(row["subject_id"], row["study_id"]): row for row in read(tables["labels"])}
    people = {row["subject_id"]: row for row in read(tables["patients"])}
    races: dict[str, set] = {}
    for row in read(tables["admissions"]):
        races.setdefault(row["subject_id"], set()).add(row["race"].split("/")[0].split(" ")[0])
    records = []
    for _, row in pd.read_csv(tables["metadata"]).iterrows():
        subject, study = str(row["subject_id"]), str(row["study_id"])
        said = races.get(subject, set())
        said = said - {"UNKNOWN"} or said
        race = {"WHITE": "White", "BLACK": "Black", "ASIAN": "Asian"}.get(min(said, default=""))
        if (
            (subject, study) not in labels
            or len(said) != 1
            or not race
            or row["ViewPosition"] not in ("AP", "PA")
        ):
            continue
        path = f"p{subject[:2]}/p{subject}/s{study}/{row['dicom_id']}.jpg"
        person = people[subject]
        age = float(
            int(person["anchor_age"]) + row["StudyDate"] // 10000 - int(person["anchor_year"])
        )
        sex = {"F": "Female", "M": "Male"}[person["gender"]]
        record = {
            "image_id": path[:-4],
            "patient_id": subject,
            "study_id": study,
            "path": path,
            "sex": sex,
            "age": age,
            "race": race,
            "view": row["ViewPosition"],
        }
        record |= {name: float(labels[subject, study][name] or "nan") for name in FINDINGS}
        records.append(record | derived(record, "train"))
    return pd.DataFrame(records)


def derived(record: dict, split: str) -> dict:
    """split, disease and age_bin of one record."""
    disease = "Other"
    if record["No Finding"] == 1:
        disease = "No Finding"
    if record["Pleural Effusion"] == 1:
        disease = "Pleural Effusion"
    ends = (20, 30, 40, 50, 60, 70, 80)
    return {
        "split": split,
        "disease": disease,
        "age_bin": next((k for k, end in enumerate(ends) if record["age"] <= end), 7),
    }


def read(path: str):
    with open(path, newline="") as file:
        yield from csv.DictReader(file)


def drawn_by_frame(frame: pd.DataFrame) -> list[int]:
    """The published resampling with data frames, `apply` and WeightedRandomSampler."""
    import torch

    torch.manual_seed(42)

    def sampled(among: pd.DataFrame, column: str, weights: pd.Series) -> pd.DataFrame:
        chosen = among[column].apply(lambda kind: weights[kind]).to_numpy()
        size = len(among) * (3 if len(among) == len(frame) else 1)
        return among.iloc[
            list(torch.utils.data.WeightedRandomSampler(chosen, size, replacement=True))
        ]

    drawn = sampled(frame, "race", 1 / frame.race.value_counts(normalize=True))
    overall = frame.disease.value_counts(normalize=True)
    blocks = []
    for race in drawn.race.unique():
        group = drawn[drawn.race == race]
        group = sampled(group, "disease", overall / group.disease.value_counts(normalize=True))
        for kind in frame.disease.unique():
            part = group[group.disease == kind]
            wanted = frame.age_bin[frame.disease == kind].value_counts(normalize=True)
            blocks.append(
                sampled(part, "age_bin", wanted / part.age_bin.value_counts(normalize=True))
            )
    return pd.concat(blocks).index.tolist()


def timed(function, *args):
    started = time.perf_counter()
    found = function(*args)
    return found, time.perf_counter() - started


def entry(name: str, baseline: float, ours: float, n: int) -> dict:
    return {
        "name": name,
        "baseline_s": round(baseline, 3),
        "ours_s": round(ours, 3),
        "ratio": round(baseline / ours, 1),
        "goal": GOAL,
        "n": n,
        "device": "cpu",
    }


def run() -> list[dict]:
    """Time each piece of work and its baseline in this process; their results must be equal."""
    results = []
    for name, make, by_row in (
        ("chexpert", chexpert, chexpert_by_row),
        ("mimic", mimic, mimic_by_row),
    ):
        with tempfile.TemporaryDirectory() as folder:
            settings = make(Path(folder))

            def ours(name=name, settings=settings):
                found = adapters.read(name, settings).records
                return complete(found if "split" in found else found.assign(split="train"))

            records, fast = timed(ours)
            expected, slow = timed(by_row, settings.tables)
        pd.testing.assert_frame_equal(records[expected.columns], expected, check_dtype=False)
        results.append(entry(f"records of {name}", slow, fast, len(records)))
        if name == "chexpert":
            test = records[records.split == "test"].reset_index(drop=True)
            draw_rows(stratify(test.race[:9], test.disease[:9], test.age_bin[:9]))  # imports torch
            drawn, fast = timed(
                lambda test=test: draw_rows(stratify(test.race, test.disease, test.age_bin))
            )
            expected, slow = timed(drawn_by_frame, test)
            assert drawn.tolist() == expected
            results.append(entry("resampling draws", slow, fast, len(test)))
    return results


if __name__ == "__main__":
    for line in run():
        print(json.dumps(line))
