"""TFRecord files of tf.train.Examples, read without TensorFlow.

A record is its length (u64), the length's masked CRC-32C (u32), its bytes, and their masked
CRC-32C; an Example is a map from names to lists of floats, integers or bytes. Sources:
tensorflow/core/lib/io/record_writer.h, example.proto, feature.proto; CRC-32C: RFC 3720, appendix
B.4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np

HEAD, FOOT = struct.Struct("<QI"), struct.Struct("<I")
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
BYTES_LIST, FLOAT_LIST, INT64_LIST = 1, 2, 3


def _crc_tables() -> np.ndarray:
    """Eight tables of the reflected Castagnoli polynomial: shape (8, 256), uint32; eight bytes at a time."""
    tables = np.zeros((8, 256), np.uint32)
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        tables[0, byte] = value
    for k in range(1, 8):
        tables[k] = tables[0, tables[k - 1] & 255] ^ tables[k - 1] >> 8
    return tables


TABLES = _crc_tables()


@numba.njit(cache=True)
def _crc32c(content: np.ndarray, tables: np.ndarray) -> int:
    crc = np.uint32(0xFFFFFFFF)
    whole = len(content) - len(content) % 8
    for i in range(0, whole, 8):
        crc = (
            tables[7, content[i] ^ (crc & np.uint32(255))]
            ^ tables[6, content[i + 1] ^ ((crc >> np.uint32(8)) & np.uint32(255))]
            ^ tables[5, content[i + 2] ^ ((crc >> np.uint32(16)) & np.uint32(255))]
            ^ tables[4, content[i + 3] ^ (crc >> np.uint32(24))]
            ^ tables[3, content[i + 4]]
            ^ tables[2, content[i + 5]]
            ^ tables[1, content[i + 6]]
            ^ tables[0, content[i + 7]]
        )
    for i in range(whole, len(content)):
        crc = tables[0, (crc ^ content[i]) & np.uint32(255)] ^ (crc >> np.uint32(8))
    return crc ^ np.uint32(0xFFFFFFFF)


def crc32c(content: bytes | memoryview) -> int:
    """CRC-32C of `content`."""
    return int(_crc32c(np.frombuffer(content, np.uint8), TABLES))


def masked_crc(content: bytes | memoryview) -> int:
    """CRC-32C of `content`, rotated and shifted as TFRecord files keep it."""
    crc = crc32c(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path: str | Path) -> Iterator[memoryview]:
    """The records of one uncompressed TFRecord file, each checked against its checksum.

    Raises ValueError if the file is empty, cut off, or damaged.
    """
    content = memoryview(Path(path).read_bytes())
    if not content:
        raise ValueError("an empty file")
    at = 0
    while at < len(content):
        if at + HEAD.size > len(content):
            raise ValueError(f"cut off at byte {at}")
        length, crc = HEAD.unpack_from(content, at)
        if masked_crc(content[at : at + 8]) != crc:
            raise ValueError(f"damaged at byte {at}: the length does not fit its checksum")
        start, end = at + HEAD.size, at + HEAD.size + length
        if end + FOOT.size > len(content):
            raise ValueError(f"cut off at byte {len(content)} of {end + FOOT.size}")
        if masked_crc(content[start:end]) != FOOT.unpack_from(content, end)[0]:
            raise ValueError(f"damaged at byte {start}: the record does not fit its checksum")
        yield content[start:end]
        at = end + FOOT.size


def write_records(path: str | Path, contents: list[bytes]) -> None:
    """Write a TFRecord file with these records."""
    with open(path, "wb") as file:
        for content in contents:
            length = struct.pack("<Q", len(content))
            file.write(length + FOOT.pack(masked_crc(length)))
            file.write(content + FOOT.pack(masked_crc(content)))


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    """A variable-length integer, and where it ends."""
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _fields(content: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Fields of a protobuf message: number, wire type, value (bytes as they stand, or an integer)."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = _varint(content, at)
        else:
            if kind == BYTES:
                length, at = _varint(content, at)
            elif kind in (FIXED32, FIXED64):
                length = 4 if kind == FIXED32 else 8
            else:
                raise ValueError(f"no Example: wire type {kind}")
            if at + length > len(content):
                raise ValueError("no Example: a field reaches beyond its end")
            value, at = content[at : at + length], at + length
        yield tag >> 3, kind, value


def _values(feature: memoryview) -> np.ndarray | list[bytes]:
    """A feature's list: floats (float32), integers (int64) or bytes; packed or one by one."""
    for kind, _, content in _fields(feature):
        values = list(_fields(content))
        if kind == BYTES_LIST:
            return [bytes(value) for _, _, value in values]
        if kind == FLOAT_LIST:
            return np.frombuffer(b"".join(value for _, _, value in values), "<f4")
        if kind == INT64_LIST:
            return np.array(list(_integers(values)), np.uint64).astype(np.int64)
    return []


def _integers(values: list[tuple[int, int, int | memoryview]]) -> Iterator[int]:
    for _, kind, value in values:
        if kind == VARINT:
            yield value
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            yield number


def parse_example(record: bytes | memoryview) -> dict[str, np.ndarray | list[bytes]]:
    """A serialized tf.train.Example as name -> values: float32 or int64 array, or list of bytes.

    Raises ValueError for bytes that are none.
    """
    parsed = {}
    try:
        for number, _, features in _fields(memoryview(record)):
            if number != 1:
                continue
            for _, _, entry in _fields(features):
                parts = {field: value for field, _, value in _fields(entry)}
                parsed[bytes(parts[1]).decode()] = _values(parts.get(2, memoryview(b"")))
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError(f"no Example: {error!r}") from error
    return parsed
