"""What every source of embeddings gives: one row an image, with its vector or a reason."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class EmbeddingRow:
    """One image's embedding, or why there is none.

    vector: shape (dimension,), float32; None if there is an error.
    height, width, bits: of the image that the teacher saw; 0 where unknown.
    """

    image_id: str
    vector: np.ndarray | None = None
    error: str = ""
    height: int = 0
    width: int = 0
    bits: int = 0


class EmbeddingSource(ABC):
    """Where embeddings come from.

    provenance: what decides the vectors, JSON-serialisable, available before any is read.
    stored_keys: the keys of its vectors, one each; None for a source that makes them from images.
    """

    provenance: dict
    stored_keys: list[str] | None = None

    @abstractmethod
    def rows(self, images: pd.DataFrame) -> Iterator[EmbeddingRow]:
        """Yield one row for every image (columns image_id, path, key), in any order."""

    def close(self) -> None:  # noqa: B027, a source that holds nothing has nothing to free
        """Free processes and files that the source holds."""
