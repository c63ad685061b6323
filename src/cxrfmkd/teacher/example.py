"""The teacher's input, one serialized tf.train.Example an image, written without TensorFlow.

The PNG inside is stored, not compressed: the same pixels for the graph at a fiftieth of the writing
time.
Formats: PNG (W3C, 2003), tensorflow/core/example/example.proto.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
    )


def png(image: np.ndarray, level: int = 0) -> bytes:
    """A greyscale PNG of `image`: shape (height, width), uint8 or uint16 in any byte order.

    level: zlib's compression, 0 for stored (use 6 where bytes travel).
    Raises ValueError for uint16 that stays below 256: a graph that decodes to 8 bits would see
    black.
    """
    if image.ndim != 2 or image.dtype.kind != "u" or image.dtype.itemsize > 2:
        raise ValueError(f"an image is 2-D uint8 or uint16, not {image.ndim}-D {image.dtype}")
    if image.dtype.itemsize == 2 and image.max() < 256:
        raise ValueError("16-bit image with 8-bit values; write it as uint8, or stretch it")
    height, width = image.shape
    depth = 8 * image.dtype.itemsize
    lines = np.zeros((height, 1 + width * image.dtype.itemsize), np.uint8)  # filter 0, then pixels
    lines[:, 1:] = np.ascontiguousarray(image, f">u{image.dtype.itemsize}").view(np.uint8)
    return b"".join(
        [
            SIGNATURE,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)),
            _chunk(b"IDAT", zlib.compress(lines, level)),
            _chunk(b"IEND", b""),
        ]
    )


def varint(number: int) -> bytes:
    """A protobuf integer: seven bits a byte, lowest first."""
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def example(encoded: bytes, kind: bytes = b"png") -> bytes:
    """The serialized Example that CXR Foundation takes: `image/encoded` and `image/format`, one value each."""
    features = b"".join(
        field(1, field(1, name) + field(2, field(1, field(1, value))))
        for name, value in ((b"image/encoded", encoded), (b"image/format", kind))
    )
    return field(1, features)
