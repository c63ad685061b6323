"""SavedModels as teachers: batches, decoding, devices, the Q-Former, and models that misbehave."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_teachers import (
    DIMENSION,
    drawing,
    write_images,
    write_qformer,
    write_tf1_tower,
    write_tower,
)
from PIL import Image

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Teacher
from cxrfmkd.teacher.embedding import embed
from cxrfmkd.teacher.examples import serialize_example
from cxrfmkd.teacher.images import encode_png, read_image
from cxrfmkd.teacher.model import Model, decoders, model_folder
from cxrfmkd.teacher.tensorflow_setup import load_tensorflow

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tensorflow
tf = load_tensorflow()

# A vector of the towers is 25 float32 products of order 1, summed in any order: 25 x 6e-8 x 4.
ROUNDING = 1e-5
# 8 bits round a pixel by up to 1/255, which 25 weights of order 1 and the mean of 64 cells average:
# sqrt(25 / 64) / 255 is one deviation of the largest possible error.
EIGHT_BITS = 0.05


@pytest.fixture(scope="session")
def towers(tmp_path_factory) -> dict[str, Path]:
    """Every stand-in for ELIXR-C, by what it does with a batch or how it decodes."""
    root = tmp_path_factory.mktemp("towers")
    made = {
        batch: write_tower(root / batch, batch)
        for batch in ("any", "first", "static1", "raise1", "reshape1")
    }
    made["uint8"] = write_tower(root / "uint8", decode="uint8")
    made["tf1"] = write_tf1_tower(root / "tf1")
    return made


@pytest.fixture(scope="session")
def qformer(tmp_path_factory) -> Path:
    return write_qformer(tmp_path_factory.mktemp("qformer"))


@pytest.fixture
def images(tmp_path) -> pd.DataFrame:
    return write_images(tmp_path / "images", 7)


def opened(folder: Path, variant: str = "demo", **settings) -> Model:
    return Model(folder, variant, **settings)


def embedded(
    tmp_path, images, folder, variant="demo", dimension=DIMENSION, failed=0.0, out="out", **settings
):
    settings = {"source": "savedmodel", "path": str(folder), "variant": variant, **settings}
    teacher = Teacher(dimension=dimension, workers=1, shard=3, failed=failed)
    return embed(
        images, tmp_path / "images", settings, teacher, tmp_path / out, tmp_path / f"{out}-shards"
    )


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_stored_png_decodes_to_its_pixels(dtype):
    image = drawing(0).astype(dtype) * (1 if dtype == "uint8" else 257)
    assert np.array_equal(tf.io.decode_png(encode_png(image), 1, dtype).numpy()[..., 0], image)


@pytest.mark.parametrize(
    ("tower", "takes_two"),
    [("any", True), ("first", False), ("static1", False), ("raise1", False), ("tf1", False)],
)
def test_probe_finds_out_whether_a_batch_can_be_trusted(towers, tower, takes_two):
    assert opened(towers[tower]).takes_batches is takes_two


@pytest.mark.parametrize("tower", ["any", "first", "static1", "raise1", "reshape1", "tf1"])
@pytest.mark.parametrize("batch", [1, 4])
def test_every_image_gets_its_own_vector_whatever_the_model_does_with_batches(
    tmp_path, images, towers, tower, batch
):
    array = embedded(tmp_path, images, towers[tower], batch=batch)
    model = opened(towers["any"])
    for image_id, path in zip(images.image_id, images.path, strict=True):
        alone = model.vector(encode_png(read_image(tmp_path / "images" / path)))
        assert np.allclose(array.take([image_id])[0], alone, atol=ROUNDING)


def test_fewer_rows_than_images_are_an_error_at_any_call(towers):
    two = [serialize_example(encode_png(drawing(i))) for i in range(2)]
    with pytest.raises(
        InputError, match=r"2 images went in and an answer of shape \(1, 8, 8, 16\)"
    ):
        opened(towers["first"]).vectors(two)


@pytest.mark.parametrize("batch", [1, 4])
def test_corrupt_image_amid_a_batch_shifts_no_other(tmp_path, images, towers, batch):
    intact = embedded(tmp_path, images, towers["any"], batch=batch)
    (tmp_path / "images" / images.path[2]).write_bytes(b"\x89PNG broken")
    array = embedded(tmp_path, images, towers["any"], failed=0.2, batch=batch, out="again")
    remaining = [name for i, name in enumerate(images.image_id) if i != 2]
    assert list(array.index.image_id) == remaining
    assert np.array_equal(array.take(remaining), intact.take(remaining))


def test_image_that_the_model_refuses_is_a_row_and_spares_its_batch(
    tmp_path, images, towers, monkeypatch
):
    from cxrfmkd.teacher import feeding

    def encode(path, level=0):
        png = b"no PNG" if path.parent.name == "s4" else encode_png(read_image(path))
        return feeding.EncodedImage(path, png, 48, 40, 8)

    monkeypatch.setattr(feeding, "encode_image", encode)
    array = embedded(tmp_path, images, towers["any"], failed=0.2, batch=3)
    assert array.meta["excluded"] == [images.image_id[4]]
    assert "refused by the model" in pd.read_csv(tmp_path / "out/excluded.csv").reason[0]


def test_interrupted_extraction_resumes_to_the_same_bytes(tmp_path, images, towers, monkeypatch):
    from cxrfmkd.teacher import savedmodel

    intact = embedded(tmp_path, images, towers["any"])
    ask, asked = savedmodel.Model.vectors, []

    def fail_at_the_fifth(self, examples):
        asked.append(len(examples))
        if len(asked) == 2 + 5:
            raise KeyboardInterrupt
        return ask(self, examples)

    monkeypatch.setattr(savedmodel.Model, "vectors", fail_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        embedded(tmp_path, images, towers["any"], out="again")
    again = embedded(tmp_path, images, towers["any"], out="again")
    assert len(asked) == 7 + 2 + 4  # two canaries a start; the first shard is not made again
    assert np.array_equal(again.data, intact.data)
    for part in (tmp_path / "out-shards").iterdir():
        assert part.read_bytes() == (tmp_path / "again-shards" / part.name).read_bytes()


def test_low_range_16_bit_is_black_to_an_8_bit_graph_and_is_never_sent(tmp_path, towers):
    image = drawing(0)
    content = encode_png(image.astype(np.uint16) * 256)
    low = tf.io.encode_png(image[..., None].astype(np.uint16)).numpy()  # as newer clients send it
    for tower, sees_it in (("uint8", False), ("any", True)):
        model = opened(towers[tower])
        vector, full_range, low_range = map(model.vector, (encode_png(image), content, low))
        assert np.allclose(vector, full_range, atol=ROUNDING)
        assert np.allclose(vector, low_range, atol=ROUNDING) is sees_it
    (tmp_path / "low.png").write_bytes(low)
    model = opened(towers["uint8"])
    rescued = model.vector(encode_png(read_image(tmp_path / "low.png")))
    assert np.allclose(rescued, model.vector(encode_png(image)), atol=EIGHT_BITS)


def test_graphs_of_either_depth_give_deep_images_one_vector(tmp_path, towers):
    deep = (drawing(0).astype(np.uint16) << 4) + 100
    Image.fromarray(deep).save(tmp_path / "deep.png")
    content = serialize_example(encode_png(read_image(tmp_path / "deep.png")))
    by_8, by_16 = (opened(towers[name]).vectors([content])[0] for name in ("uint8", "any"))
    assert np.allclose(by_8, by_16, atol=EIGHT_BITS)


def test_model_that_sees_nothing_is_found_by_its_canaries(tmp_path, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("blind")
    module = tf.Module()
    module.embed = tf.function(
        lambda input_example: {
            "feature_maps_0": tf.ones([tf.size(input_example), 8, 8, DIMENSION]) / 3
        },
        input_signature=[tf.TensorSpec([None], tf.string, "input_example")],
    )
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.embed})
    with pytest.raises(InputError, match="two different images have the same embedding"):
        embedded(tmp_path, images, folder)


@pytest.mark.parametrize(("pooling", "width"), [("mean", 1), ("flatten", 32)])
@pytest.mark.parametrize(
    ("variant", "channels"), [("elixr-b-img", 768), ("elixr-b-contrastive", 128)]
)
def test_qformer_tokens_are_those_of_its_own_call(
    tmp_path, images, towers, qformer, variant, channels, pooling, width
):
    array = embedded(
        tmp_path,
        images,
        towers["any"],
        variant,
        width * channels,
        qformer=str(qformer),
        pooling=pooling,
    )
    maps = opened(towers["any"]).maps(
        [serialize_example(encode_png(read_image(tmp_path / "images" / images.path[2])))]
    )
    answer = tf.saved_model.load(str(qformer)).signatures["serving_default"](
        image_feature=tf.constant(maps),
        ids=tf.zeros([1, 1, 128], tf.int32),
        paddings=tf.zeros([1, 1, 128]),
    )
    name = {"elixr-b-img": "img_emb", "elixr-b-contrastive": "all_contrastive_img_emb"}[variant]
    tokens = answer[name].numpy()[0]
    expected = tokens.ravel() if pooling == "flatten" else tokens.mean(0)
    # A token sums 32 float32 products of up to 10, and the mean 32 tokens: 64 x 6e-8 x 20 < 1e-4.
    assert np.allclose(array.take([images.image_id[2]])[0], expected, rtol=0, atol=1e-4)


def test_settings_that_no_model_can_meet_are_refused(tmp_path, images, towers, qformer):
    for variant, dimension, more, message in (
        ("cxrfm-v1", 1376, {}, "its weights were never released"),
        ("elixr-b-img", 768, {}, "need the Q-Former"),
        ("elixr-c-v2-gap", 1376, {"qformer": str(qformer)}, "nothing else does"),
        ("elixr-c-v2-gap", 1376, {}, "gives vectors of 16 numbers, but teacher.dimension is 1376"),
    ):
        with pytest.raises(InputError, match=message):
            embedded(tmp_path, images, towers["any"], variant, dimension, **more)
    with pytest.raises(InputError, match="there is no SavedModel"):
        embedded(tmp_path, images, tmp_path / "images")
    with pytest.raises(InputError, match="Is it the right folder of the download"):
        embedded(tmp_path, images, qformer)


def test_gpu_that_is_asked_for_and_absent_is_an_error(tmp_path, images, towers):
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(InputError, match="device is gpu, but TensorFlow sees no GPU"):
        embedded(tmp_path, images, towers["any"], device="gpu")


def test_numbered_folders_of_tensorflow_serving_are_found(tmp_path, towers):
    for version in ("2", "10"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "saved_model.pb").write_bytes(b"\x08\x01")
    assert model_folder(tmp_path) == tmp_path / "10"
    assert model_folder(towers["any"]) == towers["any"]


@pytest.mark.parametrize(
    ("tower", "dtype"), [("any", "uint16"), ("uint8", "uint8"), ("tf1", "uint8")]
)
def test_decoder_of_the_graph_is_named(towers, tower, dtype):
    assert decoders(opened(towers[tower])) == [("DecodePng", dtype)]


@pytest.mark.parametrize("subfolder", ["", "3"])
@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("saved_model.pb", b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        ("saved_model.pb", b"<!doctype html><title>Sign in</title>", "a web page"),
        ("saved_model.pb", b"", "the file is empty"),
        ("saved_model.pb", pickle.dumps([1.5]), "a Python pickle"),
        ("saved_model.pb", None, "damaged, cut short or no SavedModel"),
        ("variables/variables.index", b"version https://git-lfs.github.com/", "a Git LFS pointer"),
        ("variables/variables.data-00000-of-00001", b"<html></html>", "a web page"),
        ("variables/variables.index", None, "damaged, cut short or no SavedModel"),
    ],
)
def test_folder_that_is_no_savedmodel_is_named_with_what_to_fetch(
    towers, tmp_path, subfolder, file, content, message
):
    folder = tmp_path / "model" / subfolder
    shutil.copytree(towers["any"], folder)
    path = folder / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content is None else content)
    with pytest.raises(InputError, match=message) as error:
        opened(model_folder(tmp_path / "model"))
    assert str(folder) in str(error.value)
    assert "hf download" in str(error.value)
    assert "doctor --model" in str(error.value)
