"""Controls of distillation: teachers that know nothing of the image, trained like the others."""

from __future__ import annotations

import made_images
import numpy as np
import pandas as pd
import pytest

from cxrfmkd.datasets.records import targets
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Distillation
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.training.checkpoints import Checkpoints
from cxrfmkd.training.controls import control_vectors, of_other_patients
from cxrfmkd.training.distillation import distill
from cxrfmkd.training.jobs import Job
from cxrfmkd.training.teachers import embeddings
from cxrfmkd.vocabulary.losses import CONTROLS

made_images.add_tiny_backbone()
TABLES = made_images.records({"train": 60, "val": 40, "test": 2})
IMAGES, TEACHER = made_images.arrays(TABLES)
PARTS = {"train": TABLES["train"], "val": TABLES["val"]}
VECTORS = {split: embeddings(TEACHER, table.image_id) for split, table in PARTS.items()}


def made(control: str) -> dict[str, np.ndarray]:
    return control_vectors(control, VECTORS, PARTS, IMAGES, "tiny", "normalised")


def test_no_image_keeps_a_vector_of_its_own_patient_and_none_is_lost():
    rng = np.random.default_rng(0)
    patients = pd.Series(rng.integers(0, 25, 80).astype(str))
    vectors = np.arange(80, dtype=np.float32)[:, None]
    dealt = of_other_patients(vectors, patients)
    assert sorted(dealt.ravel()) == list(range(80))
    assert (patients.to_numpy()[dealt.ravel().astype(int)] != patients.to_numpy()).all()
    np.testing.assert_array_equal(dealt, of_other_patients(vectors, patients))
    with pytest.raises(InputError, match="one has more than half of the 3 images"):
        of_other_patients(vectors[:3], pd.Series(["a", "a", "b"]))


@pytest.mark.parametrize("control", CONTROLS)
def test_controls_have_the_teachers_size_mean_and_deviation(control):
    """So that the loss, and what a rate of learning means, are those of the other students."""
    vectors = made(control)
    for split, values in vectors.items():
        assert values.shape == VECTORS[split].shape
        assert values.dtype == np.float32
    train, teacher = vectors["train"], VECTORS["train"]
    # float32 sums of 60 vectors: 60 x 6e-8 of the largest.
    np.testing.assert_allclose(train.mean(0), teacher.mean(0), atol=1e-4 * abs(teacher).max())
    np.testing.assert_allclose(train.std(0), teacher.std(0), rtol=1e-3)
    assert not np.allclose(train, teacher, rtol=1e-2)
    np.testing.assert_array_equal(train, made(control)["train"])


def test_the_labels_as_teacher_say_the_labels_and_nothing_else():
    labels = targets(PARTS["train"])
    train = made("labels")["train"]
    _, first, which = np.unique(labels, axis=0, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(train, train[first][which.ravel()])


@pytest.mark.parametrize("control", CONTROLS)
def test_a_student_of_a_control_is_trained_by_the_loss_itself(control):
    result = distill(
        IMAGES,
        TEACHER,
        TABLES["train"],
        TABLES["val"],
        loss=f"mse-{control}",
        settings=Distillation(epochs=2, batch_size=15),
        job=Job(1, Compute(weights="none"), Checkpoints(None)),
        backbone="tiny",
    )
    assert result.run["loss"] == f"mse-{control}"
    assert {"val_mse", "val_loss"} <= set(result.history)
    assert len(result.history) == 2
