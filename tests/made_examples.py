"""TFRecord files of tf.train.Examples, written by TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


def example(**features: np.ndarray | list) -> bytes:
    """Serialize an Example: float arrays, lists of integers, lists of bytes, by name."""
    tf = pytest.importorskip("tensorflow")
    entries = {}
    for name, values in features.items():
        if isinstance(values, np.ndarray):
            entries[name] = tf.train.Feature(float_list=tf.train.FloatList(value=values))
        elif isinstance(values[0], bytes):
            entries[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        else:
            entries[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Example(features=tf.train.Features(feature=entries)).SerializeToString()


def write_records(path: Path, contents: list[bytes]) -> None:
    """Write a TFRecord file with these records."""
    tf = pytest.importorskip("tensorflow")
    with tf.io.TFRecordWriter(str(path)) as writer:
        for content in contents:
            writer.write(content)
