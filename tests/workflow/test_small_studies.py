"""Studies of few patients, or of patients of whom nothing is known, run to their report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_studies import SMALL, run_study, write_image, write_tables

PATIENTS, LABELS = 30, ["No Finding", "Edema", "Pleural Effusion"]
KNOWN = {"sex": ("Female", "Male"), "race": ("White", "Black", "Asian"), "view": ("PA", "AP")}
STUDY: dict = SMALL | {
    "title": "A pilot",
    "distillation": {"datasets": []},
    "classification": {
        "datasets": ["pilot"],
        "models": ["cxr-fm-lp", "cxr-model-lp"],
        "seeds": [41],
    },
    "evaluation": {"replicates": 10},
    "bias": {"simulations": 2, "permutations": 2, "replicates": 2},
}


def write_pilot(folder: Path, attributes: bool) -> dict:
    """Sixty images of thirty patients, with or without sex, race, age and view; its settings."""
    rng = np.random.default_rng(0)
    rows, vectors = [], []
    for i in range(2 * PATIENTS):
        patient = i // 2
        row = {"patient_id": f"p{patient}", "path": f"{i}.png"}
        row |= dict(zip(LABELS, rng.permutation([1, 0, patient % 2]), strict=True))
        if attributes:
            row |= {name: values[patient % len(values)] for name, values in KNOWN.items()}
            row |= {"age": 30 + patient}
        rows.append(row)
        write_image(folder / "images" / row["path"], rng.integers(0, 256, (32, 32), np.uint8))
        vectors.append({"image_id": str(i), "vector": rng.normal(size=1376)})
    return write_tables(folder, rows, vectors)


@pytest.mark.slow
@pytest.mark.parametrize("attributes", [True, False], ids=["few patients", "no attributes"])
def test_a_pilot_ends_in_a_report(tmp_path, attributes):
    changes: dict = {"datasets": {"pilot": write_pilot(tmp_path / "raw", attributes)}}
    if not attributes:
        changes |= {
            section: STUDY[section] | {"attributes": []} for section in ("evaluation", "bias")
        }
    rows = ["results/pilot/figures/pca.png"] if attributes else []  # nothing else asks for it
    run_study(tmp_path, STUDY | changes, "--", "all", *rows)
    results = tmp_path / "results"
    assert (results / "pilot/figures").exists() == attributes
    page = (results / "report/index.html").read_text(encoding="utf-8")
    assert "A pilot" in page
    assert "NaN" not in page.split("<script")[0]
    counts = pd.read_csv(results / "tables/cohort.csv")
    counts = counts[counts.attribute == "patients"][["train", "val", "test"]]
    assert counts.to_numpy().sum() == PATIENTS
    figures = {path.stem for path in (results / "figures/pilot").glob("*.svg")}
    assert ("pca" in figures) == attributes
