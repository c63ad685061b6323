"""Feeding the teacher, and reading its ready vectors, beside what Google's clients and tf.data do.

Feeding is all that happens to an image in front of the model: JPEG decoding, PNG writing, wrapping.
The baseline is the official clients' way: rows as Python lists through zlib at its default level,
as pypng does it, and TensorFlow's Example. Both must hold the same pixels. Vectors are read from
one TFRecord an image, checksums verified on both sides.
"""

from __future__ import annotations

import io
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cxrfmkd.study.settings import Teacher, TeacherSource
from cxrfmkd.teacher.examples import serialize_example
from cxrfmkd.teacher.feeding import encode_image
from cxrfmkd.teacher.files import tfrecord_files
from cxrfmkd.teacher.images import PNG_SIGNATURE
from cxrfmkd.teacher.tensorflow_setup import load_tensorflow

IMAGES = 4
SIZE = (2828, 2320)
RECORDS = 4000
DIMENSION = 1376

tf = load_tensorflow()


def run() -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        return [feeding(Path(folder)), importing(Path(folder))]


def timed(work: Callable):
    """Result and seconds of one call."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def feeding(folder: Path) -> dict:
    """Full-size JPEG images to serialized Examples, one process."""
    paths = [folder / f"{i}.jpg" for i in range(IMAGES)]
    for i, path in enumerate(paths):
        Image.fromarray(image(i)).save(path, quality=95)
    ours, seconds = timed(lambda: [serialize_example(encode_image(path).png) for path in paths])
    theirs, baseline = timed(lambda: [as_official_clients(path) for path in paths])
    for pair in zip(ours, theirs, strict=True):
        a, b = (np.asarray(Image.open(io.BytesIO(encoded_image(example)))) for example in pair)
        assert np.array_equal(a, b)
    return result("teacher feeding: JPEG to Example", baseline, seconds, 10, IMAGES)


def encoded_image(example: bytes) -> bytes:
    """The PNG in a serialized Example."""
    features = tf.train.Example.FromString(example).features.feature
    return features["image/encoded"].bytes_list.value[0]


def image(seed: int) -> np.ndarray:
    """Smooth shapes with a little noise, which compresses about as well as an image."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 255, (14, 12), np.uint8))
    smooth = np.asarray(coarse.resize(SIZE[::-1], Image.Resampling.BICUBIC), np.float32)
    return np.clip(smooth + random.normal(0, 2, SIZE), 0, 255).astype(np.uint8)


def as_official_clients(path: Path) -> bytes:
    """PIL, then pypng's way (filter 0, lists of numbers, zlib), then TensorFlow's Example."""
    pixels = np.asarray(Image.open(path).convert("L"))
    packer = zlib.compressobj()
    packed = bytearray()
    for line in pixels.tolist():
        packed += packer.compress(bytes(bytearray([0]) + bytearray(line)))
    packed += packer.flush()
    height, width = pixels.shape
    png = bytearray(PNG_SIGNATURE)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    for kind, content in ((b"IHDR", header), (b"IDAT", bytes(packed)), (b"IEND", b"")):
        png += (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )
    return serialize_example(bytes(png))


def importing(folder: Path) -> dict:
    """One TFRecord an image, as on PhysioNet, to vectors by key; all files in the page cache."""
    vectors = np.random.default_rng(0).standard_normal((RECORDS, DIMENSION)).astype("<f4")
    for i, vector in enumerate(vectors):
        values = {"embedding": tf.train.Feature(float_list=tf.train.FloatList(value=vector))}
        example = tf.train.Example(features=tf.train.Features(feature=values))
        with tf.io.TFRecordWriter(str(folder / f"{i:05d}.tfrecord")) as writer:
            writer.write(example.SerializeToString())

    def ours() -> np.ndarray:
        settings = TeacherSource.read(
            {"source": "tfrecord", "path": str(folder), "variant": "cxrfm-v1"}
        )
        source = tfrecord_files(settings, Teacher())
        images = pd.DataFrame({"image_id": source.stored_keys, "key": source.stored_keys})
        array = np.empty((RECORDS, DIMENSION), np.float32)
        for row in source.rows(images):
            array[int(row.image_id)] = row.vector
        return array

    def theirs() -> np.ndarray:
        names = [str(folder / f"{i:05d}.tfrecord") for i in range(RECORDS)]
        form = {"embedding": tf.io.FixedLenFeature([DIMENSION], tf.float32)}
        data = tf.data.TFRecordDataset(names).map(
            lambda record: tf.io.parse_single_example(record, form)
        )
        return np.stack([one["embedding"] for one in data.as_numpy_iterator()])

    (a, seconds), (b, baseline) = timed(ours), timed(theirs)
    assert np.array_equal(a, vectors)
    assert np.array_equal(b, vectors)
    return result("teacher vectors: TFRecords to array by key", baseline, seconds, 2, RECORDS)


def result(name: str, baseline: float, ours: float, goal: float, n: int) -> dict:
    return {
        "name": name,
        "baseline_s": baseline,
        "ours_s": ours,
        "ratio": baseline / ours,
        "goal": goal,
        "n": n,
        "device": "cpu",
    }
