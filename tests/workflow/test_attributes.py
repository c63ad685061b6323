"""Attributes of a study's own, declared as docs/data.md shows, in a study run to the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from locations import ROOT
from made_studies import SMALL, run_study, write_image, write_tables

PAGE = (ROOT / "docs" / "data.md").read_text()
SECTION = PAGE.partition("## Your own attributes")[2]
EXAMPLE = SECTION.partition("```yaml\n")[2].partition("```")[0]
PATIENTS, VISITS = 150, 2
STUDY: dict = SMALL | {
    "title": "Payers and weights",
    "resampling": {"method": "weights", "by": "insurance"},
    "distillation": {"datasets": []},
    "classification": {
        "datasets": ["ward"],
        "models": ["cxr-fm-lp", "cxr-model-lp"],
        "seeds": [41],
    },
    "evaluation": {"replicates": 20, "minimum_cell": 3},
    "bias": {
        "simulations": 5,
        "permutations": 99,
        "replicates": 10,
        "tsne_points": 100,
        "erase": ["insurance"],
    },
    **yaml.safe_load(EXAMPLE),
}


def write_ward(folder: Path) -> dict:
    """Radiographs without race or sex; how the patient is insured shows in the embeddings."""
    rng = np.random.default_rng(0)
    rows, vectors = [], []
    for patient in range(PATIENTS):
        payer = ("Private", "Medicare", "Medicaid")[patient % 3]
        bmi = rng.normal(27, 4)
        for visit in range(VISITS):
            i = VISITS * patient + visit
            effusion = int(rng.random() < 0.5)
            label = effusion if rng.random() < 0.85 else 1 - effusion
            vector = rng.normal(size=1376)
            vector[:40] += 3 * (payer == "Medicaid")
            vector[40:80] += 2 * effusion
            rows.append(
                {
                    "patient_id": f"p{patient}",
                    "path": f"{i}.png",
                    "age": 30 + patient % 50,
                    "Payer": payer,
                    "bmi": "" if patient == 7 else f"{bmi:.1f}",
                    "scanner": ("Agfa", "Siemens")[i % 2],
                    "Pleural Effusion": label,
                    "No Finding": 1 - label,
                }
            )
            pixels = rng.integers(40, 120, (32, 32)) + 80 * effusion
            write_image(folder / "images" / f"{i}.png", pixels.astype(np.uint8))
            vectors.append({"image_id": str(i), "vector": vector})
    settings = write_tables(folder, rows, vectors)
    return settings | {
        "attributes": ["age", "insurance", "bmi", "scanner"],
        "split": {"train": 0.4, "val": 0.15},
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("payers")
    run_study(folder, STUDY | {"datasets": {"ward": write_ward(folder / "ward")}})
    return folder / "results"


def test_the_example_is_under_15_lines():
    assert 5 < len(EXAMPLE.splitlines()) < 15
    assert {"insurance", "bmi"} <= set(yaml.safe_load(EXAMPLE)["attributes"])


@pytest.mark.slow
def test_declared_attributes_go_from_records_to_the_report(results):
    summary = json.loads((results / "ward/records/summary.json").read_text())
    counts = summary["counts"]["test"]
    assert set(counts["insurance"]) == {"Private", "Medicare", "Medicaid"}
    assert sum(counts["insurance"].values()) == counts["images"]
    records = pd.read_csv(results / "ward/records/test.csv")
    assert "Payer" not in records
    weights = pd.read_csv(results / "ward/records/test_resampled.csv")
    by_payer = records.merge(weights, on="image_id").groupby("insurance").weight.sum()
    assert by_payer.max() == pytest.approx(by_payer.min(), rel=1e-6)

    gaps = pd.read_csv(results / "evaluation/ward/gaps.csv")
    assert {"insurance", "bmi", "scanner", "age"} <= set(gaps.attribute)
    cohort = pd.read_csv(results / "tables/cohort.csv")
    assert {"insurance", "bmi", "scanner"} <= set(cohort.attribute)

    ks = pd.read_csv(results / "bias/ward/cxr-fm-lp/ks.csv")
    pairs = ks[ks.attribute == "insurance"][["a", "b"]].drop_duplicates()
    assert set(pairs.itertuples(index=False, name=None)) == {
        ("Private", "Medicaid"),
        ("Medicaid", "others"),
    }
    null = pd.read_csv(results / "bias/ward/cxr-fm-lp/null.csv")
    assert {"insurance", "bmi"} <= set(null.attribute)
    scores = pd.read_csv(results / "bias/ward/scores.csv").set_index("model")
    teacher = scores.loc["cxr-fm-lp"]
    # What was planted in the teacher's embeddings is found, and stands out.
    assert teacher.auc_insurance > 0.7 > teacher.auc_bmi
    assert teacher.distance_p_insurance < 0.05
    assert teacher.d_insurance > 1.5 * teacher.d_bmi
    erasure = pd.read_csv(results / "bias/ward/cxr-fm-lp/attributes.csv")
    assert set(erasure.attribute) == {"insurance"}

    page = (results / "report/index.html").read_text(encoding="utf-8")
    assert "NaN" not in page.split("<script")[0]
    assert "Insurance" in page
    assert "interval )" not in page
    assert "Neither race nor sex is analysed in this study" in page
    for figure in ("resampling", "subgroups", "gaps", "ks", "score", "encoding", "pca"):
        assert (results / f"figures/ward/{figure}.svg").is_file(), figure
