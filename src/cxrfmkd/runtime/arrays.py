"""Keyed arrays: the one format of images, embeddings and features.

A keyed array is a folder of three files: `data.npy` (memory-mapped, one row an image),
`index.parquet` (`image_id` and facts about each row) and `meta.json` (what it is and how it was
made). Rows are found by `image_id`, never by position.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.files import atomic_write, read_json, write_json, write_table
from cxrfmkd.runtime.provenance import sha256

FILES = ("data.npy", "index.parquet", "meta.json")


@dataclass(frozen=True)
class KeyedArray:
    """Rows of numbers with a key each.

    data: shape (n, ...), any dtype; read-only memory map when opened from disk.
    index: n rows; `image_id` (str, unique) first, then whatever is known about each row.
    meta: JSON-serialisable description.
    """

    data: np.ndarray
    index: pd.DataFrame
    meta: dict = field(default_factory=dict)
    name: str = "array"

    def __post_init__(self) -> None:
        if "image_id" not in self.index:
            raise InputError(
                f"{self.name}: index.parquet has no column image_id, only "
                f"{some(self.index.columns)}."
            )
        if len(self.data) != len(self.index):
            raise InputError(
                f"{self.name}: {len(self.data)} rows of data but {len(self.index)} rows of index. "
                "Delete the folder and make it again."
            )
        duplicates = np.flatnonzero(self.index.image_id.duplicated())
        if len(duplicates):
            raise InputError(
                f"{self.name}: {len(duplicates)} duplicate image_id in index.parquet, rows "
                f"{some(duplicates)}."
            )

    def __len__(self) -> int:
        return len(self.data)

    @classmethod
    def open(cls, path: str | Path) -> KeyedArray:
        """Open the folder that `save` wrote, or its `meta.json`; data stay on disk until read."""
        path = Path(path)
        folder = path.parent if path.name == "meta.json" else path
        for name in FILES:
            if not (folder / name).exists():
                raise InputError(f"{folder}: {name} is missing, so this is no keyed array.")
        return cls(
            np.load(folder / "data.npy", mmap_mode="r", allow_pickle=False),
            pd.read_parquet(folder / "index.parquet"),
            read_json(folder / "meta.json"),
            str(folder),
        )

    def save(self, folder: str | Path) -> None:
        """Write the three files, each atomically, `meta.json` last (see `write_meta`)."""
        folder = Path(folder)
        with atomic_write(folder / "data.npy") as partial:
            np.save(partial, self.data, allow_pickle=False)
        write_table(folder / "index.parquet", self.index)
        write_meta(folder, self.meta)

    @cached_property
    def _keys(self) -> pd.Index:
        """The ids as one index, whose hash table serves every look-up."""
        return pd.Index(self.index.image_id)

    def rows(self, image_ids) -> np.ndarray:
        """Positions of `image_ids` in `data`, shape (len(image_ids),), int64.

        Raises InputError with the number of absent ids and their positions in `image_ids`; the ids
        themselves stay out of logs.
        """
        requested = pd.Index(image_ids)
        positions = self._keys.get_indexer(requested)
        absent = np.flatnonzero(positions < 0)
        if len(absent):
            raise InputError(
                f"{self.name}: {len(absent)} of {len(requested)} requested images are not in it, "
                f"at positions {some(absent)}. It was made from other records; make it again."
            )
        return positions

    def take(self, image_ids) -> np.ndarray:
        """The rows of `image_ids`, in that order, in memory."""
        return np.asarray(self.data[self.rows(image_ids)])


def write_meta(folder: str | Path, meta: dict) -> None:
    """Write `meta.json` for the `data.npy` and `index.parquet` that are already in `folder`.

    It carries the hashes of both, so whatever depends on `meta.json` is made again exactly when the
    content of the array has changed.
    """
    folder = Path(folder)
    hashes = {name: sha256(folder / name) for name in FILES[:2]}
    write_json(folder / "meta.json", meta | {"sha256": hashes})
