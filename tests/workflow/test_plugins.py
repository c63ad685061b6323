"""A study of nobody's pieces but the user's own: those of docs/extending.md, run to the report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from locations import ROOT
from made_studies import SMALL, run_study, write_image
from planning import jobs, snakemake

from cxrfmkd.vocabulary.metrics import METRICS

PAGE = (ROOT / "docs" / "extending.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.S)
SIZE = SMALL["images"]["size"]
STUDENT = "log-cosh-on-tiny_cnn"
STUDY = SMALL | {
    "title": "Pieces of one's own",
    "plugins": ["mystudy.py"],
    "teacher": {"title": "grey levels", "licence": "made for a test", "dimension": 16},
    "distillation": {
        "datasets": ["ward"],
        "losses": ["log-cosh"],
        "backbones": ["tiny_cnn", "shufflenet_v2_x0_5"],
        "seeds": [41],
        "epochs": 2,
        "batch_size": 16,
    },
    "classification": {"datasets": ["ward"], "models": ["cxr-fmkd-lp"], "seeds": [41]},
    "evaluation": {**SMALL["evaluation"], "metrics": {"partial_auc": "higher"}},
}


def write_ward(folder: Path) -> dict:
    """Bright images have an effusion; the dataset's settings."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(160):
        effusion = bool(rng.random() < 0.5)
        pixels = rng.integers(40, 120, (SIZE, SIZE)) + 80 * effusion
        path = folder / "images" / f"i{i}.png"
        write_image(path, pixels.astype(np.uint8))
        finding = "Pleural Effusion" if effusion else "No Finding"
        sex = ("Female", "Male")[int(rng.random() < 0.5)]
        rows.append((path.name, f"p{i}", f"s{i}", sex, 30 + i % 50, finding))
    columns = ["path", "patient_id", "study_id", "sex", "age", "findings"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "images.csv", index=False)
    return {
        "adapter": "ward-list",
        "tables": {"images": str(folder / "images.csv")},
        "images": str(folder / "images"),
        "split": {"train": 0.4, "val": 0.2},
        "teacher": {"source": "grey-levels", "variant": "grey-levels-v1", "batch": 8},
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "mystudy.py").write_text("\n\n".join(EXAMPLES))
    run_study(folder, STUDY | {"datasets": {"ward": write_ward(folder / "ward")}})
    return folder


def test_the_page_shows_each_piece_in_under_15_lines():
    assert len(EXAMPLES) == 5
    for example in EXAMPLES:
        assert len(example.split("@")[-1].splitlines()) < 15


@pytest.mark.slow
def test_every_piece_is_what_the_study_is_made_with(study):
    results = study / "results"
    summary = json.loads((results / "ward/records/summary.json").read_text())
    assert summary["adapter"] == "ward-list"
    teacher = json.loads((results / "ward/teacher/meta.json").read_text())
    assert (teacher["source"], teacher["title"]) == ("grey-levels", "grey levels")
    run = json.loads((results / f"ward/students/{STUDENT}/seed41/run.json").read_text())
    history = pd.read_csv(results / f"ward/students/{STUDENT}/seed41/history.csv")
    assert "log-cosh" in " ".join(history.columns)
    assert 16 * 3 < run["parameters"]["total"] < 10_000  # tiny_cnn, not a network of torchvision
    page = (results / "report/index.html").read_text()
    assert "Log cosh on tiny_cnn" in page
    assert "partial_auc (higher is better)" in page
    summary = pd.read_csv(results / "evaluation/ward/summary.csv")
    effusion = summary[(summary.finding == "Pleural Effusion") & (summary.model == "cxr-fmkd-lp")]
    by_metric = effusion[effusion.population == "natural"].groupby("metric")["mean"].first()
    assert 0.5 < by_metric.partial_auc <= 1
    detailed = pd.read_csv(results / "tables/performance_detailed.csv")
    assert set(detailed.metric) == {*METRICS, "partial_auc"}


@pytest.mark.slow
def test_a_study_of_two_backbones_shows_what_the_smaller_one_costs(study):
    sizes = pd.read_csv(study / "results/tables/sizes.csv").set_index("backbone")
    assert sizes.parameters["tiny_cnn"] < 10_000 < sizes.parameters["shufflenet_v2_x0_5"]
    shown = pd.read_csv(study / "results/figures/study/size.csv")
    assert set(shown.backbone) == set(sizes.index)
    page = (study / "results/report/index.html").read_text()
    assert "What a smaller student costs" in page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "rerun"),
    [
        ("error = student", "# the deviation\n    error = student", set()),
        ("- math.log(2)).mean()", "- math.log(2)).mean() * 2", {"distill", "evaluate"}),
        ("max_fpr=0.2", "max_fpr=0.1", {"evaluate"}),
    ],
    ids=["comment", "loss", "metric"],
)
def test_an_edit_of_a_piece_reruns_what_rests_on_it(study, old, new, rerun):
    path = study / "mystudy.py"
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))
    try:
        status, said = snakemake("-n", "--configfile", "study.yaml", folder=study)
    finally:
        path.write_text(before)
    assert status == 0, said[-3000:]
    again = jobs(said)
    assert set(again) & {"distill", "probe", "evaluate"} >= rerun
    assert ("distill" in again) == ("distill" in rerun)
    if not rerun:
        assert "Nothing to be done" in said
    assert "pack_images" not in again
