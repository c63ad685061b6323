"""Closeness of student and teacher: measures against oracles; a mean vector flatters none."""

import json
import subprocess
import sys

import numpy as np
import pytest
from certificates import rounding
from locations import SCRIPTS
from made_dataset import make
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

from cxrfmkd.assessment.controls import (
    PENALTIES,
    assess,
    best_linear_map,
    control_embeddings,
    macro_auc,
)
from cxrfmkd.assessment.measures import (
    centred_cosine,
    cosine,
    measure,
    neighbour_overlap,
    overall_r_squared,
    r_squared,
    retrieval,
)
from cxrfmkd.datasets.records import read_records
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_json

SCRIPT = SCRIPTS / "assess_student.py"


@pytest.fixture
def pair():
    """A teacher with a dominant mean vector, and a student that explains half of what varies."""
    random = np.random.default_rng(0)
    mean = 10 * random.normal(size=20)
    teacher = mean + random.normal(size=(80, 20)) * np.linspace(0.2, 2, 20)
    student = teacher + random.normal(size=(80, 20))
    return student.astype("f4"), teacher.astype("f4")


def test_cosines_and_r_squared_equal_scikit_learn(pair):
    # In float64 sums of at most 80 terms of size 1: rounding of 1e-14.
    student, teacher = (array.astype(float) for array in pair)
    exact = {"rtol": 0, "atol": 1e-12}
    expected = np.diag(cosine_similarity(student, teacher))
    np.testing.assert_allclose(cosine(student, teacher), expected, **exact)
    centre = teacher.mean(0)
    expected = np.diag(cosine_similarity(student - centre, teacher - centre))
    np.testing.assert_allclose(centred_cosine(student, teacher, centre), expected, **exact)
    expected = r2_score(teacher, student, multioutput="raw_values")
    np.testing.assert_allclose(r_squared(student, teacher), expected, rtol=1e-11)
    expected = r2_score(teacher, student, multioutput="variance_weighted")
    assert overall_r_squared(student, teacher) == pytest.approx(expected, abs=1e-12)


def test_constant_dimension_has_no_r_squared(pair):
    student, teacher = pair
    teacher[:, 3] = 2
    explained = r_squared(student, teacher)
    assert np.flatnonzero(np.isnan(explained)).tolist() == [3]
    assert measure(student, teacher, teacher)["r2_constant_dimensions"] == 1


def test_neighbours_and_retrieval_equal_brute_force(pair):
    student, teacher = pair
    s, t = student - teacher.mean(0), teacher - teacher.mean(0)
    close, across = (cosine_similarity(a, b) for a, b in ((t, t), (s, t)))
    own = cosine_similarity(s, s)
    shared = 0
    for i in range(len(s)):
        sets = []
        for matrix in (close, own):
            order = [j for j in np.argsort(-matrix[i]) if j != i]
            sets.append(set(order[:5]))
        shared += len(sets[0] & sets[1])
    assert neighbour_overlap(s, t, 5) == pytest.approx(shared / (5 * len(s)))
    for k, share in zip((1, 5), retrieval(s, t), strict=True):
        result = [i in np.argsort(-across[i])[:k] for i in range(len(s))]
        assert share == pytest.approx(np.mean(result))


def test_constant_predictor_is_flattered_by_the_raw_cosine_alone(pair):
    teacher = pair[1]
    measured = measure(np.full(teacher.shape, teacher.mean(0)), teacher, teacher)
    assert measured["cosine"] > 0.98
    for name in ("centred_cosine", "r2_overall", "r2_mean", "cka", "cka_debiased"):
        assert measured[name] == pytest.approx(0, abs=0.03), name
    assert measured["retrieval_top1"] == pytest.approx(1 / 80, abs=1e-3)
    assert measured["neighbour_overlap"] < 0.25


def test_perfect_student_reaches_every_ceiling(pair):
    teacher = pair[1].astype(float)
    measured = measure(teacher, teacher, teacher)
    ones = [
        name for name in measured if name.startswith(("cosine", "centred", "cka", "r2_o", "r2_m"))
    ]
    for name in [*ones, "neighbour_overlap", "retrieval_top1", "retrieval_top5"]:
        # float64; the debiased CKA is a ratio of sums of 80 x 80 terms.
        assert measured[name] == pytest.approx(1, abs=1e-10), name
    assert measured["mse"] == 0


def test_directions_forgive_a_free_length(pair):
    student, teacher = pair
    # Powers of two, by which scaling is exact.
    scaled = student * 2.0 ** np.random.default_rng(0).integers(1, 4, (80, 1)).astype("f4")
    plain, free = (measure(array, teacher, teacher) for array in (student, scaled))
    assert free["centred_cosine"] < plain["centred_cosine"] - 0.2
    for name in ("centred_cosine_of_directions", "neighbour_overlap", "retrieval_top1"):
        assert free[name] == plain[name]


def test_best_linear_map_has_the_least_cross_validated_error_and_ignores_constant_features(pair):
    inputs, outputs = pair[0] * np.geomspace(0.1, 10, 20, dtype="f4"), pair[1][:, :4]
    inputs[:, 2] = 7
    varies = np.arange(20) != 2
    x = inputs[:, varies].astype(float)
    x = (x - x.mean(0)) / x.std(0)
    scores, fits = [], []
    for penalty in PENALTIES:
        fit = Ridge(alpha=penalty * len(x)).fit(x, outputs.astype(float)).predict(x)
        hat = x @ np.linalg.solve(x.T @ x + penalty * len(x) * np.eye(19), x.T)
        scores.append(np.square(outputs - fit).sum() / (len(x) - np.trace(hat) - 1) ** 2)
        fits.append(fit)
    best = np.argmin(scores)
    assert 0 < best < len(PENALTIES) - 1
    linear = best_linear_map(inputs, outputs)
    assert not linear.weight[:, 2].any()
    # Gram matrix and products are float32 sums of 80 terms, off by 80 x 2^-24 at most; the
    # solution, by that times the condition number; the prediction, by its own float32 product too.
    values = np.linalg.eigvalsh(x.T @ x / len(x)) + PENALTIES[best]
    spread = np.abs(outputs - outputs.mean(0)).max()
    relative = 80 * 2.0**-24 * values[-1] / values[0]
    bound = relative * spread * np.linalg.norm(x, axis=1, keepdims=True)
    bound = bound + rounding(inputs, linear.weight, linear.bias)
    assert (np.abs(linear(inputs) - fits[best]) <= bound).all()
    assert bound.max() < 0.05 * spread


def test_macro_auc_leaves_out_findings_with_one_class():
    random = np.random.default_rng(0)
    targets = (random.random((50, 14)) < 0.4).astype("f4")
    logits = random.normal(size=(50, 14))
    targets[:, 3] = 0
    rest = [k for k in range(14) if k != 3]
    expected = roc_auc_score(targets[:, rest], logits[:, rest])
    assert macro_auc(targets, logits) == pytest.approx(expected)
    assert macro_auc(np.zeros((5, 14)), logits[:5]) is None


def test_controls_have_the_teachers_shape_and_break_what_they_should(pair):
    student, teacher = pair
    features = np.random.default_rng(2).normal(size=(80, 9)).astype("f4")
    controls = control_embeddings(teacher, (student, student[:30]), (features, features[:30]))
    assert {rows.shape for pair in controls.values() for rows in pair} == {(80, 20), (30, 20)}
    shuffled = controls["shuffled"][0]
    assert not np.array_equal(shuffled, student)
    np.testing.assert_array_equal(np.sort(shuffled, 0), np.sort(student, 0))


@pytest.fixture
def dataset(tmp_path):
    paths = make(tmp_path)
    features, teacher = (KeyedArray.open(paths[name]) for name in ("features", "teacher"))
    weight, *_ = np.linalg.lstsq(features.data - features.data.mean(0), teacher.data, rcond=None)
    bias = teacher.data.mean(0) - features.data.mean(0) @ weight
    layers = {"projection.weight": np.ascontiguousarray(weight.T), "projection.bias": bias}
    save_file(layers, tmp_path / "student.safetensors")
    random = np.random.default_rng(4).normal(size=(len(features), 6)).astype("f4")
    KeyedArray(random, features.index, {}, "control").save(tmp_path / "control")
    return paths | {"weights": tmp_path / "student.safetensors", "control": tmp_path / "control"}


def test_student_stands_clear_of_every_control(dataset, tmp_path):
    out = tmp_path / "quality.json"
    spec = {"loss": "mse", "seeds": [7], "labels": {"uncertain": "zeros", "blank": "zeros"}}
    command = [sys.executable, SCRIPT, "--spec", json.dumps(spec), "--out", out]
    for name in ("features", "weights", "teacher", "train", "val"):
        command += [f"--{name}", dataset[name]]
    command += ["--control-features", dataset["control"]]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = read_json(out)
    assert set(report["controls"]) == {"mean_vector", "shuffled", "untrained", "untrained_linear"}
    assert report["students"] == [{"seed": 7} | report["student"]]
    assert report["student"]["r2_overall"] > 0.9
    assert report["student"]["probe_auc"] == pytest.approx(report["teacher"]["probe_auc"], abs=0.03)
    assert report["student"]["probe_auc"] > 0.8
    assert report["controls"]["mean_vector"]["probe_auc"] == 0.5
    for name, control in report["controls"].items():
        assert control["centred_cosine"] < report["student"]["centred_cosine"] - 0.3, name
        assert control["teacher_probe_auc"] < report["student"]["teacher_probe_auc"] - 0.1, name
    assert report["images"] == {"train": 120, "val": 60}
    assert "test/" not in out.read_text()


def test_student_of_another_teacher_is_refused(dataset):
    layers = {"projection.weight": np.zeros((9, 12), "f4"), "projection.bias": np.zeros(9, "f4")}
    save_file(layers, dataset["weights"])
    opened = {name: KeyedArray.open(dataset[name]) for name in ("features", "control", "teacher")}
    tables = [read_records(dataset[split]) for split in ("train", "val")]
    with pytest.raises(InputError, match=r"embeddings have 9 numbers, those of .* 7"):
        assess(
            {"labels": {"uncertain": "zeros", "blank": "zeros"}, "seeds": []},
            [opened["features"]],
            [dataset["weights"]],
            opened["control"],
            opened["teacher"],
            *tables,
        )


def test_the_quality_of_a_loss_is_the_mean_over_its_students(dataset):
    layers = load_file(dataset["weights"])
    worse = dataset["weights"].with_name("worse.safetensors")
    save_file(layers | {"projection.weight": -layers["projection.weight"]}, worse)
    features, control, teacher = (
        KeyedArray.open(dataset[name]) for name in ("features", "control", "teacher")
    )
    tables = [read_records(dataset[split]) for split in ("train", "val")]
    spec = {"seeds": [3, 4], "labels": {"uncertain": "zeros", "blank": "zeros"}}
    weights = [dataset["weights"], worse]
    quality = assess(spec, [features] * 2, weights, control, teacher, *tables)
    good, bad = quality["students"]
    assert (good["seed"], bad["seed"]) == (3, 4)
    assert good["centred_cosine"] > 0.9 > bad["centred_cosine"]
    for name in ("centred_cosine", "probe_auc"):
        assert quality["student"][name] == pytest.approx((good[name] + bad[name]) / 2)
    quantiles = [of["r2_quantiles"]["0.5"] for of in (good, bad)]
    assert quality["student"]["r2_quantiles"]["0.5"] == pytest.approx(sum(quantiles) / 2)
    assert quality["student"]["gallery"] == good["gallery"]
