"""The TFRecord reader: checksums, truncation, and every way in which an Example may be written."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_examples import floats

from cxrfmkd.teacher.example import example, field, varint
from cxrfmkd.teacher.tfrecord import crc32c, masked_crc, parse_example, records, write_records


def integers(name: bytes, values: list[int]) -> bytes:
    listed = field(1, b"".join(varint(value) for value in values))
    return field(1, field(1, name) + field(2, field(3, listed)))


VECTOR = np.arange(5, dtype=np.float32) / 3


def test_checksum_is_crc32c():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert masked_crc(b"") == 0xA282EAD8


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, contents):
    path = tmp_path_factory.mktemp("records") / "a.tfrecord"
    write_records(path, contents)
    assert [bytes(record) for record in records(path)] == contents


def test_any_flipped_bit_is_found(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_records(path, [b"some record", b"another"])
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"damaged|cut off"):
            list(records(path))


def test_any_truncation_is_found(tmp_path):
    path = tmp_path / "a.tfrecord"
    write_records(path, [b"some record"])
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut off|empty"):
            list(records(path))


@pytest.mark.parametrize("packed", [True, False])
def test_packed_and_unpacked_floats_are_the_same(packed):
    parsed = parse_example(field(1, floats(b"embedding", VECTOR, packed)))
    assert np.array_equal(parsed["embedding"], VECTOR)
    assert parsed["embedding"].dtype == np.float32


def test_order_of_entries_and_unknown_ones_do_not_matter():
    entries = [
        floats(b"embedding", VECTOR),
        integers(b"size", [3, 300, 2**64 - 1]),
        example(b"x")[2:],
    ]
    for order in ([0, 1, 2], [2, 1, 0]):
        parsed = parse_example(field(1, b"".join(entries[i] for i in order)))
        assert np.array_equal(parsed["embedding"], VECTOR)
        assert parsed["size"].tolist() == [3, 300, -1]
        assert parsed["image/encoded"] == [b"x"]


@pytest.mark.parametrize(
    "content", [b"\xff", b"\x0a\x05ab", struct.pack("<I", 7), b"\x0a\x02\x0a\x00"]
)
def test_bytes_that_are_no_example_are_refused(content):
    with pytest.raises(ValueError, match="no Example"):
        parse_example(content)
