"""The tf.train.Examples that CXR Foundation takes, and those in which its vectors are published.

They are made and read by TensorFlow, in the process that needs it anyway: a worker that reads
images, and a source of any other kind, never imports it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cxrfmkd.runtime.errors import some
from cxrfmkd.teacher.tensorflow_setup import load_tensorflow

LARGEST = 64 * 2**20  # bytes of a file of one vector; the longest known has 4 MiB
FRAME_BYTES = 16  # around a record: its length, and the checksums of the length and of the record


def serialize_example(png: bytes) -> bytes:
    """Serialize the Example that CXR Foundation takes: `image/encoded` and `image/format`."""
    example = load_tensorflow().train.Example()
    for name, value in (("image/encoded", png), ("image/format", b"png")):
        # In place: every constructor around a value would copy its megabytes once more.
        example.features.feature[name].bytes_list.value.append(value)
    return example.SerializeToString()


def read_vector(path: Path, feature: str) -> np.ndarray:
    """Read the list of numbers `feature` from a TFRecord file of one Example: shape (n,), float32.

    Raises ValueError for a file that is cut off or damaged, holds another number of records, or no
    such feature; TensorFlow verifies the checksums.
    """
    from google.protobuf.message import DecodeError

    size = path.stat().st_size
    with open(path, "rb") as file:
        claimed = int.from_bytes(file.read(8), "little") + FRAME_BYTES
    if size > LARGEST or claimed > size:
        told = f"its first record claims {claimed:,} bytes" if claimed > size else "too large"
        raise ValueError(f"damaged or cut off: a file of {size:,} bytes, {told}")
    tf = load_tensorflow()
    try:
        # One file at a time through tf.data would take 14 ms, not 0.02.
        records = list(tf.compat.v1.io.tf_record_iterator(str(path)))
    except tf.errors.DataLossError as error:
        raise ValueError(f"damaged or cut off: {error.message}") from error
    # To TensorFlow a file that is cut off within a record's header ends before that record.
    if sum(len(record) + FRAME_BYTES for record in records) != size:
        raise ValueError(f"cut off in the header of record {len(records) + 1}")
    if len(records) != 1:
        raise ValueError(f"{len(records)} records in a file that stands for one image")
    try:
        features = tf.train.Example.FromString(records[0]).features.feature
    except DecodeError as error:
        raise ValueError("its record is no tf.train.Example") from error
    values = features[feature] if feature in features else tf.train.Feature()
    numbers = values.float_list.value or values.int64_list.value
    if not numbers:
        raise ValueError(f"no numbers named {feature}, only {some(sorted(features))}")
    return np.array(numbers, np.float32)
