"""Studies with another teacher and other students, by configuration alone, run to the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from made_studies import SMALL, run_study, write_image
from torch import nn

from cxrfmkd.networks.network import load_student

PATIENTS = {"train": 48, "val": 32, "test": 48}
SIZE, DIMENSION = 32, 12
STUDENT = "mse-on-shufflenet_v2_x0_5"
STUDY = SMALL | {
    "title": "Another teacher, another student",
    "teacher": {
        "name": "OURS",
        "title": "an encoder of ours",
        "licence": "made for a test",
        "dimension": DIMENSION,
    },
    "distillation": {
        "datasets": ["here"],
        "losses": ["mse"],
        "backbones": ["shufflenet_v2_x0_5"],
        "seeds": [41],
        "epochs": 2,
        "learning_rate": 0.001,
        "batch_size": 16,
    },
    "classification": {
        "datasets": ["here"],
        "models": ["cxr-fm-lp", "cxr-model-lp", "cxr-fmkd-lp", "cxr-fmkd-fft"],
        "seeds": [41],
    },
    "finetuning": {"epochs": 1, "batch_size": 16},
}


def write_encoder(folder: Path) -> Path:
    """An exported program that sees brightness and edges, and what it expects of an image."""
    torch.manual_seed(0)
    encoder = nn.Sequential(
        nn.Conv2d(1, 6, 8, 4), nn.Tanh(), nn.Flatten(), nn.Linear(294, DIMENSION)
    ).eval()
    folder.mkdir()
    program = torch.export.export(
        encoder, (torch.zeros(2, 1, SIZE, SIZE),), dynamic_shapes=({0: torch.export.Dim("n")},)
    )
    torch.export.save(program, folder / "encoder.pt2")
    config = {"size": SIZE, "image_mean": [0.45], "image_std": [0.23]}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return folder / "encoder.pt2"


def write_dataset(folder: Path) -> dict:
    """Images with a bright side where there is an effusion; the dataset's settings."""
    rng = np.random.default_rng(0)
    rows = []
    for split, count in PATIENTS.items():
        for i in range(count):
            effusion = int(rng.random() < 0.5)
            pixels = rng.integers(40, 120, (SIZE, SIZE)).astype(np.uint8)
            pixels[:, : SIZE // 2] += np.uint8(60 * effusion)
            path = folder / "images" / split / f"p{i}.png"
            write_image(path, pixels)
            rows.append(
                {
                    "patient_id": f"{split}{i}",
                    "path": f"{split}/p{i}.png",
                    "split": split,
                    "sex": ("Female", "Male")[int(rng.random() < 0.5)],
                    "age": 40 + i % 30,
                    "view": "AP",
                    "Pleural Effusion": effusion,
                    "No Finding": 1 - effusion,
                }
            )
    pd.DataFrame(rows).to_csv(folder / "records.csv", index=False)
    return {
        "adapter": "table",
        "tables": {"records": str(folder / "records.csv")},
        "images": str(folder / "images"),
        "teacher": {
            "source": "torch",
            "path": str(write_encoder(folder / "encoder")),
            "variant": "ours-v1",
            "batch": 4,
        },
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("extended")
    run_study(folder, STUDY | {"datasets": {"here": write_dataset(folder / "here")}})
    return folder / "results"


@pytest.mark.slow
def test_embeddings_say_which_teacher_they_are_of(results):
    meta = json.loads((results / "here/teacher/meta.json").read_text())
    facts = {name: meta[name] for name in ("variant", "title", "licence", "source", "rows")}
    assert facts == {
        "variant": "ours-v1",
        "title": "an encoder of ours",
        "licence": "made for a test",
        "source": "torch",
        "rows": sum(PATIENTS.values()),
    }
    page = (results / "report/index.html").read_text()
    assert "made for a test" in page
    assert "stand-in" not in page


@pytest.mark.slow
def test_student_of_another_backbone_gives_embeddings(results):
    student = load_student(results / f"here/students/{STUDENT}/selected.json")
    assert student.architecture == "shufflenet_v2_x0_5"
    with torch.no_grad():
        embeddings = student(torch.zeros(2, SIZE, SIZE, dtype=torch.uint8))
    assert embeddings.shape == (2, DIMENSION)


@pytest.mark.slow
def test_every_model_is_evaluated_on_its_backbone(results):
    summary = pd.read_csv(results / "evaluation/here/summary.csv", dtype={"loss": str})
    models = set(zip(summary.model, summary.loss.fillna(""), strict=True))
    assert models == {
        ("cxr-fm-lp", ""),
        ("cxr-model-lp", "on-shufflenet_v2_x0_5"),
        ("cxr-fmkd-lp", STUDENT),
        ("cxr-fmkd-fft", STUDENT),
    }
    compared = pd.read_csv(results / "evaluation/here/comparisons.csv")
    baseline = compared[compared.family.str.startswith("baseline")]
    pairs = set(zip(baseline.model_a, baseline.model_b, strict=True))
    assert ("own/cxr-fmkd-lp." + STUDENT + "@here",) * 1 + (
        "own/cxr-model-lp.on-shufflenet_v2_x0_5@here",
    ) in pairs
