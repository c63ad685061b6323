"""Keyed arrays: the one format of images, embeddings and features.

A keyed array is a folder of three files: `data.npy` (memory-mapped, one row an image),
`index.parquet` (`image_id` and facts about each row) and `meta.json` (what it is and how it was
made). Rows are found by `image_id`, never by position.

The array of a pool of datasets has no `data.npy`: its `meta.json` names the arrays of the pool's
members, whose rows are one below the other those of its own `index.parquet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.files import atomic_write, read_json, read_table, write_json, write_table
from cxrfmkd.runtime.seals import altered, remember, sha256, verify_content, written_by
from cxrfmkd.runtime.stacked import Stacked
from cxrfmkd.runtime.storage import reserve

FILES = ("data.npy", "index.parquet", "meta.json")
# What the arrays of a dataset's folders hold, as `what` in their meta.json says.
PACKED, EMBEDDED = "packed images", "embeddings of the teacher"


@dataclass(frozen=True)
class KeyedArray:
    """Rows of numbers with a key each.

    data: shape (n, ...), any dtype; read-only memory map, or several, when opened from disk.
    index: n rows; `image_id` (str, unique) first, then whatever is known about each row.
    meta: JSON-serialisable description.
    """

    data: np.ndarray | Stacked
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
        """Open the folder that `save` wrote, or its `meta.json`; data stay on disk until read.

        Raises InputError for a file that is missing, is no such file, or is not as `meta.json`
        says: another shape, type or content, or of another backbone, model or seed than its folder.
        """
        path = Path(path)
        folder = path.parent if path.name == "meta.json" else path
        _require(folder, FILES[1:])
        meta = read_json(folder / "meta.json")
        if not isinstance(meta, dict):
            raise InputError(f"{folder / 'meta.json'}: not a description of a keyed array.")
        _check_place(folder, meta)
        members = meta.get("members")
        data = _open_members(folder, members) if members else _open_data(folder, meta)
        index = read_table(_verified(folder, "index.parquet", meta))
        return cls(data, index, meta, str(folder))

    def save(self, folder: str | Path) -> None:
        """Write the three files, each atomically, `meta.json` last (see `write_meta`)."""
        folder = Path(folder)
        with atomic_write(folder / "data.npy") as partial:
            np.save(partial, self.data, allow_pickle=False)
        write_table(folder / "index.parquet", self.index, sealed=False)
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


def create_data(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> np.memmap:
    """A new `.npy` file of zeros as a memory map, its space on the disk reserved.

    Raises OSError where the disk has not so much space.
    """
    data = np.lib.format.open_memmap(path, "w+", dtype, shape)
    with open(path, "r+b") as file:
        reserve(file, data.offset + data.nbytes)
    return data


def write_meta(folder: str | Path, meta: dict) -> None:
    """Write `meta.json` for the `data.npy` and `index.parquet` that are already in `folder`.

    It carries shape, type and the hashes of both, so whatever depends on `meta.json` is made again
    exactly when the content of the array has changed, and a reader can tell an altered file. A
    pool's, whose `meta` has its `members`, has theirs in place of a hash of data.
    """
    folder = Path(folder)
    files = FILES[1:2] if "members" in meta else FILES[:2]
    digests = {name: sha256(folder / name) for name in files}
    facts: dict = {"sha256": digests}
    if "members" not in meta:
        data = np.load(folder / "data.npy", mmap_mode="r", allow_pickle=False)
        facts |= {"shape": list(data.shape), "dtype": str(data.dtype)}
    write_json(folder / "meta.json", meta | facts)
    for name, digest in digests.items():
        remember(folder / name, digest)


def _require(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        if not (folder / name).exists():
            raise InputError(f"{folder}: {name} is missing, so this is no keyed array.")


def _open_members(folder: Path, members: list[dict]) -> Stacked:
    """The data of the members' arrays, which are those that the pool was made of."""
    arrays = []
    for member in members:
        array = KeyedArray.open(folder / member["folder"])
        if array.meta["sha256"] != member["sha256"]:
            problem = f"it was made of another array of {member['dataset']} than there is now"
            raise altered(folder / "meta.json", problem, written_by(folder / "meta.json"))
        arrays.append(array.data)
    return Stacked(arrays)


def _open_data(folder: Path, meta: dict) -> np.ndarray:
    """The memory map of `data.npy`, of the shape, type and content that `meta` says."""
    _require(folder, FILES[:1])
    path = folder / "data.npy"
    rule = written_by(folder / "meta.json")
    try:
        data = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, OverflowError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise altered(path, f"it cannot be read as an array ({reason})", rule) from None
    if not isinstance(data, np.memmap):
        raise altered(path, "it is an archive, not one array", rule)
    found = {"shape": list(data.shape), "dtype": str(data.dtype)}
    for name, value in found.items():
        if meta.get(name, value) != value:
            raise altered(path, f"its {name} is {value}, meta.json says {meta[name]}", rule)
    if data.offset + data.nbytes != path.stat().st_size:
        raise altered(path, "it has bytes beyond its rows", rule)
    _verified(folder, "data.npy", meta)
    return data


def _verified(folder: Path, name: str, meta: dict) -> Path:
    """The path of one of the array's files; InputError where its hash is not that of `meta`."""
    path = folder / name
    if digest := meta.get("sha256", {}).get(name):
        verify_content(path, None, digest, written_by(folder / "meta.json"))
    return path


def _check_place(folder: Path, meta: dict) -> None:
    """Raise InputError where a whole array lies in the folder of another."""
    places = {}
    if folder.parent.name == "features":
        places = {"backbone": folder.name, "dataset": folder.parent.parent.name}
    elif folder.name == "embeddings":
        places = {"seed": folder.parent.name.removeprefix("seed"), "model": folder.parents[1].name}
    elif folder.name in ("images", "teacher") and (folder.parent / "records").is_dir():
        places = {"dataset": folder.parent.name}
        kind = {"images": PACKED, "teacher": EMBEDDED}[folder.name]
        if (what := meta.get("what", kind)) != kind:
            problem = f"this is an array of {what}, in the folder of the {kind}"
            raise altered(folder / "meta.json", problem, written_by(folder / "meta.json"))
    for name, expected in places.items():
        if (told := str(meta.get(name) or expected)) != expected:
            rule = written_by(folder / "meta.json")
            problem = f"this is the array of {name} {told}, in the folder of {expected}"
            raise altered(folder / "meta.json", problem, rule)
