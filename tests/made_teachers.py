"""Images, vectors and stand-in teachers, made where a test needs them; none of them is real."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
from PIL import Image

from cxrfmkd.study.settings import Teacher
from cxrfmkd.teacher.images import read_image
from cxrfmkd.teacher.rows import EmbeddingRow, EmbeddingSource

DIMENSION = 16


def drawing(seed: int, height: int = 48, width: int = 40) -> np.ndarray:
    """An image of smooth blobs: uint8 (height, width)."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    grey = np.zeros((height, width))
    for _ in range(4):
        cy, cx = random.uniform(0, 1, 2) * (height, width)
        grey += random.uniform(0.3, 1) * np.exp(
            -((y - cy) ** 2 + (x - cx) ** 2) / random.uniform(20, 200)
        )
    return (255 * grey / grey.max()).astype(np.uint8)


def write_images(root: Path, count: int, suffix: str = ".png") -> pd.DataFrame:
    """Images of `count` patients below `root`, and their records: image_id, path."""
    paths = [f"p{i // 3}/s{i}/view1_frontal{suffix}" for i in range(count)]
    for i, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawing(i)).save(root / path)
    return pd.DataFrame({"image_id": [path[: -len(suffix)] for path in paths], "path": paths})


def vectors(count: int, dimension: int = DIMENSION) -> np.ndarray:
    """Plausible embeddings: float32 (count, dimension)."""
    random = np.random.default_rng(7)
    return (random.standard_normal((count, dimension)) + 3).astype(np.float32)


class BlockMeans(EmbeddingSource):
    """A teacher in ten lines: the image's mean in 4 x 4 blocks. Each image takes `seconds`."""

    def __init__(self, images_root: Path, seconds: float = 0.0, mark: Path | None = None) -> None:
        self.images_root, self.seconds, self.mark = images_root, seconds, mark
        self.provenance = {"variant": "demo"}
        self.embedded_ids: list[str] = []

    def rows(self, images: pd.DataFrame) -> Iterator[EmbeddingRow]:
        for image_id, path in zip(images.image_id, images.path, strict=True):
            self.embedded_ids.append(image_id)
            if self.mark:
                self.mark.write_text(str(len(self.embedded_ids)))
            time.sleep(self.seconds)
            try:
                grey = read_image(self.images_root / path).astype(np.float32)
            except (OSError, ValueError) as error:
                yield EmbeddingRow(image_id, error=f"unreadable image: {type(error).__name__}")
                continue
            height, width = grey.shape
            blocks = grey[: height // 4 * 4, : width // 4 * 4].reshape(
                4, height // 4, 4, width // 4
            )
            yield EmbeddingRow(image_id, blocks.mean((1, 3)).ravel() / 17, "", height, width, 8)


def embed_slowly(root: Path, seconds: float) -> None:
    """Embed the images below `root`/images into `root`/out, in a process that a test may kill."""
    from cxrfmkd.teacher import embedding

    source = BlockMeans(root / "images", seconds, root / "mark")
    records = pd.read_csv(root / "records.csv")
    settings = {"source": "savedmodel", "variant": "demo", "path": "stand-in"}
    with patch.object(embedding, "open_source", lambda *_: source):
        embedding.embed(
            records,
            root / "images",
            settings,
            Teacher(dimension=DIMENSION, shard=4),
            root / "out",
            root / "shards",
        )


def write_tower(
    folder: Path, batch: str = "any", decode: str = "uint16", channels: int = DIMENSION
) -> Path:
    """A SavedModel with ELIXR-C's signature and input stage, 40 pixels a side, seeded weights.

    batch: what it does with several images: `any` embeds all; `first` and `static1` silently answer
    with the first alone; `raise1` refuses; `reshape1` ends in a reshape to one row. decode: type
    that its graph decodes PNG to.
    """
    import tensorflow as tf

    random = np.random.default_rng(11)

    class Tower(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = tf.Variable(random.standard_normal((25, channels)).astype(np.float32))

        def one(self, serialized):
            feature = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
            png = tf.io.parse_single_example(serialized, feature)["image/encoded"]
            pixels = tf.io.decode_png(png, channels=1, dtype=tf.as_dtype(decode))
            grey = tf.compat.v1.image.resize_bilinear(pixels[None], [40, 40])
            low, high = tf.reduce_min(grey), tf.reduce_max(grey)
            grey = (grey - low) / tf.maximum(high - low, 1e-6)
            return tf.tensordot(tf.nn.space_to_depth(grey, 5), self.weights, 1)[0] + 1.5

        @tf.function(
            input_signature=[
                tf.TensorSpec([1] if batch == "static1" else [None], tf.string, "input_example")
            ]
        )
        def embed(self, input_example):
            if batch == "raise1":
                input_example = tf.ensure_shape(input_example, [1])
            if batch in ("first", "static1"):
                maps = self.one(input_example[0])[None]
            else:
                maps = tf.map_fn(self.one, input_example, fn_output_signature=tf.float32)
            if batch == "reshape1":
                maps = tf.reshape(maps, [1, 8, 8, channels])
            return {"feature_maps_0": maps}

    tower = Tower()
    tf.saved_model.save(tower, str(folder), signatures={"serving_default": tower.embed})
    return folder


def write_tf1_tower(folder: Path, channels: int = DIMENSION) -> Path:
    """The same as a TensorFlow 1 graph, with one static row in its answer, as the real one has."""
    import tensorflow as tf

    v1 = tf.compat.v1
    random = np.random.default_rng(11)
    with tf.Graph().as_default(), v1.Session() as session:
        examples = v1.placeholder(tf.string, [None], name="Placeholder")
        feature = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
        png = tf.io.parse_single_example(examples[0], feature)["image/encoded"]
        grey = v1.image.resize_bilinear(tf.io.decode_png(png, channels=1)[None], [40, 40])
        low, high = tf.reduce_min(grey), tf.reduce_max(grey)
        grey = (grey - low) / tf.maximum(high - low, 1e-6)
        weights = v1.get_variable(
            "w", initializer=random.standard_normal((25, channels)).astype("f4")
        )
        maps = tf.reshape(
            tf.tensordot(tf.nn.space_to_depth(grey, 5), weights, 1), [1, 8, 8, channels]
        )
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(
            session, str(folder), {"input_example": examples}, {"feature_maps_0": maps + 1.5}
        )
    return folder


def write_qformer(folder: Path, channels: int = DIMENSION) -> Path:
    """A SavedModel with the Q-Former's five outputs, seeded random inside."""
    import tensorflow as tf

    random = np.random.default_rng(13)

    class QFormer(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            shapes = {"img_emb": 768, "all_contrastive_img_emb": 128}
            self.weights = {
                name: tf.Variable(random.standard_normal((2 * channels, width)).astype("f4"))
                for name, width in shapes.items()
            }

        @tf.function(
            input_signature=[
                tf.TensorSpec([1, 8, 8, channels], tf.float32, "image_feature"),
                tf.TensorSpec([1, 1, 128], tf.int32, "ids"),
                tf.TensorSpec([1, 1, 128], tf.float32, "paddings"),
            ]
        )
        def embed(self, image_feature, ids, paddings):
            tokens = tf.reshape(image_feature, [-1, 32, 2 * channels])
            used = 0 * (tf.reduce_sum(paddings) + tf.cast(tf.reduce_sum(ids), tf.float32))
            answers = {name: tf.tensordot(tokens, w, 1) + used for name, w in self.weights.items()}
            answers["contrastive_img_emb"] = answers["all_contrastive_img_emb"][:, 0]
            answers["contrastive_txt_emb"] = tf.zeros([1, 128])
            answers["txt_emb"] = tf.zeros([1, 128, 768])
            return answers

    qformer = QFormer()
    tf.saved_model.save(qformer, str(folder), signatures={"serving_default": qformer.embed})
    return folder
