"""Students: their splits, their targets, their files."""

import json

import made_images
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import random_split

from cxrfmkd.networks.network import load_student
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Distillation
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.training.checkpoints import Checkpoints
from cxrfmkd.training.distillation import distill, plateau, split_validation
from cxrfmkd.training.jobs import Job
from cxrfmkd.training.scales import measure_scales
from cxrfmkd.training.standardisation import KINDS, Standardisation, balanced_rotation
from cxrfmkd.training.teachers import embeddings

made_images.add_tiny_backbone()
TABLES = made_images.records({"train": 60, "val": 40, "test": 2})
IMAGES, TEACHER = made_images.arrays(TABLES)
COMPUTE = Compute(weights="none")


def mse_tolerance(outputs, residuals):
    """Relative difference of two mean squares whose outputs come from two float32 passes."""
    size = float(np.linalg.norm(outputs) / np.linalg.norm(residuals))
    return 4 * made_images.FORWARD_ERROR * size


def student(
    loss="mse", seed=1, scales=None, checkpoints=None, compute=COMPUTE, teacher=TEACHER, **settings
):
    return distill(
        IMAGES,
        teacher,
        TABLES["train"],
        TABLES["val"],
        loss=loss,
        settings=Distillation(**{"epochs": 4, "batch_size": 15} | settings),
        job=Job(seed, compute, checkpoints or Checkpoints(None)),
        scales=scales,
        backbone="tiny",
    )


# --- the student
# ---------------------------------------------------------------------------------------


def test_a_student_learns_what_the_teacher_says():
    # Brightness is what a network with pooled features learns at once, whatever the order of its
    # sums.
    bright = IMAGES.data.mean((1, 2), dtype=np.float32)[:, None]
    embedded = (bright - bright.mean()) / bright.std() * np.float32([1, -1, 0.5, 2, -0.5, 1]) + 1
    result = student(
        teacher=KeyedArray(embedded, IMAGES.index, {}, "teacher"),
        epochs=20,
        batch_size=6,
        affine=False,
    )
    _, test = split_validation(TABLES["val"], "patient", 1)
    with torch.no_grad():
        outputs = result.network.eval()(torch.from_numpy(IMAGES.take(test.image_id))).numpy()
    expected = embedded[IMAGES.rows(test.image_id)]
    mse = np.square(outputs - expected).mean()
    tolerance = mse_tolerance(outputs, outputs - expected)
    assert mse == pytest.approx(result.run["best"]["test_loss"], rel=tolerance)
    assert mse < 0.5 * np.square(expected - expected.mean(0)).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_a_student_of_standardised_targets_still_speaks_the_teachers_language(kind):
    result = student(standardise_teacher=kind, epochs=2)
    _, test = split_validation(TABLES["val"], "patient", 1)
    standard = Standardisation.fit(TEACHER.take(TABLES["train"].image_id), kind)
    with torch.no_grad():
        outputs = result.network.eval()(torch.from_numpy(IMAGES.take(test.image_id))).numpy()
    # The reported loss is that of standardised outputs against standardised targets.
    residuals = standard.apply(outputs) - standard.apply(TEACHER.take(test.image_id))
    scale = np.abs(outputs) @ np.abs(standard.forward.T) if kind != "none" else outputs
    mse = pytest.approx(result.run["best"]["test_loss"], rel=mse_tolerance(scale, residuals))
    assert np.square(residuals).mean() == mse


def test_the_run_says_what_was_done():
    result = student("mse-cosine-0.6", scales={"mse": 0.5, "cosine": 0.1})
    assert result.run["best"].keys() == {"epoch", "val_loss", "test_loss"}
    assert result.run["scales"] == {"mse": 0.5, "cosine": 0.1}
    assert result.run["images"] == {"train": 60, "val": 28, "test": 12}
    # The same weights over the same batches.
    assert result.run["terms"]["val"]["loss"] == pytest.approx(result.run["best"]["val_loss"])
    assert set(result.run["plateau"]) == {"loss", "mse", "cosine"}
    assert result.run["parameters"]["trainable"] == result.run["parameters"]["total"]
    json.dumps(result.run, allow_nan=False)


def test_scales_of_the_settings_win_over_measured_ones():
    result = student(
        "mse-cosine-0.5",
        scales={"mse": 9, "cosine": 9},
        epochs=1,
        loss_scales={"mse": 1.0, "cosine": 2.0},
    )
    assert result.run["scales"] == {"mse": 1.0, "cosine": 2.0}


def test_the_relational_term_is_added_and_reported():
    result = student(relational_weight=0.5, epochs=1)
    row = result.history.iloc[0]
    # One product and one sum in float32, half an ulp each.
    assert row.val_loss == pytest.approx(row.val_mse + 0.5 * row.val_relational, rel=2.0**-23)


def test_raw_input_is_a_switch_that_the_weights_remember(tmp_path):
    result = student(compute=Compute(weights="none", input="raw"), epochs=1)
    result.network.save(tmp_path / "weights.safetensors")
    assert load_student(tmp_path / "weights.safetensors").input == "raw"


def test_flips_and_affine_moves_happen_only_where_asked_for():
    plain, same = (student(flip=False, affine=False).network.identity() for _ in range(2))
    assert plain == same
    assert plain != student(flip=True, affine=False).network.identity()
    assert plain != student(flip=False, affine=True).network.identity()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"loss": "mae"},
        {"learning_rate": 0.02},
        {"flip": True},
        {"compute": Compute(weights="none", input="raw")},
    ],
)
def test_another_distillation_does_not_go_on_from_this_ones_checkpoint(change, tmp_path, caplog):
    with pytest.raises(SystemExit), Checkpoints(tmp_path / "c", minutes=0) as checkpoints:
        student(checkpoints=checkpoints)
    with Checkpoints(tmp_path / "c") as checkpoints:
        result = student(checkpoints=checkpoints, **change)
    assert result.run["resumed"] == 0
    assert "starting afresh" in caplog.text
    assert result.network.identity() == student(**change).network.identity()


# --- its validation and test parts
# ---------------------------------------------------------------------


def table(images, patients, seed=0):
    owners = np.random.default_rng(seed).integers(0, patients, images)
    return pd.DataFrame(
        {"image_id": [f"i{i}" for i in range(images)], "patient_id": [f"p{o}" for o in owners]}
    )


@pytest.mark.parametrize("seed", range(5))
def test_by_patient_no_patient_is_in_both_parts_and_the_seed_does_not_matter(seed):
    records = table(500, 120, seed)
    val, test = split_validation(records, "patient", seed)
    assert not set(val.patient_id) & set(test.patient_id)
    assert sorted([*val.image_id, *test.image_id]) == sorted(records.image_id)
    assert 0.65 < len(val) / 500 <= 0.7
    again, _ = split_validation(records.sample(frac=1, random_state=1), "patient", seed + 1)
    assert set(again.image_id) == set(val.image_id)


@pytest.mark.parametrize("n", [10, 31, 12_673, 17_665])
def test_by_image_the_parts_are_those_of_torchs_random_split(n):
    records = table(n, n)
    val, test = split_validation(records, "image-by-seed", 42)
    expected, _ = random_split(range(n), [0.7, 0.3], torch.Generator().manual_seed(42))
    assert set(val.image_id) == {f"i{i}" for i in expected.indices}
    assert len(val) + len(test) == n
    sizes = {12_673: (8_872, 3_801), 17_665: (12_366, 5_299)}  # the thesis's, from its logs
    assert (len(val), len(test)) == sizes.get(n, (len(val), len(test)))
    assert set(split_validation(records, "image-by-seed", 43)[0].image_id) != set(val.image_id)


def test_a_validation_set_of_one_patient_cannot_be_divided():
    with pytest.raises(InputError, match="More validation patients are needed"):
        split_validation(table(9, 1), "patient", 1)


# --- targets
# -------------------------------------------------------------------------------------------


def test_a_teacher_with_a_broken_vector_is_refused():
    vectors = np.ones((3, 4), np.float32)
    vectors[1, 2] = np.nan
    broken = KeyedArray(vectors, pd.DataFrame({"image_id": ["a", "b", "c"]}), {}, "teacher")
    assert len(embeddings(broken, ["a", "c"])) == 2
    with pytest.raises(InputError, match=r"teacher: 1 embeddings are not finite \(rows 1 of"):
        embeddings(broken, ["c", "b"])


@pytest.fixture
def targets():
    random = np.random.default_rng(0)
    correlated = random.standard_normal((300, 3)) @ random.standard_normal((3, 20)) * 4
    noise = random.standard_normal((300, 20)) * np.linspace(0.1, 5, 20)
    # In float64, so that what follows holds to its rounding, 2e-16 a step, on any CPU.
    targets = correlated + noise + 12
    targets[:, 7] = 2.5
    return targets


def test_per_dimension_every_dimension_has_mean_zero_and_variance_one(targets):
    standardised = Standardisation.fit(targets, "per-dimension").apply(targets)
    alive = np.arange(20) != 7
    np.testing.assert_allclose(standardised.mean(0), 0, atol=1e-11)
    np.testing.assert_allclose(standardised[:, alive].var(0), 1, rtol=1e-11)
    assert not standardised[:, 7].any()


def test_phi_s_is_one_scale_and_a_rotation_with_equal_variance_everywhere(targets):
    standard = Standardisation.fit(targets, "phi-s")
    standardised = standard.apply(targets)
    np.testing.assert_allclose(standardised.var(0), 1, rtol=1e-9)
    np.testing.assert_allclose(standardised.mean(0), 0, atol=1e-11)
    scale = np.linalg.norm(standard.forward[0])
    np.testing.assert_allclose(
        standard.forward @ standard.forward.T, np.eye(20) * scale**2, atol=1e-9
    )
    before = np.linalg.norm(targets[:, None] - targets[None], axis=-1)
    after = np.linalg.norm(standardised[:, None] - standardised[None], axis=-1)
    np.testing.assert_allclose(after, before * scale, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_folding_undoes_the_standardisation(kind, targets):
    standard = Standardisation.fit(targets, kind)
    layer = nn.Linear(5, 20).double()
    inputs = torch.randn(9, 5, generator=torch.manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        standardised = layer(inputs).numpy()
        standard.fold(layer)
        back = layer(inputs).numpy()
    np.testing.assert_allclose(standard.apply(back), standardised, atol=1e-11)


def test_a_rotation_balances_any_variances():
    for variances in ([1.0], [3.0, 0.0], [5.0, 5.0, 5.0], np.geomspace(1e-6, 1e3, 45)):
        variances = np.asarray(variances)
        rotation = balanced_rotation(variances)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(len(variances)), atol=1e-12)
        diagonal = np.diag(rotation * variances @ rotation.T)
        np.testing.assert_allclose(diagonal, variances.mean(), rtol=1e-9)


def test_an_unknown_standardisation_is_refused(targets):
    with pytest.raises(InputError, match="standardise_teacher is 'whitening'"):
        Standardisation.fit(targets, "whitening")


# --- plateaus
# ------------------------------------------------------------------------------------------


def test_a_plateau_is_the_mean_of_the_last_tenth_of_the_epochs():
    history = pd.DataFrame({"epoch": range(40), "val_loss": range(40), "val_mse": range(40, 80)})
    assert plateau(history) == {"loss": 37.5, "mse": 77.5}
    assert plateau(history.head(3)) == {"loss": 2.0, "mse": 42.0}


def write(path, name, **levels):
    path.write_text(json.dumps({"loss": name, "plateau": levels}))
    return path


def test_scales_are_the_mean_plateaus_of_the_mse_and_of_the_cosine_students(tmp_path):
    mse = [write(tmp_path / f"m{s}.json", "mse", mse=0.07 + s / 100, loss=9) for s in (0, 1)]
    cosine = [write(tmp_path / "c.json", "cosine", cosine=0.008, loss=9)]
    assert measure_scales(mse, cosine) == pytest.approx({"mse": 0.075, "cosine": 0.008})


def test_scales_measured_by_students_are_those_of_their_histories(tmp_path):
    runs = {loss: student(loss, epochs=2) for loss in ("mse", "cosine")}
    paths = {
        loss: [write(tmp_path / f"{loss}.json", loss, **result.run["plateau"])]
        for loss, result in runs.items()
    }
    expected = {loss: result.history[f"val_{loss}"].iloc[-1] for loss, result in runs.items()}
    assert measure_scales(**paths) == pytest.approx(expected)


def test_students_of_another_loss_or_none_give_no_scale(tmp_path):
    mse, cosine = (
        write(tmp_path / f"{loss}.json", loss, **{loss: 0.1}) for loss in ("mse", "cosine")
    )
    with pytest.raises(InputError, match="plateau of cosine needs at least one student"):
        measure_scales([mse], [])
    with pytest.raises(InputError, match=r"mse\.json: a student of loss 'mse', not of 'cosine'"):
        measure_scales([mse], [mse])
    with pytest.raises(InputError, match=r"the plateau of mse is 0\.0"):
        measure_scales([write(tmp_path / "zero.json", "mse", mse=0.0)], [cosine])
