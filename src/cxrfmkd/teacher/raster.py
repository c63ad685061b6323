"""Image files as the teacher must see them: every pixel, at its own depth and size.

No resizing: the source's resolution is part of what the teacher's network is given, and any resize
in front of its own changes the embedding. Source: teacher extraction notes, sections 1.2 and 1.4.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from cxrfmkd.datasets.decoding import DEEP, DICOM, read_dicom


def read_image(path: str | Path) -> np.ndarray:
    """One image file as greyscale: shape (height, width), uint8, or full-range uint16 for deeper
    files.

    Colour, palette and alpha become ITU-R 601 luma. A deeper file is read as an array and
    stretched, since PIL's own conversion to 8 bits clips it to white. Files named `.dcm` are read
    as DICOM, in the order of the teacher's first client (rescale, first window, inversion of
    MONOCHROME1). Raises OSError or ValueError for what cannot be read, has several frames, or is
    blank.
    """
    path = Path(path)
    if path.suffix.lower() in DICOM:
        pixels = read_dicom(path)[0]
    else:
        with Image.open(path) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise ValueError(f"{image.n_frames} frames in one file")
            pixels = np.asarray(image if image.mode in DEEP else image.convert("L"))
    if pixels.min() == pixels.max():
        raise ValueError(f"a blank image: every pixel is {pixels.min()}")
    return pixels if pixels.dtype == np.uint8 else full_range(pixels)


def full_range(pixels: np.ndarray) -> np.ndarray:
    """Stretch an array of any depth to 0 .. 65535, uint16.

    A linear change, which the teacher's own normalisation undoes. Without it a 12-bit image, or
    8-bit values in a 16-bit file, is nearly or wholly black to a graph that decodes to 8 bits.
    """
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("pixels that are no numbers")
    if (low, high) == (0.0, 65535.0) and pixels.dtype == np.uint16:
        return pixels
    stretched = (pixels.astype(np.float32) - np.float32(low)) * np.float32(65535 / (high - low))
    return np.clip(np.rint(stretched), 0, 65535).astype(np.uint16)
