"""The demo's stand-in teacher: the real signature, reproducible, fast, true to the image."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from locations import SHARED
from made_teachers import drawing
from PIL import Image

from cxrfmkd.study.settings import Teacher
from cxrfmkd.teacher.embedding import embed
from cxrfmkd.teacher.feeding import encode_image
from cxrfmkd.teacher.images import encode_png
from cxrfmkd.teacher.model import Model

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tensorflow

NIH = SHARED / "data" / "nih"


@pytest.fixture(scope="session")
def model(demo_teacher):
    return Model(demo_teacher, "demo")


def vector(model, image: np.ndarray) -> np.ndarray:
    return model.vector(encode_png(image))


def ridge_auc(
    features: np.ndarray, truth: np.ndarray, groups: np.ndarray, penalty: float = 0.3
) -> np.ndarray:
    """AUC of each column of truth (n, k), by ridge regression, 5 folds by group: shape (k,)."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold

    scores = np.zeros_like(truth)
    for train, test in GroupKFold(5).split(features, groups=groups):
        middle, spread = features[train].mean(0), features[train].std(0) + 1e-9
        a, b = (features[train] - middle) / spread, (features[test] - middle) / spread
        kernel = a @ a.T
        kernel += penalty * np.trace(kernel) / len(kernel) * np.eye(len(kernel))
        scores[test] = b @ (a.T @ np.linalg.solve(kernel, truth[train] - truth[train].mean(0)))
    return np.array([roc_auc_score(truth[:, i], scores[:, i]) for i in range(truth.shape[1])])


def test_signature_is_the_real_one(model):
    takes, gives = model.signature.structured_input_signature[1], model.signature.structured_outputs
    assert {name: kind.dtype.name for name, kind in takes.items()} == {"input_example": "string"}
    assert {name: tuple(kind.shape) for name, kind in gives.items()} == {
        "feature_maps_0": (1, 8, 8, 1376)
    }
    assert not model.takes_batches


def test_same_seed_gives_the_same_embeddings(model, tmp_path):
    from cxrfmkd.teacher.demo import build

    build(tmp_path / "again", seed=42)
    build(tmp_path / "other", seed=1)
    image = drawing(0)
    again, other = (Model(tmp_path / name, "demo") for name in ("again", "other"))
    assert np.array_equal(vector(again, image), vector(model, image))
    assert not np.allclose(vector(other, image), vector(model, image))


def test_contrast_and_brightness_do_not_matter_as_in_the_real_graph(model):
    image = drawing(0) // 3
    # Both stretch to the same greys but for float32 rounding, 1e-7, which the steepest logarithm
    # (floor 3e-4) multiplies by 3,000. Two images differ by 1.
    assert np.allclose(vector(model, image), vector(model, 2 * image + 9), atol=1e-3)


def test_images_share_a_dominant_vector_with_spikes(model):
    vectors = np.stack([vector(model, drawing(i, 120, 100)) for i in range(12)])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert 0.8 < (unit @ unit.T)[np.triu_indices(12, 1)].mean() < 0.99
    common = vectors.mean(0)
    assert 4 <= (np.abs(common) > 7).sum() <= 12
    assert np.abs(vectors).max() < 20


def blob(y: float, x: float, seed: int) -> np.ndarray:
    """A noisy image with a bright disc at (y, x)."""
    noise = np.random.default_rng(seed).normal(90, 25, (96, 80))
    rows, columns = np.mgrid[0:96, 0:80]
    return np.clip(noise + 90 * (np.hypot(rows - y, columns - x) < 9), 0, 255).astype(np.uint8)


def test_what_is_where_survives_the_mean_over_the_map(model):
    """Present or not, left or right, high or low: a line through the vectors tells each."""
    random = np.random.default_rng(0)
    count = 160
    truth = random.random((count, 3)) < 0.5
    places = random.normal(0, 4, (count, 2)) + np.where(truth[:, 1:], 24, 64) * [1, 0.85]
    present = truth[:, 0]
    images = [blob(*(place if present[i] else (-99, -99)), i) for i, place in enumerate(places)]
    vectors = np.stack([vector(model, image) for image in images])
    assert ridge_auc(vectors, truth[:, :1].astype(float), np.arange(count))[0] > 0.95
    assert (
        ridge_auc(vectors[present], truth[present, 1:].astype(float), np.arange(present.sum()))
        > 0.9
    ).all()


@pytest.mark.slow
def test_image_of_the_demo_takes_few_milliseconds(model, tmp_path):
    Image.fromarray(drawing(0, 256, 256)).save(tmp_path / "image.png")
    model.vector(encode_image(tmp_path / "image.png").png)
    start = time.process_time()
    for _ in range(50):
        model.vector(encode_image(tmp_path / "image.png").png)
    assert (time.process_time() - start) / 50 < 0.03


@pytest.mark.slow
@pytest.mark.real
def test_real_images_are_told_apart_above_the_floor_of_any_embedding(demo_teacher, tmp_path):
    """The floors are those of 48 x 48 pixels through PCA, given with the images."""
    if not NIH.exists():
        pytest.skip("the 999 real images of NIH ChestX-ray14 are not here")
    table = pd.read_csv(NIH / "Data_Entry_2017_v2020.csv")
    records = pd.DataFrame(
        {"image_id": table["Image Index"].str[:-4], "path": table["Image Index"]}
    )
    settings = {"source": "savedmodel", "path": str(demo_teacher), "variant": "demo"}
    array = embed(
        records, NIH / "images", settings, Teacher(workers=1), tmp_path / "out", tmp_path / "shards"
    )
    truth = np.column_stack(
        [
            table["Patient Gender"] == "M",
            table["Finding Labels"] == "No Finding",
            table["Finding Labels"].str.contains("Effusion"),
        ]
    ).astype(float)
    auc = ridge_auc(array.take(records.image_id), truth, table["Patient ID"].to_numpy())
    assert (auc > [0.80, 0.82, 0.71]).all(), auc
