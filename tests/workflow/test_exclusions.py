"""The whole study on two datasets that lack images: all models are measured on the same images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_studies import SMALL, run_study, write_image, write_tables
from sklearn.metrics import roc_auc_score

SPLITS = {"train": 64, "val": 40, "test": 64}  # images, one a patient
UNREADABLE, WITHOUT_EMBEDDING, BOTH = 0, 1, 2  # positions in the split; the last in `test` alone
LABELS = ["No Finding", "Edema", "Pleural Effusion"]
STUDY = SMALL | {
    "title": "A study with missing images",
    "images": {"size": 32, "unreadable": 0.1},
    "teacher": {"failed": 0.1},
    "distillation": {"datasets": ["here"], "losses": ["mse"], "seeds": [41], "epochs": 1},
    "classification": {
        "datasets": ["here"],
        "models": ["cxr-fm-lp", "cxr-model-lp", "cxr-fmkd-direct-fft"],
        "seeds": [41],
    },
    "finetuning": {"epochs": 1},
    "transfer": {
        "pairs": [["here", "there"]],
        "models": ["cxr-fm-lp", "cxr-fmkd-direct-fft"],
        "losses": ["mse"],
        "strategies": ["direct", "linear-probe"],
    },
    "evaluation": {"replicates": 10, "attributes": [], "minimum_cell": 2},
}


def write_dataset(folder: Path, seed: int) -> dict:
    """A table of records, images and embeddings, some of them missing; the dataset's settings."""
    rng = np.random.default_rng(seed)
    rows, vectors = [], []
    for split, size in SPLITS.items():
        for i in range(size):
            name = f"{split}/{folder.name}{i}"
            labels = dict(
                zip(LABELS, rng.permutation([1, 0, int(rng.integers(0, 2))]), strict=True)
            )
            row = {"patient_id": name, "path": f"{name}.png", "split": split, **labels}
            rows.append(row | {"sex": ("Female", "Male")[i % 2], "age": 40 + i % 20, "view": "AP"})
            missing_both = split == "test" and i == BOTH
            path = folder / "images" / row["path"]
            if i == UNREADABLE or missing_both:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"no image")
            else:
                write_image(path, rng.integers(0, 256, (32, 32), np.uint8))
            if i != WITHOUT_EMBEDDING and not missing_both:
                vectors.append({"image_id": name, "vector": rng.normal(size=1376)})
    return write_tables(folder, rows, vectors)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """Results of the study, run to its report."""
    folder = tmp_path_factory.mktemp("missing")
    datasets = {name: write_dataset(folder / name, i) for i, name in enumerate(("here", "there"))}
    run_study(folder, STUDY | {"datasets": datasets})
    return folder / "results"


def split_records(results: Path, dataset: str, split: str) -> pd.DataFrame:
    """Records of a split by image_id, without the images that are measured nowhere."""
    table = pd.read_csv(results / dataset / f"records/{split}.csv").set_index("image_id")
    missing = [UNREADABLE, WITHOUT_EMBEDDING] + [BOTH] * (split == "test")
    gone = [f"{split}/{dataset}{i}" for i in missing]
    assert set(gone) < set(table.index)
    return table.drop(index=gone)


def prediction_files(results: Path, dataset: str) -> list[Path]:
    """Predictions of every run that is evaluated on a dataset."""
    pattern = "here/models/*/seed41" if dataset == "here" else "here-to-there/*/*/seed41"
    return sorted(results.glob(f"{pattern}/predictions.parquet"))


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["here", "there"])
def test_every_model_of_a_dataset_is_measured_on_the_same_images(results, dataset):
    test = split_records(results, dataset, "test")
    metrics = pd.read_csv(results / f"evaluation/{dataset}/metrics.csv").query(
        "metric == 'auc_roc'"
    )
    files, predicted = prediction_files(results, dataset), set()
    assert len(files) == metrics.drop_duplicates(["strategy", "model", "loss"]).shape[0] >= 3
    for path in files:
        logits = pd.read_parquet(path).query("split == 'test'").set_index("image_id")
        predicted.add(frozenset(logits.index))
        model, _, loss = path.parts[-3].partition(".")
        strategy = "own" if dataset == "here" else path.parts[-4]
        rows = metrics[(metrics.model == model) & (metrics.strategy == strategy)]
        rows = rows[rows.loss.fillna("") == loss].set_index("finding")
        for finding in LABELS:
            area = roc_auc_score(test[finding], logits.loc[test.index, finding])
            assert rows.estimate[finding] == pytest.approx(area, abs=1e-9)
            assert rows.n[finding] == len(test)
    # The teacher's probe has seen the image that cannot be read, the networks the one without
    # an embedding.
    assert len(predicted) == 2
    counts = pd.read_csv(results / f"evaluation/{dataset}/exclusions.csv").set_index("split")
    assert counts.loc["val"].tolist() == [dataset, SPLITS["val"], 1, 1, SPLITS["val"] - 2]
    assert counts.loc["test"].tolist() == [dataset, SPLITS["test"], 2, 1, len(test)]


@pytest.mark.slow
def test_every_model_s_bias_is_analysed_on_the_same_images(results):
    expected = {*split_records(results, "here", "test").index}
    expected |= {*split_records(results, "here", "val").index}
    files = sorted(results.glob("here/models/*/projection.parquet"))
    assert len(files) == 3
    for path in files:
        points = pd.read_parquet(path)
        assert set(points.image_id) == expected & {*split_records(results, "here", "test").index}


@pytest.mark.slow
def test_thresholds_of_a_source_come_from_the_images_that_it_is_measured_on(results):
    own, direct = (
        pd.read_csv(results / f"evaluation/{name}/thresholds.csv").query(
            f"model == 'cxr-fm-lp' and strategy == '{strategy}' and rule == '{rule}'"
        )
        for name, strategy, rule in (
            ("here", "own", "validation"),
            ("there", "direct", "source-validation"),
        )
    )
    columns = ["finding", "threshold"]
    own, direct = (table[columns].drop_duplicates().set_index("finding") for table in (own, direct))
    pd.testing.assert_frame_equal(own, direct)


@pytest.mark.slow
def test_the_report_says_how_many_images_are_left_out(results):
    page = (results / "report/index.html").read_text()
    assert "10 validation or test images that cannot be read" in page
    for name in ("here", "there"):
        flow = pd.read_csv(results / f"figures/{name}/flow.csv")
        left_out = flow[flow.step.isin(["packed", "embedded"])].set_index("step").excluded
        assert left_out.to_dict() == {"packed": 4, "embedded": 3}
    assessed = json.loads((results / "here/students/mse/quality.json").read_text())["images"]
    assert assessed == {"train": SPLITS["train"] - 2, "val": SPLITS["val"] - 2}
