"""What every source of embeddings gives: rows of (image_id, vector or reason), each found by its key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Row:
    """One image's embedding, or why there is none.

    vector: shape (dimension,), float32; None if `error` says something.
    height, width, bits: of the image that the teacher saw; 0 where unknown.
    """

    image_id: str
    vector: np.ndarray | None = None
    error: str = ""
    height: int = 0
    width: int = 0
    bits: int = 0


class Source(Protocol):
    """Where embeddings come from.

    facts: what decides the vectors, JSON-serialisable, known before any is read.
    keys: the keys of the vectors that it holds, one each; None for a source that makes them from
    images.
    """

    facts: dict
    keys: list[str] | None

    def rows(self, images: pd.DataFrame) -> Iterator[Row]:
        """A row for every image (columns image_id, path, key), in any order; none twice."""

    def close(self) -> None:
        """Free what it holds."""
