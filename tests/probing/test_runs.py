"""Runs of heads as the workflow starts them: new heads on kept features, and a source's heads."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from certificates import rounding
from locations import SCRIPTS
from made_dataset import make
from safetensors.numpy import load_file, save_file

from cxrfmkd.datasets.records import read_records, targets
from cxrfmkd.networks.layers import Linear
from cxrfmkd.probing.direct import transfer
from cxrfmkd.probing.runs import train_runs
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_json
from cxrfmkd.study.settings import Probe
from cxrfmkd.vocabulary.findings import FINDINGS

SPEC = {
    "model": "cxr-fm-lp",
    "seeds": [41, 42],
    "labels": {"uncertain": "zeros", "blank": "zeros"},
    "probe": Probe(l2=[1e-3, 1e-1], bootstrap=True).model_dump(),
}
FILES = ["history.csv", "predictions.parquet", "run.json", "weights.safetensors"]


@pytest.fixture
def dataset(tmp_path):
    return make(tmp_path)


def tables(dataset, *splits):
    return {split: read_records(dataset[split]) for split in splits}


def features(dataset):
    return [KeyedArray.open(dataset["features"])]


def script(name, spec, *arguments):
    command = [sys.executable, SCRIPTS / f"{name}.py", "--spec", json.dumps(spec), *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def projection(folder: Path, inputs: int = 12, outputs: int = 6) -> Path:
    random = np.random.default_rng(3)
    layers = {
        "projection.weight": random.integers(-3, 4, (outputs, inputs)).astype("f4"),
        "projection.bias": random.integers(-3, 4, outputs).astype("f4"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(layers, folder / "weights.safetensors")
    return folder / "weights.safetensors"


def probe(dataset, runs, spec=SPEC, layer=(), arrays=None):
    three = tables(dataset, "train", "val", "test")
    train_runs(spec, arrays or features(dataset), layer, three, runs)


def assert_logits(predicted: pd.DataFrame, array: KeyedArray, layers: dict) -> None:
    """That predictions are those of the head, up to the rounding of a float32 product."""
    inputs, weight, bias = (
        array.take(predicted.image_id),
        layers["head.weight"],
        layers["head.bias"],
    )
    expected = inputs.astype(float) @ weight.T.astype(float) + bias
    apart = np.abs(predicted[list(FINDINGS)].to_numpy() - expected)
    assert (apart <= rounding(inputs, weight, bias)).all()


def test_probe_script_writes_every_file_of_every_seed(dataset, tmp_path):
    runs = [tmp_path / f"seed{seed}" for seed in SPEC["seeds"]]
    splits = [part for split in ("train", "val", "test") for part in (f"--{split}", dataset[split])]
    done = script("probe", SPEC, "--features", dataset["features"], *splits, "--runs", *runs)
    assert done.returncode == 0, done.stderr
    array = KeyedArray.open(dataset["features"])
    for run, seed in zip(runs, SPEC["seeds"], strict=True):
        assert sorted(path.name for path in run.glob("[!.]*")) == FILES
        written = read_json(run / "run.json")
        assert written["seed"] == seed
        assert written["spec"] == SPEC
        assert written["best"]["val_loss"] < 0.69
        assert written["parameters"] == {"trainable": 13 * 14, "total": 13 * 14}
        predicted = pd.read_parquet(run / "predictions.parquet")
        assert list(predicted) == ["image_id", "split", *FINDINGS]
        assert predicted.split.value_counts().to_dict() == {"val": 60, "test": 50}
        layers = load_file(run / "weights.safetensors")
        assert_logits(predicted, array, layers)


def test_test_labels_are_never_read_by_the_fit(dataset, tmp_path):
    probe(dataset, [tmp_path / "a41", tmp_path / "a42"])
    poisoned = tables(dataset, "train", "val", "test")
    poisoned["test"][list(FINDINGS)] = 1 - poisoned["test"][list(FINDINGS)]
    train_runs(SPEC, features(dataset), [], poisoned, [tmp_path / "b41", tmp_path / "b42"])
    for seed in SPEC["seeds"]:
        first, second = (load_file(tmp_path / f"{x}{seed}" / "weights.safetensors") for x in "ab")
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


def test_test_images_are_not_needed_until_the_heads_are_final(dataset, tmp_path, monkeypatch):
    seen = []
    take = KeyedArray.take
    monkeypatch.setattr(
        KeyedArray, "take", lambda self, ids: seen.append(ids[0]) or take(self, ids)
    )
    monkeypatch.setattr("cxrfmkd.probing.runs.train_heads", lambda *_: seen.append("trained") or [])
    with pytest.raises(ValueError, match="shorter"):
        probe(dataset, [tmp_path / "41", tmp_path / "42"])
    assert [name[:5] for name in seen] == ["train", "val/1", "train"]


def test_probe_through_a_projection_equals_a_probe_on_projected_features(dataset, tmp_path):
    layer = projection(tmp_path / "student")
    (tmp_path / "selected.json").write_text('{"seed": 1, "weights": "student/weights.safetensors"}')
    array = KeyedArray.open(dataset["features"])
    # Whole numbers, of which every float32 product and sum is exact in any order.
    array = KeyedArray(np.rint(8 * array.data), array.index, {}, "features")
    projected = KeyedArray(Linear.load(layer, "projection")(array.data), array.index, {}, "p")
    spec = SPEC | {"seeds": [41]}
    probe(dataset, [tmp_path / "a"], spec, [tmp_path / "selected.json"], [array])
    probe(dataset, [tmp_path / "b"], spec, arrays=[projected])
    first, second = (pd.read_parquet(tmp_path / run / "predictions.parquet") for run in "ab")
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert read_json(tmp_path / "a" / "run.json")["parameters"]["total"] == 7 * 14 + 13 * 6


def test_thesis_protocol_writes_the_same_files_and_its_epochs(dataset, tmp_path):
    spec = SPEC | {"probe": Probe(protocol="thesis", epochs=3).model_dump()}
    runs = [tmp_path / "41", tmp_path / "42"]
    probe(dataset, runs, spec)
    for run in runs:
        assert sorted(path.name for path in run.glob("[!.]*")) == FILES
        history = pd.read_csv(run / "history.csv")
        assert list(history) == ["epoch", "train_loss", "val_loss"]
        best = read_json(run / "run.json")["best"]
        # pandas may read the last digit of a CSV's number wrong.
        assert best["val_loss"] == pytest.approx(history.val_loss.min(), rel=1e-15)
        assert best["epoch"] == history.val_loss.idxmin()


def test_each_seed_may_look_through_its_own_features(dataset, tmp_path):
    array = KeyedArray.open(dataset["features"])
    other = KeyedArray(array.data[:, :5], array.index, {}, "other")
    probe(dataset, [tmp_path / "41", tmp_path / "42"], arrays=[array, other])
    widths = [
        Linear.load(tmp_path / s / "weights.safetensors").weight.shape[1] for s in ("41", "42")
    ]
    assert widths == [12, 5]


def test_direct_transfer_is_the_source_head_on_the_target(dataset, tmp_path):
    target = make(tmp_path / "target", seed=5)
    sources = [tmp_path / "source" / f"seed{seed}" for seed in SPEC["seeds"]]
    probe(dataset, sources)
    heads = [run / "weights.safetensors" for run in sources]
    runs = [tmp_path / "direct" / f"seed{seed}" for seed in SPEC["seeds"]]
    spec = {"model": "cxr-fm-lp", "seeds": SPEC["seeds"]}
    splits = ["--val", target["val"], "--test", target["test"]]
    done = script(
        "transfer_direct",
        spec,
        "--features",
        target["features"],
        "--heads",
        *heads,
        *splits,
        "--runs",
        *runs,
    )
    assert done.returncode == 0, done.stderr
    array = KeyedArray.open(target["features"])
    for run, source in zip(runs, heads, strict=True):
        assert sorted(path.name for path in run.glob("[!.]*")) == FILES
        predicted = pd.read_parquet(run / "predictions.parquet")
        layers = load_file(source)
        assert_logits(predicted, array, layers)
        np.testing.assert_array_equal(
            load_file(run / "weights.safetensors")["head.weight"], layers["head.weight"]
        )
        assert read_json(run / "run.json")["parameters"]["trainable"] == 0
        assert (run / "history.csv").read_text() == "epoch,train_loss,val_loss\n"


def test_chosen_source_serves_every_seed_of_the_target(dataset, tmp_path):
    source = tmp_path / "source" / "seed41"
    probe(dataset, [source], SPEC | {"seeds": [41]})
    chosen = tmp_path / "source" / "selected.json"
    chosen.write_text('{"seed": 41, "weights": "seed41/weights.safetensors"}')
    runs = [tmp_path / "41", tmp_path / "42"]
    transfer(SPEC, features(dataset), [], [chosen], tables(dataset, "val", "test"), runs)
    first, second = (pd.read_parquet(run / "predictions.parquet") for run in runs)
    pd.testing.assert_frame_equal(first, second)


def test_direct_transfer_of_a_perfect_separator_keeps_its_accuracy(dataset, tmp_path):
    probe(dataset, [tmp_path / "41", tmp_path / "42"])
    predicted = pd.read_parquet(tmp_path / "41" / "predictions.parquet").query("split == 'test'")
    truth = targets(read_records(dataset["test"]))
    assert ((predicted[list(FINDINGS)].to_numpy() > 0) == truth).mean() > 0.7


def test_mismatched_heads_projections_and_runs_are_errors(dataset, tmp_path):
    probe(dataset, [tmp_path / "41", tmp_path / "42"])
    two, head = tables(dataset, "val", "test"), [tmp_path / "41" / "weights.safetensors"]
    runs = [tmp_path / "a", tmp_path / "b"]
    narrow = [projection(tmp_path / "student")]
    with pytest.raises(InputError, match="the head takes 12 numbers of an image, but gets 6"):
        transfer(SPEC, features(dataset), narrow, head, two, runs)
    with pytest.raises(InputError, match=r"it has no projection\.weight"):
        transfer(SPEC, features(dataset), head, head, two, runs)
    with pytest.raises(InputError, match="3 heads for 2 runs"):
        transfer(SPEC, features(dataset), [], head * 3, two, runs)
    with pytest.raises(InputError, match="1 run folders for 2 seeds"):
        transfer(SPEC, features(dataset), [], head, two, runs[:1])
    with pytest.raises(InputError, match="1 run folders for 2 seeds"):
        probe(dataset, runs[:1])


def test_image_that_upstream_excluded_is_left_out_and_any_other_absence_is_an_error(
    dataset, tmp_path
):
    array = KeyedArray.open(dataset["features"])
    gone = "test/190"
    keep = (array.index.image_id != gone).to_numpy()
    index = array.index[keep].reset_index(drop=True)
    runs = [tmp_path / "41", tmp_path / "42"]
    with pytest.raises(InputError, match="1 of 50 records"):
        probe(dataset, runs, arrays=[KeyedArray(array.data[keep], index, {}, "features")])
    listed = KeyedArray(array.data[keep], index, {"excluded": [gone]}, "features")
    probe(dataset, runs, arrays=[listed])
    assert gone not in set(pd.read_parquet(runs[0] / "predictions.parquet").image_id)
