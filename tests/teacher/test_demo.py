"""The demo's stand-in teacher: the real signature, reproducible, fast, and true to what is on an image."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from locations import SHARED
from made_teachers import drawing, write_images
from PIL import Image

from cxrfmkd import cli
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Teacher
from cxrfmkd.teacher.embedding import embed
from cxrfmkd.teacher.example import example, png
from cxrfmkd.teacher.feeding import pack
from cxrfmkd.teacher.model import Model

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tensorflow

NIH = SHARED / "data" / "nih"


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Path:
    from cxrfmkd.teacher.demo import build

    folder = tmp_path_factory.mktemp("demo") / "teacher"
    build(folder, seed=42)
    return folder


@pytest.fixture(scope="session")
def model(demo):
    from cxrfmkd.teacher import runtime

    return Model(runtime.tensorflow(), demo, "demo")


def vector(model, image: np.ndarray) -> np.ndarray:
    return model.vectors([example(png(image))])[0]


def ridge_auc(
    features: np.ndarray, truth: np.ndarray, groups: np.ndarray, penalty: float = 0.3
) -> np.ndarray:
    """AUC of each column of truth (n, k), by ridge regression, 5 folds that keep groups whole: shape (k,)."""
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
    assert not model.batches


def test_same_seed_gives_the_same_embeddings(model, tmp_path):
    from cxrfmkd.teacher.demo import build

    build(tmp_path / "again", seed=42)
    build(tmp_path / "other", seed=1)
    image = drawing(0)
    again, other = (Model(model.tf, tmp_path / name, "demo") for name in ("again", "other"))
    assert np.array_equal(vector(again, image), vector(model, image))
    assert not np.allclose(vector(other, image), vector(model, image))


def test_contrast_and_brightness_do_not_matter_as_in_the_real_graph(model):
    image = drawing(0) // 3
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
    images = [
        blob(*(place if there else (-99, -99)), i)
        for i, (there, place) in enumerate(zip(truth[:, 0], places, strict=True))
    ]
    vectors = np.stack([vector(model, image) for image in images])
    there = truth[:, 0]
    assert ridge_auc(vectors, truth[:, :1].astype(float), np.arange(count))[0] > 0.95
    assert (
        ridge_auc(vectors[there], truth[there, 1:].astype(float), np.arange(there.sum())) > 0.9
    ).all()


@pytest.mark.slow
def test_image_of_the_demo_takes_few_milliseconds(model, tmp_path):
    Image.fromarray(drawing(0, 256, 256)).save(tmp_path / "image.png")
    model.vectors([pack(tmp_path / "image.png").example])
    start = time.process_time()
    for _ in range(50):
        model.vectors([pack(tmp_path / "image.png").example])
    assert (time.process_time() - start) / 50 < 0.03


@pytest.mark.slow
@pytest.mark.real
def test_real_images_are_told_apart_above_the_floor_of_any_embedding(demo, tmp_path):
    """The floors are those of 48 x 48 pixels through PCA, given with the images."""
    if not NIH.exists():
        pytest.skip("the 999 real images of NIH ChestX-ray14 are not here")
    table = pd.read_csv(NIH / "Data_Entry_2017_v2020.csv")
    records = pd.DataFrame(
        {"image_id": table["Image Index"].str[:-4], "path": table["Image Index"]}
    )
    settings = {"source": "savedmodel", "path": str(demo), "variant": "demo"}
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


@pytest.fixture
def images(tmp_path) -> pd.DataFrame:
    return write_images(tmp_path / "images", 5)


def command(*words: object) -> None:
    cli.main([str(word) for word in words])


def test_embed_command_writes_a_folder_or_a_table_that_a_study_reads(tmp_path, images, demo):
    model = ("--source", "savedmodel", "--path", demo, "--variant", "demo", "--workers", 1)
    command("embed", tmp_path / "images", *model, "--out", tmp_path / "array")
    array = KeyedArray.open(tmp_path / "array")
    assert set(array.index.image_id) == set(images.image_id)
    assert array.meta["variant"] == "demo"
    images.to_csv(tmp_path / "images.csv", index=False)
    command(
        "embed",
        tmp_path / "images.csv",
        "--images",
        tmp_path / "images",
        *model,
        "--out",
        tmp_path / "table.parquet",
    )
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"images", "array", "images.csv", "table.parquet", "table.excluded.csv"}
    settings = {"source": "parquet", "path": str(tmp_path / "table.parquet"), "variant": "demo"}
    again = embed(images, tmp_path / "images", settings, Teacher(), tmp_path / "again", tmp_path)
    assert np.array_equal(again.take(images.image_id), array.take(images.image_id))


def test_embed_command_refuses_what_it_cannot_read(tmp_path, images, capsys):
    source = ("--source", "npy", "--path", "x", "--variant", "demo", "--out", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    images.rename(columns={"path": "file"}).to_csv(tmp_path / "columns.csv", index=False)
    images.iloc[[0, 0]].to_csv(tmp_path / "twice.csv", index=False)
    for name, message in (
        ("none", "no such folder or file"),
        ("empty", "no image in it"),
        ("columns.csv", "no column path"),
        ("twice.csv", "1 images have the image_id of another"),
    ):
        with pytest.raises(SystemExit):
            command("embed", tmp_path / name, *source)
        assert message in capsys.readouterr().err


def test_doctor_tells_what_a_model_is(demo, capsys):
    command("doctor", "--model", demo, "--variant", "demo", "--images", 1000)
    said = capsys.readouterr().out
    for line in (
        r"takes +input_example: string",
        r"gives +feature_maps_0: float32 \(1, 8, 8, 1376\)",
        r"decodes with +DecodePng to uint16",
        r"batches +one image a call",
        r"embedding +1376 numbers",
        r"8-bit values in 16 bits +seen as they are",
        r"time for 1,000 images +\d",
        r"tensorflow +\d",
    ):
        assert pd.Series([said]).str.contains(line).all(), line
    with pytest.raises(SystemExit):
        command("doctor", "--model", demo / "variables")
    assert "there is no SavedModel" in capsys.readouterr().err


def test_doctor_tells_a_graph_to_which_low_range_images_are_black(tmp_path, capsys):
    from made_teachers import write_tower

    command("doctor", "--model", write_tower(tmp_path / "uint8", decode="uint8"))
    assert "black to this graph" in capsys.readouterr().out


def test_doctor_and_embedding_refuse_an_absent_gpu(demo):
    from cxrfmkd.teacher import runtime

    if runtime.tensorflow().config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(SystemExit):
        command("doctor", "--model", demo, "--device", "gpu")
    with pytest.raises(InputError, match="must be cpu or gpu"):
        runtime.choose_device(runtime.tensorflow(), "tpu")
