"""Image files as the teacher must see them: every pixel, at its own depth and size.

No resizing: the source's resolution is part of what the teacher's network is given, and any resize
in front of its own changes the embedding. Source: teacher extraction notes, sections 1.2 and 1.4.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from cxrfmkd.datasets.decoding import (
    DEEP,
    DICOM,
    check_readable,
    deep_pixels,
    finite_range,
    read_dicom,
)

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_image(path: str | Path) -> np.ndarray:
    """Read one image file as greyscale: shape (height, width), uint8, or uint16 for deeper files.

    Colour, palette and alpha become ITU-R 601 luma. A deeper file is read as an array and
    stretched to the full range, since PIL's own conversion to 8 bits clips it to white. Files
    named `.dcm` are read as DICOM, in the order of the teacher's first client (rescale, first
    window, inversion of MONOCHROME1). Raises OSError or ValueError for what cannot be read, has
    several frames, 16 bits with colour or alpha, pixels that are not finite, or is blank.
    """
    path = Path(path)
    if path.suffix.lower() in DICOM:
        pixels = read_dicom(path)[0]
    else:
        with Image.open(path) as image:
            check_readable(image)
            pixels = deep_pixels(image) if image.mode in DEEP else np.asarray(image.convert("L"))
    if pixels.min() == pixels.max():
        raise ValueError("a blank image: every pixel is the same")
    return pixels if pixels.dtype == np.uint8 else full_range(pixels)


def full_range(pixels: np.ndarray) -> np.ndarray:
    """Stretch an array of any depth to 0 .. 65535, uint16.

    A linear change, which the teacher's own normalisation undoes. Without it a 12-bit image, or
    8-bit values in a 16-bit file, is nearly or wholly black to a graph that decodes to 8 bits.
    """
    low, high = finite_range(pixels)
    if (low, high) == (0.0, 65535.0) and pixels.dtype == np.uint16:
        return pixels
    stretched = (pixels.astype(np.float32) - np.float32(low)) * np.float32(65535 / (high - low))
    return np.clip(np.rint(stretched), 0, 65535).astype(np.uint16)


def encode_png(image: np.ndarray, level: int = 0) -> bytes:
    """Encode a greyscale PNG of `image`: shape (height, width), uint8 or uint16, any byte order.

    level: zlib's compression; 0 stores the pixels, at a fiftieth of the time (use 6 where bytes
    travel). Pillow's level 0 takes twenty times as long. Format: PNG (W3C, 2003).
    Raises ValueError for uint16 that stays below 256: a graph that decodes to 8 bits would see
    black.
    """
    if image.ndim != 2 or image.dtype.kind != "u" or image.dtype.itemsize > 2:
        raise ValueError(f"an image is 2-D uint8 or uint16, not {image.ndim}-D {image.dtype}")
    if image.dtype.itemsize == 2 and image.max() < 256:
        raise ValueError("16-bit image with 8-bit values; write it as uint8, or stretch it")
    height, width = image.shape
    sample_bytes = image.dtype.itemsize
    lines = np.zeros((height, 1 + width * sample_bytes), np.uint8)  # filter 0, then pixels
    lines[:, 1:] = np.ascontiguousarray(image, f">u{sample_bytes}").view(np.uint8)
    header = struct.pack(">IIBBBBB", width, height, 8 * sample_bytes, 0, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(lines.data, level)), (b"IEND", b"")
    parts = [PNG_SIGNATURE]
    for kind, content in chunks:
        crc = zlib.crc32(content, zlib.crc32(kind))
        parts += [struct.pack(">I", len(content)), kind, content, struct.pack(">I", crc)]
    return b"".join(parts)


def canary_images() -> list[np.ndarray]:
    """Two images that no teacher should take for the same: shape (64, 64), uint8 each."""
    y, x = np.mgrid[0:64, 0:64]
    rings = 127.5 + 127.5 * np.cos(np.hypot(y - 20, x - 40) / 3)
    return [(2 * (x + y)).astype(np.uint8), rings.astype(np.uint8)]
