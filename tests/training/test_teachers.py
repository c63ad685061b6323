"""Students of several teachers: one backbone, a projection for each, and losses on one scale."""

from __future__ import annotations

import json

import made_images
import numpy as np
import pytest
import torch
from torch import nn

from cxrfmkd.assessment.controls import assess
from cxrfmkd.assessment.selection import select_loss
from cxrfmkd.networks.network import create, load, load_student, teachers_of
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import write_json
from cxrfmkd.study.settings import Distillation
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.training.distillation import distill
from cxrfmkd.training.jobs import Job
from cxrfmkd.training.losses import Objective
from cxrfmkd.training.teachers import JointObjective, Targets

made_images.add_tiny_backbone()
TABLES = made_images.records({"train": 60, "val": 40, "test": 2})
IMAGES, FIRST = made_images.arrays(TABLES)
BRIGHT = IMAGES.data.mean((1, 2), dtype=np.float32)[:, None]
BRIGHT = (BRIGHT - BRIGHT.mean()) / BRIGHT.std()
RNG = np.random.default_rng(0)


def follower(width: int, scale: float, name: str) -> KeyedArray:
    """A teacher whose vectors say how bright an image is, in numbers of a size of their own."""
    noise = 0.1 * RNG.normal(size=(len(BRIGHT), width)).astype(np.float32)
    data = np.float32(scale) * (BRIGHT * np.linspace(0.5, 2, width, dtype=np.float32) + noise + 1)
    meta = {"name": name, "variant": name.lower(), "licence": f"of {name}"}
    return KeyedArray(data, IMAGES.index, meta, name)


SMALL, LARGE = follower(4, 1.0, "Small"), follower(7, 100.0, "Large")


def student(further=None, teacher=SMALL, loss="mse", backbone="tiny", **settings):
    defaults = {"epochs": 2, "batch_size": 15, "standardise_teacher": "phi-s"}
    return distill(
        IMAGES,
        teacher,
        TABLES["train"],
        TABLES["val"],
        loss=loss,
        settings=Distillation(**defaults | settings),
        job=Job(1, Compute(weights="none")),
        backbone=backbone,
        further=further,
    )


def test_one_teacher_gives_the_student_that_it_gave_before():
    alone, one = student(), student(further={})
    for name, value in alone.network.state_dict().items():
        assert torch.equal(value, one.network.state_dict()[name])
    assert "teachers" not in one.run
    assert alone.history.val_loss.equals(one.history.val_loss)


@pytest.mark.parametrize("loss", ["mse", "mse-cosine-learned"])
def test_the_loss_is_the_mean_over_teachers_each_with_weights_of_its_own(loss):
    joint = JointObjective(lambda: Objective(loss), {"teacher": 2, "b": 3})
    x, y = torch.randn(8, 5), torch.randn(8, 5)
    terms = joint(x, y)
    parts = [Objective(loss)(x[:, s], y[:, s])["loss"] for s in (slice(2), slice(2, 5))]
    torch.testing.assert_close(terms["loss"], sum(parts) / 2)
    torch.testing.assert_close(terms["loss_teacher"], parts[0])
    torch.testing.assert_close(terms["loss_b"], parts[1])
    assert len(list(joint.parameters())) == 2 * len(list(Objective(loss).parameters()))


def test_each_projection_gets_the_gradient_of_its_own_teacher_alone():
    joint = JointObjective(lambda: Objective("mse"), {"teacher": 2, "b": 3})
    projection, features = nn.Linear(6, 5), torch.randn(8, 6)
    outputs, wanted = projection(features), torch.randn(8, 5)
    joint(outputs, wanted)["loss"].backward()
    for rows in (slice(2), slice(2, 5)):
        one = nn.Linear(6, 5)
        one.load_state_dict(projection.state_dict())
        (0.5 * nn.functional.mse_loss(one(features)[:, rows], wanted[:, rows])).backward()
        torch.testing.assert_close(projection.weight.grad[rows], one.weight.grad[rows])


@pytest.mark.parametrize("kind", ["phi-s", "per-dimension"])
def test_no_teacher_dominates_for_the_size_of_its_numbers(kind):
    vectors = {n: {"train": a.data} for n, a in (("teacher", SMALL), ("large", LARGE))}
    scaled = {n: {"train": 100 * of["train"]} for n, of in vectors.items()}
    one = Targets.of(vectors, kind).vectors["train"]
    other = Targets.of(vectors | {"large": scaled["large"]}, kind).vectors["train"]
    np.testing.assert_allclose(one, other, atol=1e-3)  # float32 of numbers in the hundreds
    # A constant vector would cost the same of each.
    np.testing.assert_allclose(
        [np.square(part).mean() for part in (one[:, :4], one[:, 4:])], 1, rtol=1e-3
    )


def test_a_student_follows_both_teachers_whatever_their_scales(tmp_path):
    result = student({"large": LARGE}, epochs=20, batch_size=6, affine=False)
    result.network.save(tmp_path / "w.safetensors")
    for name, teacher in (("teacher", SMALL), ("large", LARGE)):
        network = load_student(tmp_path / "w.safetensors", teacher=name)
        ids = TABLES["val"].image_id
        with torch.no_grad():
            outputs = network(torch.from_numpy(IMAGES.take(ids))).numpy()
        wanted = teacher.take(ids)
        error = np.square(outputs - wanted).mean() / np.square(wanted - wanted.mean(0)).mean()
        assert error < 0.5, name
    terms = result.run["terms"]["val"]
    assert terms["loss"] == pytest.approx((terms["loss_teacher"] + terms["loss_large"]) / 2)
    assert {"val_loss_teacher", "val_loss_large"} <= set(result.history)


def test_weights_hold_a_projection_of_each_teacher_and_say_what_it_is(tmp_path):
    path = tmp_path / "w.safetensors"
    student({"large": LARGE}).network.save(path)
    assert teachers_of(path)["large"] == {
        "dimension": 7,
        "name": "Large",
        "variant": "large",
        "licence": "of Large",
    }
    widths = {
        name: load_student(path, teacher=name).projection.out_features
        for name in ("", "teacher", "Small", "large", "Large")
    }
    assert widths == {"": 4, "teacher": 4, "Small": 4, "large": 7, "Large": 7}
    with pytest.raises(InputError, match=r"reproduces teacher \(Small\), large \(Large\)"):
        load_student(path, teacher="other")
    assert load(path).with_head(14).head.in_features == 4  # classifiers are of the first


def test_a_student_of_one_teacher_has_no_other(tmp_path):
    student().network.save(tmp_path / "w.safetensors")
    assert teachers_of(tmp_path / "w.safetensors") == {}
    with pytest.raises(InputError, match="not of several teachers"):
        load_student(tmp_path / "w.safetensors", teacher="large")


def test_several_teachers_without_standardised_targets_are_refused():
    with pytest.raises(InputError, match="several teachers need phi-s or per-dimension"):
        student({"large": LARGE}, standardise_teacher="none")


@pytest.mark.parametrize("control", ["shuffled", "random", "labels"])
def test_controls_take_the_place_of_each_teacher(control):
    result = student({"large": LARGE}, loss=f"mse-{control}", epochs=1)
    assert result.network.projection.out_features == 11


def test_other_backbones_learn_from_several_teachers_too(tmp_path):
    result = student({"large": LARGE}, backbone="mobilenet_v3_small", epochs=1)
    result.network.save(tmp_path / "w.safetensors")
    network = load_student(tmp_path / "w.safetensors", teacher="large")
    assert network.architecture == "mobilenet_v3_small"
    assert network.projection.out_features == 7


def test_quality_and_the_selected_loss_are_of_each_teacher(tmp_path):
    folder = tmp_path / "mse"
    network = student({"large": LARGE}).network.eval()
    network.save(folder / "seed1/weights.safetensors")
    with torch.no_grad():
        features = network.features(torch.from_numpy(np.array(IMAGES.data))).numpy()
    features = KeyedArray(features, IMAGES.index, {}, "features")
    untrained = create("tiny", "none", None, None, "normalised").eval()
    with torch.no_grad():
        data = untrained(torch.from_numpy(np.array(IMAGES.data))).numpy()
    control = KeyedArray(data, IMAGES.index, {}, "control")
    labels = {"uncertain": "zeros", "blank": "zeros"}
    spec = {"loss": "mse", "labels": labels, "seeds": [1], "teachers": ["large"]}
    paths = [folder / "seed1/weights.safetensors"]
    tables = TABLES["train"], TABLES["val"]
    quality = assess(spec, [features], paths, control, SMALL, *tables, [LARGE])
    alone = {k: v for k, v in spec.items() if k != "teachers"}
    first = assess(alone, [features], paths, control, SMALL, *tables)
    assert quality["student"] == first["student"]
    assert (quality["name"], quality["teachers"]["large"]["name"]) == ("Small", "Large")
    json.dumps(quality, allow_nan=False)
    quality["student"]["probe_auc"] = 0.9
    quality["teachers"]["large"]["student"]["probe_auc"] = 0.7
    write_json(folder / "quality.json", quality)
    write_json(folder / "selected.json", {"seed": 1, "weights": "seed1/weights.safetensors"})
    chosen = select_loss([folder / "quality.json"], [folder / "selected.json"], tmp_path / "s.json")
    assert chosen["candidates"][0]["probe_auc"] == pytest.approx(0.8)
