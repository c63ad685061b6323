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

from cxrfmkd.study.settings import Teacher
from cxrfmkd.study.teachers import Settings
from cxrfmkd.teacher import runtime
from cxrfmkd.teacher.example import SIGNATURE, field
from cxrfmkd.teacher.feeding import pack
from cxrfmkd.teacher.files import tfrecords
from cxrfmkd.teacher.tfrecord import parse_example, write_records

IMAGES = 4
SIZE = (2828, 2320)
RECORDS = 4000
DIMENSION = 1376

tf = runtime.tensorflow()


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
    ours, seconds = timed(lambda: [pack(path).example for path in paths])
    theirs, baseline = timed(lambda: [as_official_clients(path) for path in paths])
    for pair in zip(ours, theirs, strict=True):
        a, b = (parse_example(content)["image/encoded"][0] for content in pair)
        assert np.array_equal(
            np.asarray(Image.open(io.BytesIO(a))), np.asarray(Image.open(io.BytesIO(b)))
        )
    return row("teacher feeding: JPEG to Example", baseline, seconds, 10, IMAGES)


def image(seed: int) -> np.ndarray:
    """Smooth shapes with a little noise, which compresses about as well as an image."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 255, (14, 12), np.uint8))
    smooth = np.asarray(coarse.resize(SIZE[::-1], Image.Resampling.BICUBIC), np.float32)
    return np.clip(smooth + random.normal(0, 2, SIZE), 0, 255).astype(np.uint8)


def as_official_clients(path: Path) -> bytes:
    """PIL, then pypng's way of writing (filter 0, lists of numbers, zlib), then TensorFlow's Example."""
    pixels = np.asarray(Image.open(path).convert("L"))
    packer = zlib.compressobj()
    packed = bytearray()
    for line in pixels.tolist():
        packed += packer.compress(bytes(bytearray([0]) + bytearray(line)))
    packed += packer.flush()
    height, width = pixels.shape
    png = bytearray(SIGNATURE)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    for kind, content in ((b"IHDR", header), (b"IDAT", bytes(packed)), (b"IEND", b"")):
        png += (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for name, value in (("image/encoded", bytes(png)), ("image/format", b"png"))
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def importing(folder: Path) -> dict:
    """One TFRecord an image, as on PhysioNet, to vectors by key; files in the cache on both sides."""
    vectors = np.random.default_rng(0).standard_normal((RECORDS, DIMENSION)).astype("<f4")
    for i, vector in enumerate(vectors):
        listed = field(2, field(1, vector.tobytes()))
        entry = field(1, field(1, b"embedding") + field(2, listed))
        write_records(folder / f"{i:05d}.tfrecord", [field(1, entry)])

    def ours() -> np.ndarray:
        settings = Settings.read({"source": "tfrecord", "path": str(folder), "variant": "cxrfm-v1"})
        source = tfrecords(settings, Teacher())
        found = np.empty((RECORDS, DIMENSION), np.float32)
        images = pd.DataFrame({"image_id": source.keys, "key": source.keys})
        for got in source.rows(images):
            found[int(got.image_id)] = got.vector
        return found

    def theirs() -> np.ndarray:
        names = [str(folder / f"{i:05d}.tfrecord") for i in range(RECORDS)]
        form = {"embedding": tf.io.FixedLenFeature([DIMENSION], tf.float32)}
        data = tf.data.TFRecordDataset(names).map(
            lambda record: tf.io.parse_single_example(record, form)
        )
        return np.stack([one["embedding"] for one in data.as_numpy_iterator()])

    ours()  # compiles the checksum
    (a, seconds), (b, baseline) = timed(ours), timed(theirs)
    assert np.array_equal(a, vectors)
    assert np.array_equal(b, vectors)
    return row("teacher vectors: TFRecords to array by key", baseline, seconds, 2, RECORDS)


def row(name: str, baseline: float, ours: float, goal: float, n: int) -> dict:
    return {
        "name": name,
        "baseline_s": baseline,
        "ours_s": ours,
        "ratio": baseline / ours,
        "goal": goal,
        "n": n,
        "device": "cpu",
    }
