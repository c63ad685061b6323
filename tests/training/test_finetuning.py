"""Classifiers that are trained through their network, and the scripts that do it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import made_images
import numpy as np
import pandas as pd
import pytest
import torch
from locations import SCRIPTS
from safetensors.torch import save_file
from sklearn.metrics import log_loss

from cxrfmkd.datasets.records import targets
from cxrfmkd.networks.network import Network, load
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_table
from cxrfmkd.study.settings import Distillation, Finetuning, Labels, Probe
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.training import finetuning
from cxrfmkd.training.checkpoints import Checkpoints
from cxrfmkd.training.finetuning import (
    as_thesis_probe,
    finetune,
    initial_network,
    transferred_network,
)
from cxrfmkd.training.jobs import Job
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.models import MODELS, Model

made_images.add_tiny_backbone()
TABLES = made_images.records()
IMAGES, _ = made_images.arrays(TABLES)
COMPUTE = Compute(weights="none")
KEEP = {"projection": "keep", "probed_source": "finetune"}


@pytest.fixture(autouse=True)
def tiny_models(monkeypatch):
    """The study's models on the tiny backbone."""
    small = {
        name: Model(
            "tiny" if kind.backbone != "teacher" else "teacher", *list(vars(kind).values())[1:]
        )
        for name, kind in MODELS.items()
    }
    monkeypatch.setattr(finetuning, "MODELS", small)


@pytest.fixture
def student(tmp_path):
    torch.manual_seed(9)
    path = tmp_path / "student.safetensors"
    Network("tiny", 6).save(path)
    return path


def run(
    network=None,
    uncertain="zeros",
    checkpoints=None,
    compute=COMPUTE,
    seed=1,
    tables=TABLES,
    **changes,
):
    defaults = {"epochs": 2, "batch_size": 6, "learning_rate": 0.01}
    return finetune(
        network or initial_network("cxr-model-fft", seed, compute),
        IMAGES,
        tables,
        labels=Labels(uncertain=uncertain),
        settings=Finetuning(**defaults | changes),
        job=Job(seed, compute, checkpoints or Checkpoints(None)),
    )


# --- where each model starts
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("model", [m for m, kind in MODELS.items() if kind.finetuned])
def test_every_fine_tuned_model_trains_every_weight(model, student):
    kind = MODELS[model]
    network = initial_network(
        f"{model}.mse" if kind.student else model, 1, COMPUTE, student if kind.student else None
    )
    before = {name: value.clone() for name, value in network.state_dict().items()}
    result = run(network, epochs=1)
    moved = {n for n, value in network.state_dict().items() if not torch.equal(value, before[n])}
    assert moved == set(before)
    assert (result.network.projection is not None) == kind.projection
    assert result.embeddings.data.shape[1] == (6 if kind.projection else network.width)
    assert result.run["parameters"]["trainable"] == result.run["parameters"]["total"]


def test_a_student_brings_its_body_and_its_projection(student):
    theirs = load(student).state_dict()
    for model, layers in [
        ("cxr-fmkd-fft", {"backbone", "projection"}),
        ("cxr-fmkd-direct-fft", {"backbone"}),
    ]:
        ours = initial_network(f"{model}.mse", 1, COMPUTE, student).state_dict()
        brought = {name for name in ours if name.split(".")[0] in layers}
        assert all(torch.equal(ours[name], theirs[name]) for name in brought)
        assert {name.split(".")[0] for name in ours} == layers | {"head"}


def test_heads_differ_by_seed_and_by_nothing_else(student):
    first, same, other = (
        initial_network("cxr-fmkd-fft.mse", seed, COMPUTE, student) for seed in (1, 1, 2)
    )
    assert first.identity() == same.identity()
    assert not torch.equal(first.head.weight, other.head.weight)
    assert torch.equal(first.projection.weight, other.projection.weight)


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        ("cxr-fmkd-fft.mse", False, "starts from a student, but none"),
        ("cxr-model-fft", True, "starts from initial weights, but .*student"),
        ("cxr-fm-lp", False, "the teacher cannot be fine-tuned"),
    ],
)
def test_a_model_without_its_start_is_refused(model, given, message, student):
    with pytest.raises(InputError, match=message):
        initial_network(model, 1, COMPUTE, student if given else None)


# --- training
# ------------------------------------------------------------------------------------------


def test_predictions_and_embeddings_are_the_networks_own_by_key():
    result = run()
    assert list(result.predictions) == ["image_id", "split", *FINDINGS]
    assert result.predictions.split.value_counts().to_dict() == {"val": 12, "test": 10}
    shuffled = result.predictions.sample(frac=1, random_state=0)
    images = torch.from_numpy(IMAGES.take(shuffled.image_id))
    with torch.no_grad():
        embedded = result.network.embed(images)
        logits = result.network(images)
    # Two float32 passes, in batches of other sizes.
    error = 2 * made_images.FORWARD_ERROR * float(logits.abs().max())
    np.testing.assert_allclose(shuffled[list(FINDINGS)], logits, rtol=0, atol=error)
    embeddings = result.embeddings.take(shuffled.image_id)
    error = 2 * made_images.FORWARD_ERROR * float(embedded.abs().max())
    np.testing.assert_allclose(embeddings, embedded, rtol=0, atol=error)
    assert shuffled[list(FINDINGS)].dtypes.eq("float32").all()
    # One product of the same numbers: a rounding of half an ulp for each of its terms.
    weight, bias = (p.detach().double().numpy() for p in result.network.head.parameters())
    error = embeddings.shape[1] * 2.0**-23 * (np.abs(embeddings) @ np.abs(weight.T) + np.abs(bias))
    assert (np.abs(embeddings @ weight.T + bias - shuffled[list(FINDINGS)]) <= error).all(axis=None)


@pytest.mark.parametrize("bce", ["logits", "probabilities"])
@pytest.mark.parametrize("uncertain", ["zeros", "ones", "ignore"])
def test_the_best_validation_loss_is_the_cross_entropy_of_the_predictions(uncertain, bce):
    result = run(uncertain=uncertain, bce=bce)
    predicted = result.predictions[result.predictions.split == "val"][list(FINDINGS)].to_numpy()
    truth = targets(TABLES["val"], uncertain)
    labelled = ~np.isnan(truth)
    expected = log_loss(
        truth[labelled], 1 / (1 + np.exp(-predicted[labelled].astype(float))), labels=[0, 1]
    )
    # A logit's error moves the loss by at most as much; a float32 probability is off by half an
    # ulp, which its logarithm divides by it.
    largest = float(np.abs(predicted).max())
    error = 2 * made_images.FORWARD_ERROR * largest + 2.0**-24 * (1 + np.exp(largest))
    assert result.run["best"]["val_loss"] == pytest.approx(expected, rel=0, abs=error)


def test_test_labels_are_never_looked_at():
    hidden = TABLES["test"].assign(**dict.fromkeys(FINDINGS, np.nan))
    seen, blind = run(), run(tables=TABLES | {"test": hidden})
    pd.testing.assert_frame_equal(seen.predictions, blind.predictions)


def test_patience_and_schedule_are_switches():
    result = run(epochs=12, patience=2, learning_rate=0.05)
    assert len(result.history) == result.run["best"]["epoch"] + 1 + 2 or len(result.history) == 12
    constant = run(epochs=4, patience=None, schedule="constant")
    assert len(constant.history) == 4
    assert set(constant.history.learning_rate) == {0.01}
    assert run(epochs=4, patience=None).history.learning_rate.is_monotonic_decreasing


def test_records_without_a_known_label_are_refused():
    unknown = TABLES["train"].assign(**dict.fromkeys(FINDINGS, -1.0))
    with pytest.raises(InputError, match="train records have no known label"):
        run(uncertain="ignore", tables=TABLES | {"train": unknown})


def test_a_stopped_fine_tune_goes_on_to_the_same_predictions(tmp_path):
    uninterrupted = run()
    with pytest.raises(SystemExit) as left, Checkpoints(tmp_path / "c", minutes=0) as checkpoints:
        run(checkpoints=checkpoints)
    assert left.value.code == 75
    with Checkpoints(tmp_path / "c") as checkpoints:
        again = run(checkpoints=checkpoints)
    assert again.run["resumed"] == 1
    pd.testing.assert_frame_equal(again.predictions, uninterrupted.predictions, check_exact=True)


def test_a_probe_with_drifting_statistics_trains_the_head_alone(student):
    network = initial_network("cxr-fmkd-lp.mse", 1, COMPUTE, student).freeze("drifting")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    settings = as_thesis_probe(Probe(epochs=2, batch_size=6), Finetuning(bce="probabilities"))
    assert (settings.schedule, settings.patience, settings.learning_rate) == (
        "constant",
        None,
        0.001,
    )
    result = run(network, **{k: v for k, v in vars(settings).items() if k != "minimum"})
    moved = {n for n, value in network.state_dict().items() if not torch.equal(value, before[n])}
    assert {n for n in moved if "running" not in n and "num_batches" not in n} == {
        "head.weight",
        "head.bias",
    }
    assert any("running_mean" in name for name in moved)
    assert result.run["parameters"]["trainable"] == 6 * 14 + 14


# --- transfer
# ------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path):
    torch.manual_seed(8)
    path = tmp_path / "source.safetensors"
    Network("tiny", 6, 14).save(path)
    return path


@pytest.mark.parametrize("projection", ["keep", "discard"])
def test_a_transfer_takes_the_sources_body_and_a_new_head(projection, source):
    theirs = load(source)
    ours = transferred_network(
        "cxr-fmkd-fft.mse", 1, COMPUTE, KEEP | {"projection": projection}, source
    )
    assert torch.equal(ours.backbone.features.conv0.weight, theirs.backbone.features.conv0.weight)
    assert ours.parameter_counts()["trainable"] == ours.parameter_counts()["total"]
    if projection == "keep":
        assert torch.equal(ours.projection.weight, theirs.projection.weight)
        assert not torch.equal(ours.head.weight, theirs.head.weight)
    else:
        assert ours.projection is None
        assert ours.head.in_features == ours.width


def test_a_direct_source_has_no_projection_to_keep(tmp_path):
    Network("tiny", None, 14).save(tmp_path / "direct.safetensors")
    ours = transferred_network(
        "cxr-fmkd-direct-fft.mse", 1, COMPUTE, KEEP, tmp_path / "direct.safetensors"
    )
    assert ours.projection is None


@pytest.fixture
def probe(tmp_path):
    path = tmp_path / "probe.safetensors"
    save_file(
        {"head.weight": torch.zeros(14, 6), "head.bias": torch.zeros(14)},
        path,
        metadata={"architecture": "linear"},
    )
    return path


def test_a_probed_source_is_fine_tuned_from_what_it_looked_through(probe, student):
    ours = transferred_network("cxr-fmkd-lp.mse", 1, COMPUTE, KEEP, probe, student)
    assert torch.equal(ours.projection.weight, load(student).projection.weight)
    assert ours.parameter_counts()["trainable"] == ours.parameter_counts()["total"]
    first = transferred_network("cxr-model-lp", 1, COMPUTE, KEEP, probe)
    assert first.projection is None
    assert first.backbone.features.conv0.weight.requires_grad


@pytest.mark.parametrize("whole_network", [False, True])
def test_head_only_trains_the_head_of_a_probed_source_as_the_thesis_did(
    whole_network, probe, student, source
):
    settings = {"projection": "discard", "probed_source": "head-only"}
    weights = source if whole_network else probe
    ours = transferred_network(
        "cxr-fmkd-lp.mse", 1, COMPUTE, settings, weights, None if whole_network else student
    )
    trained = [name for name, p in ours.named_parameters() if p.requires_grad]
    assert trained == ["head.weight", "head.bias"]
    before = ours.backbone.features.norm0.running_mean.clone()
    run(ours, epochs=1)
    drifted = not torch.equal(before, ours.backbone.features.norm0.running_mean)
    assert drifted == whole_network, "statistics drift on where they had drifted in the source"


def test_head_only_does_not_touch_a_source_that_was_fine_tuned(source):
    ours = transferred_network(
        "cxr-fmkd-fft.mse", 1, COMPUTE, KEEP | {"probed_source": "head-only"}, source
    )
    assert ours.parameter_counts()["trainable"] == ours.parameter_counts()["total"]


def test_a_fine_tuned_source_that_is_a_head_alone_is_refused(probe):
    with pytest.raises(InputError, match=r"probe\.safetensors: a head alone"):
        transferred_network("cxr-fmkd-fft.mse", 1, COMPUTE, KEEP, probe)
    with pytest.raises(InputError, match="the teacher cannot be fine-tuned"):
        transferred_network("cxr-fm-lp", 1, COMPUTE, KEEP, probe)


# --- the scripts
# ---------------------------------------------------------------------------------------


def script(name, folder, spec, code=0, **options):
    """Run a script as a rule does, on the tiny dataset."""
    words = [
        sys.executable,
        str(SCRIPTS / f"{name}.py"),
        "--spec",
        json.dumps(spec | {"code": "x"}),
    ]
    for option, value in options.items():
        words += [
            f"--{option.replace('_', '-')}",
            *map(str, value if isinstance(value, list) else [value]),
        ]
    result = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert result.returncode == code, result.stderr
    return result.stderr


@pytest.mark.slow
def test_the_scripts_lead_from_images_to_a_transferred_classifier(tmp_path):
    data = made_images.on_disk(tmp_path, size=64)
    network = {"network": COMPUTE.model_dump()}
    both = {name: data[name] for name in ("images", "train", "val")}
    files = {
        name: f"students/mse/seed1/{name}"
        for name in ("weights.safetensors", "history.csv", "run.json")
    }
    places = {Path(path).stem: path for path in files.values()}
    distillation = Distillation(epochs=1, batch_size=12).model_dump()
    distil = {"loss": "mse", "seed": 1, "distillation": distillation} | network
    common = both | {"teacher": data["teacher"], "checkpoints": "c/1"} | places
    script("distill", tmp_path, distil, code=75, time_budget=0, **common)
    assert not (tmp_path / "students").exists()
    assert (tmp_path / "c/1/state.pt").exists()
    log_text = script("distill", tmp_path, distil, time_budget=60, **common)
    assert "resuming at epoch" in log_text
    assert not (tmp_path / "c/1").exists()
    assert json.loads((tmp_path / places["run"]).read_text())["resumed"] == 1
    (tmp_path / "students/mse/selected.json").write_text('{"weights": "seed1/weights.safetensors"}')

    test = {"test": data["test"]}
    script(
        "extract_features",
        tmp_path,
        {"backbone": "x.student.mse"} | network,
        weights="students/mse/selected.json",
        out="features",
        **both,
        **test,
    )
    assert KeyedArray.open(tmp_path / "features").data.shape == (46, 1664)

    names = {
        "weights": "weights.safetensors",
        "history": "history.csv",
        "run": "run.json",
        "predictions": "predictions.parquet",
        "embeddings": "embeddings",
    }
    finetuning = Finetuning(epochs=1, batch_size=12).model_dump()
    spec = {"seed": 1, "labels": Labels().model_dump(), "finetuning": finetuning} | network
    probe = Probe(epochs=1, batch_size=12).model_dump()
    for name, folder, model_spec, options in [
        (
            "finetune",
            "x/models/cxr-fmkd-fft.mse/seed1",
            {"model": "cxr-fmkd-fft.mse"},
            {"student": "students/mse/selected.json"},
        ),
        (
            "drifting_probe",
            "x/models/cxr-fmkd-direct-lp.mse/seed1",
            {"model": "cxr-fmkd-direct-lp.mse", "probe": probe},
            {"start": "students/mse/selected.json"},
        ),
        (
            "transfer_finetune",
            "w-to-x/full-finetune/cxr-fmkd-fft.mse/seed1",
            {"model": "cxr-fmkd-fft.mse", "transfer": KEEP},
            {"source": "x/models/cxr-fmkd-fft.mse/seed1/weights.safetensors"},
        ),
    ]:
        outputs = {option: f"{folder}/{file}" for option, file in names.items()}
        script(
            name,
            tmp_path,
            spec | model_spec,
            checkpoints=f"c/{folder}",
            time_budget=60,
            **both,
            **test,
            **outputs,
            **options,
        )
        predictions = read_table(tmp_path / outputs["predictions"])
        embeddings = KeyedArray.open(tmp_path / outputs["embeddings"])
        assert predictions.image_id.tolist() == embeddings.index.image_id.tolist()
        facts = json.loads((tmp_path / outputs["run"]).read_text())
        assert facts["spec"]["model"] == model_spec["model"]
        head = 23_310 if name == "drifting_probe" else None
        assert facts["parameters"]["trainable"] == (head or facts["parameters"]["total"])
