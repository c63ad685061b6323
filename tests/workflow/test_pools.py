"""Three small sites pooled, and each left out in turn, run to the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_studies import SMALL, run_study, write_image, write_tables

from cxrfmkd.runtime.arrays import KeyedArray

PATIENTS = {"train": 24, "val": 16, "test": 24}
LABELS = ["No Finding", "Edema", "Pleural Effusion"]
SITES = {"north": 0.1, "south": 0.4, "west": 0.7}  # how bright each site's images are
VECTOR = 12
STUDY: dict = SMALL | {
    "title": "Three sites",
    "teacher": {"name": "OURS", "title": "ours", "licence": "made", "dimension": VECTOR},
    "distillation": {
        "datasets": ["all"],
        "losses": ["mse"],
        "backbones": ["shufflenet_v2_x0_5"],
        "seeds": [41],
        "epochs": 1,
        "batch_size": 16,
    },
    "classification": {"datasets": ["all"], "models": ["cxr-fm-lp", "cxr-fmkd-lp"], "seeds": [41]},
    "evaluation": {**SMALL["evaluation"], "attributes": ["sex", "site"]},
    "transfer": {
        "pairs": [],
        "leave_one_out": list(SITES),
        "models": ["cxr-fm-lp"],
        "strategies": ["direct"],
    },
}


def write_site(folder: Path, shade: float, seed: int) -> dict:
    """Images 0.png, 1.png, … at every site alike; the first of them cannot be read."""
    rng = np.random.default_rng(seed)
    rows, vectors = [], []
    splits = [split for split, n in PATIENTS.items() for _ in range(n)]
    for patient, split in enumerate(splits):
        sick = patient % 2
        row = {"patient_id": f"p{patient}", "path": f"{patient}.png", "split": split}
        row |= dict(zip(LABELS, (1 - sick, patient // 2 % 2, sick), strict=True))
        rows.append(row | {"sex": ("Female", "Male")[patient // 4 % 2]})
        pixels = rng.integers(0, 60, (32, 32)) + 100 * shade + 80 * sick
        write_image(folder / "images" / row["path"], pixels.astype(np.uint8))
        vector = rng.normal(size=VECTOR) + np.eye(VECTOR)[0] * 3 * sick + shade
        vectors.append({"image_id": str(patient), "vector": vector})
    (folder / "images/0.png").write_bytes(b"no image")
    teacher = {"variant": "ours-v1"}
    settings = write_tables(folder, rows, vectors)
    return settings | {"attributes": ["sex"], "teacher": settings["teacher"] | teacher}


@pytest.mark.slow
def test_three_sites_are_pooled_and_each_left_out_in_turn(tmp_path):
    datasets: dict = {
        name: write_site(tmp_path / "raw" / name, shade, seed)
        for seed, (name, shade) in enumerate(SITES.items())
    }
    datasets["all"] = {"pool": list(SITES)}
    images = {"size": 32, "unreadable": 0.05}
    run_study(tmp_path, STUDY | {"datasets": datasets, "images": images})
    results = tmp_path / "results"

    # Each pixel once: pools have no array of their own, and the rows of their members.
    with_data = {path.parts[-3] for path in results.glob("*/*/data.npy")}
    assert with_data == set(SITES)
    pooled = KeyedArray.open(results / "without-south/images")
    for name in ("north", "west"):
        array = KeyedArray.open(results / name / "images")
        taken = pooled.take([f"{name}/{key}" for key in array.index.image_id])
        np.testing.assert_array_equal(taken, array.data)
    n = sum(PATIENTS.values())
    assert len(pooled) == 2 * (n - 1)
    assert pooled.meta["excluded"] == ["north/0", "west/0"]

    # The left-out site is measured by what never saw it; its images were not trained on.
    for name in SITES:
        records = pd.read_csv(results / f"without-{name}/records/train.csv")
        assert set(records.site) == set(SITES) - {name}
        (gate,) = json.loads((results / f"without-{name}-to-{name}/patients.json").read_text())
        assert (gate["status"], gate["found"][:2]) == ("passed", "0 ")
    table = pd.read_csv(results / "evaluation/west/summary.csv")
    assert set(table.source) == {"without-west"}
    area = table[(table.metric == "auc_roc") & (table.finding == "Pleural Effusion")]
    # Planted: three standard deviations apart at every site, which is an area of 0.98.
    assert area[area.model == "cxr-fm-lp"]["mean"].min() > 0.8

    exclusions = pd.read_csv(results / "evaluation/all/exclusions.csv").set_index("split")
    assert exclusions.images.to_dict() == {"val": 3 * 16, "test": 3 * 24}
    page = (results / "report/index.html").read_text(encoding="utf-8")
    assert "pooled from north, south and west" in page
    assert "all sites without west" in page
    assert (results / "figures/without-west-to-west/transfer.svg").exists()
