"""Studies of other findings than the 14, run from their tables to the report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_studies import SMALL, run_study, write_image, write_tables
from sklearn.metrics import roc_auc_score

PATIENTS = 45
ROUNDED = 0.0005001  # averages have three decimals where a member has a small group
MANY = [f"Finding number {k:02d}" for k in range(28)]
STUDY: dict = SMALL | {
    "distillation": {"datasets": []},
    "finetuning": {"epochs": 1, "batch_size": 32},
}


def write_dataset(folder: Path, labels: dict[str, np.ndarray], seed: int) -> dict:
    """Two images a patient with a column for each of `labels`; the dataset's settings."""
    rng = np.random.default_rng(seed)
    rows, vectors = [], []
    for i in range(2 * PATIENTS):
        patient = i // 2
        row = {
            "patient_id": f"p{patient}",
            "path": f"{i}.png",
            "sex": ("Female", "Male")[i % 4 > 1],
        }
        rows.append(row | {"age": 30 + patient} | {name: of[i] for name, of in labels.items()})
        write_image(folder / "images" / row["path"], rng.integers(0, 256, (32, 32), np.uint8))
        vectors.append({"image_id": str(i), "vector": rng.normal(size=1376)})
    settings = write_tables(folder, rows, vectors)
    return settings | {"attributes": ["sex"], "columns": {}}


def draw(names: list[str], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 2, 2 * PATIENTS) for name in names}


def classifiers(*datasets: str, models: tuple[str, ...] = ("cxr-fm-lp", "cxr-model-lp")) -> dict:
    return {"datasets": list(datasets), "models": list(models), "seeds": [41]}


def auc_of(predictions: Path, test: pd.DataFrame) -> pd.Series:
    """scikit-learn's AUC-ROC of each finding that is predicted, where both classes are."""
    scores = pd.read_parquet(predictions).set_index("image_id").loc[test.image_id]
    areas = {
        name: roc_auc_score(test[name], scores[name])
        for name in scores.columns.drop("split")
        if test[name].nunique() == 2
    }
    return pd.Series(areas)


def page_of(folder: Path) -> str:
    return (folder / "results/report/index.html").read_text(encoding="utf-8").split("<script")[0]


@pytest.mark.slow
def test_a_study_of_two_findings_ends_in_a_report(tmp_path):
    """One as yes and no, the other as a probability with a threshold."""
    drawn = draw(["pneumonia", "p_edema"], 1)
    drawn["pneumonia"] = np.where(drawn["pneumonia"], "yes", "no")
    drawn["p_edema"] = np.where(drawn["p_edema"], 0.8, 0.3)
    dataset = write_dataset(tmp_path / "raw", drawn, 1)
    dataset |= {
        "columns": {"Pneumonia": "pneumonia", "Edema": "p_edema"},
        "values": {"Pneumonia": {"yes": 1, "no": 0}},
        "thresholds": {"Edema": 0.5},
    }
    changes = {
        "title": "Two findings",
        "findings": {"names": ["Pneumonia", "Edema"]},
        "datasets": {"ward": dataset},
        "classification": classifiers("ward"),
    }
    run_study(tmp_path, STUDY | changes)
    results = tmp_path / "results"
    test = pd.read_csv(results / "ward/records/test.csv", dtype={"image_id": str})
    rows = test.image_id.astype(int)
    assert (test.Pneumonia == (drawn["pneumonia"] == "yes")[rows]).all()
    assert (test.Edema == (drawn["p_edema"] > 0.5)[rows]).all()
    assert set(test.disease) <= {"Pneumonia", "Other"}
    metrics = pd.read_csv(results / "evaluation/ward/summary.csv")
    assert set(metrics.finding) == {"Pneumonia", "Edema", "Macro"}
    detailed = pd.read_csv(results / "tables/performance_detailed.csv")
    assert set(detailed.finding) == {"Pneumonia", "Edema", "Macro"}
    page = page_of(tmp_path)
    assert "2 findings" in page
    for foreign in ("14 findings", "Pleural Effusion", "No Finding", "seven most"):
        assert foreign not in page, foreign


@pytest.mark.slow
def test_a_study_of_28_findings_from_a_list_of_labels_ends_in_a_report(tmp_path):
    drawn = draw(MANY, 2)
    listed = ["|".join(name for name in MANY if drawn[name][i]) for i in range(2 * PATIENTS)]
    dataset = write_dataset(tmp_path / "raw", {"labels": np.array(listed)}, 2)
    changes = {
        "title": "Many findings",
        "findings": {
            "names": MANY,
            "averages": {"The first ten": MANY[:10]},
            "classes": MANY[3:5],
            "focused": MANY[5:11],
        },
        "datasets": {"ward": dataset | {"label_list": {"column": "labels"}}},
        "classification": classifiers("ward"),
    }
    run_study(tmp_path, STUDY | changes)
    results = tmp_path / "results"
    test = pd.read_csv(results / "ward/records/test.csv", dtype={"image_id": str})
    rows = test.image_id.astype(int)
    for name in MANY:
        assert (test[name] == drawn[name][rows]).all()
    wins = np.where(test[MANY[3]] == 1, MANY[3], np.where(test[MANY[4]] == 1, MANY[4], "Other"))
    assert (test.disease == wins).all()
    summary = pd.read_csv(results / "evaluation/ward/summary.csv")
    areas = summary[(summary.metric == "auc_roc") & (summary.model == "cxr-fm-lp")]
    areas = areas.set_index("finding")["mean"]
    assert list(areas.index) == [*MANY, "Macro", "The first ten"]
    ours = auc_of(results / "ward/models/cxr-fm-lp/seed41/predictions.parquet", test)
    assert areas["The first ten"] == pytest.approx(ours[MANY[:10]].mean(), abs=ROUNDED)
    assert areas["Macro"] == pytest.approx(ours.mean(), abs=ROUNDED)
    focused = pd.read_csv(results / "figures/ward/focused.csv")
    assert set(focused.finding) == {*MANY[5:11], "The first ten"}
    svg = (results / "figures/ward/auc-roc.svg").read_text(encoding="utf-8")
    assert all(re.search(rf">{name}<", svg) for name in MANY if areas[name] == areas[name])
    assert "28 findings" in page_of(tmp_path)


@pytest.mark.slow
def test_a_transfer_between_label_sets_uses_what_both_have(tmp_path):
    """A, B and C are in both; the source alone has D and E, the target alone F."""
    source, target = draw([*"ABCDE"], 3), draw([*"CBFA"], 4)
    changes = {
        "title": "Two label sets",
        "findings": {"names": [*"FEDCBA"], "classes": ["A", "D"]},
        "datasets": {
            "here": write_dataset(tmp_path / "here", source, 3),
            "there": write_dataset(tmp_path / "there", target, 4),
        },
        "classification": classifiers("here", "there", models=("cxr-model-lp", "cxr-model-fft")),
        "transfer": {"pairs": [["here", "there"]], "models": ["cxr-model-lp", "cxr-model-fft"]},
    }
    run_study(tmp_path, STUDY | changes)
    results = tmp_path / "results"
    summaries = [
        json.loads((results / f"{d}/records/summary.json").read_text()) for d in ("here", "there")
    ]
    assert [summary["absent"] for summary in summaries] == [["F"], ["E", "D"]]
    for model in ("cxr-model-lp", "cxr-model-fft"):
        files = {
            "own": results / f"there/models/{model}/seed41",
            **{
                s: results / f"here-to-there/{s}/{model}/seed41"
                for s in ("direct", "linear-probe", "full-finetune")
            },
        }
        found = {s: list(pd.read_parquet(f / "predictions.parquet"))[2:] for s, f in files.items()}
        assert found == {
            "own": [*"FCBA"],
            "direct": [*"CBA"],
            "linear-probe": [*"FCBA"],
            "full-finetune": [*"FCBA"],
        }
    at_home = pd.read_parquet(results / "here/models/cxr-model-lp/seed41/predictions.parquet")
    assert list(at_home)[2:] == [*"EDCBA"]
    summary = pd.read_csv(results / "evaluation/there/summary.csv")
    areas = summary[summary.metric == "auc_roc"].set_index(["strategy", "model", "finding"])["mean"]
    direct = areas["direct", "cxr-model-fft"]
    assert np.isnan(direct["F"])
    assert direct[[*"ABC"]].notna().all()
    test = pd.read_csv(results / "there/records/test.csv", dtype={"image_id": str})
    ours = auc_of(results / "here-to-there/direct/cxr-model-fft/seed41/predictions.parquet", test)
    assert direct["Macro"] == pytest.approx(ours.mean(), abs=ROUNDED)
    assert areas["full-finetune", "cxr-model-fft"][[*"FCBA"]].notna().all()
    page = page_of(tmp_path)
    assert "says nothing of F" in page
    assert "3 findings that both have" in page
