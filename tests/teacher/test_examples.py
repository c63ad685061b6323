"""Examples of TensorFlow: what the teacher takes, and published vectors, damaged in every way."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from made_examples import example, write_records
from made_teachers import drawing

from cxrfmkd.teacher.examples import read_vector, serialize_example
from cxrfmkd.teacher.images import encode_png

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tensorflow

VECTOR = np.arange(1, 6, dtype=np.float32) / 3


def test_example_holds_image_and_format_and_nothing_else():
    png = encode_png(drawing(0))
    features = tf.train.Example.FromString(serialize_example(png)).features.feature
    values = {name: list(feature.bytes_list.value) for name, feature in features.items()}
    assert values == {"image/encoded": [png], "image/format": [b"png"]}


def test_floats_are_read_exactly_beside_any_other_feature(tmp_path):
    content = example(embedding=VECTOR, size=[3, 300, -1], **{"image/id": [b"x"]})
    write_records(tmp_path / "a.tfrecord", [content])
    vector = read_vector(tmp_path / "a.tfrecord", "embedding")
    assert vector.dtype == np.float32
    assert np.array_equal(vector, VECTOR)
    # Integers are numbers too; that they are no embedding is for the checks to say.
    assert read_vector(tmp_path / "a.tfrecord", "size").tolist() == [3, 300, -1]
    for name in ("image/id", "vector"):
        with pytest.raises(ValueError, match=f"no numbers named {name}, only embedding, image/id"):
            read_vector(tmp_path / "a.tfrecord", name)


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field of fewer than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


@pytest.mark.parametrize("packed", [True, False])
def test_packed_and_unpacked_floats_are_the_same(tmp_path, packed):
    numbers = VECTOR.tobytes()
    one_by_one = b"".join(bytes([1 << 3 | 5]) + numbers[i : i + 4] for i in range(0, 20, 4))
    values = field(2, field(1, numbers) if packed else one_by_one)
    content = field(1, field(1, field(1, b"embedding") + field(2, values)))
    write_records(tmp_path / "a.tfrecord", [content])
    assert np.array_equal(read_vector(tmp_path / "a.tfrecord", "embedding"), VECTOR)


def test_any_flipped_bit_is_an_error(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_records(path, [example(embedding=VECTOR)])
    intact = path.read_bytes()
    for position in range(len(intact)):
        damaged = bytearray(intact)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"damaged|cut off"):
            read_vector(path, "embedding")


@pytest.mark.parametrize("records", [1, 2])
def test_any_truncation_is_an_error(tmp_path, records):
    path = tmp_path / "a.tfrecord"
    write_records(path, [example(embedding=VECTOR)] * records)
    intact = path.read_bytes()
    first_record = len(intact) // records
    for length in set(range(len(intact))) - {0, first_record}:
        path.write_bytes(intact[:length])
        with pytest.raises(ValueError, match="cut off"):
            read_vector(path, "embedding")


@pytest.mark.parametrize(
    ("records", "message"),
    [(0, "a file of 0 bytes"), (2, "2 records in a file that stands for one image")],
)
def test_another_number_of_records_than_one_is_an_error(tmp_path, records, message):
    write_records(tmp_path / "a.tfrecord", [example(embedding=VECTOR)] * records)
    with pytest.raises(ValueError, match=message):
        read_vector(tmp_path / "a.tfrecord", "embedding")


@pytest.mark.parametrize(
    "content", [b"\xff", b"\x0a\x05ab", struct.pack("<I", 7), b"\x0a\x02\x0a\x05"]
)
def test_bytes_that_are_no_example_are_refused(tmp_path, content):
    write_records(tmp_path / "a.tfrecord", [content])
    with pytest.raises(ValueError, match=r"is no tf\.train\.Example|no numbers named embedding"):
        read_vector(tmp_path / "a.tfrecord", "embedding")
