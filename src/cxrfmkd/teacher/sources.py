"""One interface to every source of embeddings: rows of (image_id, vector or reason), each found by its key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from cxrfmkd.study.settings import Teacher
from cxrfmkd.study.teachers import Settings


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
    keys: the keys of the vectors that it holds, one each; None for a source that makes them from images.
    """

    facts: dict
    keys: list[str] | None

    def rows(self, images: pd.DataFrame) -> Iterator[Row]:
        """A row for every image (columns image_id, path, key), in any order; none twice."""

    def close(self) -> None:
        """Free what it holds."""


def open_source(settings: Settings, teacher: Teacher, images_root: Path) -> Source:
    """The source that `settings` name; raises InputError where it cannot be used."""
    settings.check_dimension(teacher)
    match settings.source:
        case "savedmodel":
            from cxrfmkd.teacher.savedmodel import SavedModel

            return SavedModel(settings, teacher, images_root)
        case "vertex":
            from cxrfmkd.teacher.vertex import Endpoint

            return Endpoint(settings, teacher, images_root)
        case "parquet":
            from cxrfmkd.teacher.tables import Tables

            return Tables(settings, teacher)
    from cxrfmkd.teacher import files

    readers = {"dat": files.Dat, "npy": files.npy, "npz": files.npz, "tfrecord": files.tfrecords}
    return readers[settings.source](settings, teacher)
