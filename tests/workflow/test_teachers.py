"""A study whose students reproduce two teachers at once, run to its report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from made_studies import SMALL, run_study, write_image, write_tables

from cxrfmkd.networks.network import load_student

PATIENTS, WIDTHS = 40, {"teacher": 8, "wide": 12}
LACKING = [3, 30]  # images of which the second teacher has no vector
STUDENT, LABELS = "mse-on-resnet18", ["No Finding", "Edema", "Pleural Effusion"]
STUDY: dict = SMALL | {
    "title": "Two teachers",
    "teacher": {
        "name": "Narrow",
        "title": "a narrow teacher",
        "licence": "licence A",
        "dimension": WIDTHS["teacher"],
    },
    "teachers": {
        "wide": {
            "name": "Wide",
            "title": "a wide teacher",
            "licence": "licence B",
            "dimension": WIDTHS["wide"],
            "failed": 0.1,
        }
    },
    "distillation": {
        "datasets": ["site"],
        "losses": ["mse"],
        "backbones": ["resnet18"],
        "seeds": [41],
        "epochs": 2,
        "learning_rate": 0.001,
        "batch_size": 12,
        "teachers": ["wide"],
        "standardise_teacher": "phi-s",
    },
    "classification": {
        "datasets": ["site"],
        "models": ["cxr-fm-lp", "cxr-fmkd-lp"],
        "seeds": [41],
    },
    "bias": SMALL["bias"] | {"models": ["cxr-fm-lp"]},
}


def write_site(folder: Path) -> dict:
    """Eighty images, of which each teacher's vectors say how bright they are; its settings."""
    rng = np.random.default_rng(0)
    maps = {name: rng.normal(size=width) for name, width in WIDTHS.items()}
    rows = []
    vectors: dict[str, list[dict]] = {name: [] for name in WIDTHS}
    for i in range(2 * PATIENTS):
        patient, bright = i // 2, rng.integers(40, 216)
        row = {
            "patient_id": f"p{patient}",
            "path": f"{i}.png",
            "sex": ("Female", "Male")[i // 2 % 2],
        }
        row |= dict(zip(LABELS, [int(bright < 100), int(bright > 150), patient % 2], strict=True))
        rows.append(row)
        pixels = rng.normal(bright, 20, (32, 32)).clip(0, 255).astype(np.uint8)
        write_image(folder / "images" / row["path"], pixels)
        for name, scale in (("teacher", 1), ("wide", 100)):
            noise = rng.normal(0, 0.1, WIDTHS[name])
            vector = scale * (maps[name] * (bright - 128) / 50 + noise)
            vectors[name].append({"image_id": str(i), "vector": vector})
    settings = write_tables(folder, rows, vectors["teacher"])
    wide = pd.DataFrame(vectors["wide"]).drop(index=LACKING)
    wide.to_parquet(folder / "wide.parquet")
    settings["teacher"]["variant"] = "narrow"
    other = settings["teacher"] | {"path": str(folder / "wide.parquet"), "variant": "wide"}
    return settings | {"teachers": {"wide": other}}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("teachers")
    run_study(folder, STUDY | {"datasets": {"site": write_site(folder / "raw")}})
    return folder / "results"


@pytest.mark.slow
def test_a_student_gives_the_embedding_of_the_teacher_that_is_asked_for(results):
    weights = results / "site/students" / STUDENT / "selected.json"
    images = torch.zeros(2, 32, 32, dtype=torch.uint8)
    for teacher, width in [("", 8), ("Narrow", 8), ("wide", 12), ("Wide", 12)]:
        with torch.no_grad():
            assert load_student(weights, teacher=teacher)(images).shape == (2, width)


@pytest.mark.slow
def test_the_quality_of_each_teacher_is_in_tables_and_report(results):
    table = pd.read_csv(results / "tables/students.csv")
    rows = table[(table.what == "student") & (table.loss == STUDENT)].set_index("teacher")
    assert list(rows.index) == ["Narrow", "Wide"]
    assert rows[["centred_cosine", "probe_auc"]].notna().all(axis=None)
    page = (results / "report/index.html").read_text(encoding="utf-8")
    assert "Narrow and Wide distilled into" in page
    assert "licence A; licence B" in page


@pytest.mark.slow
def test_images_without_one_of_the_teachers_are_counted_and_measured_nowhere(results):
    counts = pd.read_csv(results / "evaluation/site/exclusions.csv")
    records = pd.concat(
        [pd.read_csv(results / f"site/records/{s}.csv", dtype=str) for s in ("val", "test")]
    )
    lacking = records.image_id.isin(map(str, LACKING)).sum()
    assert counts.without_embedding.sum() == lacking
    run = json.loads((results / "site/students" / STUDENT / "seed41/run.json").read_text())
    assert sum(run["images"].values()) < 2 * PATIENTS
    assert run["teachers"]["wide"]["licence"] == "licence B"
    assert {"loss_teacher", "loss_wide"} <= set(run["terms"]["val"])


@pytest.mark.slow
def test_each_teacher_is_probed_and_analysed(results):
    metrics = pd.read_csv(results / "evaluation/site/metrics.csv", keep_default_na=False)
    probes = metrics[metrics.model == "cxr-fm-lp"]
    assert set(probes.loss) == {"", "of-wide"}
    assert (results / "bias/site/cxr-fm-lp.of-wide/score.csv").is_file()
