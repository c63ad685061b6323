"""Entries of TFRecord Examples, written by hand."""

from __future__ import annotations

import numpy as np

from cxrfmkd.teacher.example import field, varint


def floats(name: bytes, values: np.ndarray, packed: bool = True) -> bytes:
    """One entry of an Example's map, a list of floats."""
    content = values.astype("<f4").tobytes()
    if packed:
        listed = field(1, content)
    else:
        listed = b"".join(
            varint(1 << 3 | 5) + content[i : i + 4] for i in range(0, len(content), 4)
        )
    return field(1, field(1, name) + field(2, field(2, listed)))
