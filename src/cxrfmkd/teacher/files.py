"""Folders of ready embeddings, one file an image: raw .dat, .npy, .npz, .tfrecord; or many in one
file.

Source: teacher extraction notes, sections 3.1 and 4.
"""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.study.settings import Teacher
from cxrfmkd.study.teachers import VARIANTS, Settings
from cxrfmkd.teacher import tfrecord
from cxrfmkd.teacher.checks import check_variants
from cxrfmkd.teacher.keys import stored_key
from cxrfmkd.teacher.pooling import pool
from cxrfmkd.teacher.rows import Row

SUFFIXES = {
    "dat": (".dat",),
    "npy": (".npy",),
    "npz": (".npz",),
    "tfrecord": (".tfrecord", ".tfrecords"),
    "parquet": (".parquet", ".arrow", ".feather"),
}


def find_files(settings: Settings) -> list[tuple[str, Path]]:
    """The files of a source below its paths, as (path relative to its root, path), sorted.

    Raises InputError for a path that is not there, or holds no file of this kind.
    """
    found = []
    suffixes = SUFFIXES[settings.source]
    for root in map(Path, settings.path):
        if root.is_file():
            here = [(root.name, root)]
        elif root.is_dir():
            here = [
                (os.path.relpath(os.path.join(folder, name), root), Path(folder, name))
                for folder, _, names in os.walk(root, followlinks=True)
                for name in names
                if name.lower().endswith(suffixes) and not name.startswith(".")
            ]
        else:
            raise InputError(f"{root}: there is no such file or folder. Correct teacher.path.")
        if not here:
            raise InputError(
                f"{root}: no {' or '.join(suffixes)} file below it. Correct teacher.path or "
                "teacher.source."
            )
        found.extend(sorted(here))
    return found


class Folder:
    """One vector a file, found by the file's name."""

    def __init__(self, settings: Settings, teacher: Teacher, read: Callable[[Path], np.ndarray]):
        self.settings = settings
        self.paths = [
            (stored_key(settings.rule, name), path) for name, path in find_files(settings)
        ]
        self.keys = [key for key, _ in self.paths]
        self.facts = {"path": settings.path, "files": len(self.paths)}
        self._read = read

    def close(self) -> None:
        self.paths = []

    def rows(self, images: pd.DataFrame) -> Iterator[Row]:
        """A row for every image, in their order; what cannot be read is a row with the reason."""
        paths = dict(self.paths)
        for image_id, key in zip(images.image_id, images.key, strict=True):
            path = paths[key]
            try:
                yield Row(image_id, self._pool(self._read(path)))
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                yield Row(image_id, error=f"unreadable vector: {error}".replace(str(path), "it"))

    def _pool(self, vector: np.ndarray) -> np.ndarray:
        return pool(vector, self.settings.variant, self.settings.pooling)


class Dat(Folder):
    """Headerless numbers, whose type only the file's size tells: float32 or float64, one of them in
    a folder.

    The same converter has written both, depending on the version of protobuf beside it.
    """

    def __init__(self, settings: Settings, teacher: Teacher) -> None:
        shape = VARIANTS[settings.variant].shape or (teacher.dimension,)
        numbers = int(np.prod(shape))
        self.types = {4 * numbers: np.dtype("<f4"), 8 * numbers: np.dtype("<f8")}
        super().__init__(settings, teacher, self._numbers)

    def rows(self, images: pd.DataFrame) -> Iterator[Row]:
        paths = dict(self.paths)
        sizes = Counter(paths[key].stat().st_size for key in images.key)
        seen = {size: count for size, count in sizes.items() if size in self.types}
        if len(seen) > 1:
            counts = [f"{n} of {size} bytes ({self.types[size].name})" for size, n in seen.items()]
            raise InputError(
                f"{some(self.settings.path)}: files of two number formats: {' and '.join(counts)}. "
                "They come from two "
                f"conversions. Find the fewer with `find -size {min(seen, key=seen.get)}c`, and "
                "convert them anew."
            )
        yield from super().rows(images)

    def _numbers(self, path: Path) -> np.ndarray:
        content = path.read_bytes()
        if len(content) not in self.types:
            sizes = " or ".join(map(str, self.types))
            raise ValueError(f"a file of {len(content)} bytes, not {sizes}")
        return np.frombuffer(content, self.types[len(content)])


class Archive:
    """One .npz file with an array an image, found by the array's name."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        try:
            self.archives = [np.load(path, allow_pickle=False) for path in settings.path]
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{some(settings.path)}: cannot be read as .npz ({error}). Fetch it again."
            ) from error
        self.places = [
            (stored_key(settings.rule, name), archive, name)
            for archive in self.archives
            for name in archive.files
        ]
        self.keys = [key for key, _, _ in self.places]
        self.facts = {"path": settings.path, "files": len(self.archives)}

    def close(self) -> None:
        for archive in self.archives:
            archive.close()

    def rows(self, images: pd.DataFrame) -> Iterator[Row]:
        """A row for every image, in their order."""
        places = {key: (archive, name) for key, archive, name in self.places}
        for image_id, key in zip(images.image_id, images.key, strict=True):
            archive, name = places[key]
            try:
                vector = pool(archive[name], self.settings.variant, self.settings.pooling)
                yield Row(image_id, vector)
            except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
                yield Row(image_id, error=f"unreadable vector: {error}")


class Kept:
    """A keyed array that an earlier extraction wrote, such as `cxrfmkd embed`."""

    def __init__(self, settings: Settings) -> None:
        self.array = KeyedArray.open(settings.path[0])
        check_variants(
            {settings.path[0]: self.array.meta.get("variant", "nothing")}, settings.variant
        )
        self.keys = [stored_key(settings.rule, image_id) for image_id in self.array.index.image_id]
        self.facts = {"path": settings.path, "made": self.array.meta}

    def close(self) -> None:
        pass

    def rows(self, images: pd.DataFrame) -> Iterator[Row]:
        """A row for every image, in their order."""
        places = pd.Index(self.keys).get_indexer(images.key)
        for image_id, place in zip(images.image_id, places, strict=True):
            yield Row(image_id, np.asarray(self.array.data[place]))


def npy(settings: Settings, teacher: Teacher) -> Folder | Kept:
    """Files of one array each, or a keyed array's folder."""
    if len(settings.path) == 1 and Path(settings.path[0], "index.parquet").exists():
        return Kept(settings)
    return Folder(settings, teacher, lambda path: np.load(path, allow_pickle=False))


def npz(settings: Settings, teacher: Teacher) -> Folder | Archive:
    """A folder of archives with one named array each, or archives with an array an image."""
    if all(Path(path).is_file() for path in settings.path):
        return Archive(settings)

    def read(path: Path) -> np.ndarray:
        with np.load(path, allow_pickle=False) as archive:
            if settings.feature not in archive:
                raise KeyError(f"no array {settings.feature}, only {some(archive.files)}")
            return archive[settings.feature]

    return Folder(settings, teacher, read)


def tfrecords(settings: Settings, teacher: Teacher) -> Folder:
    """A folder of TFRecord files with one Example each, as Google's client and PhysioNet have them.

    The key is the file's name: `image/id`, where it is there, is an artifact by its authors' own
    word.
    """

    def read(path: Path) -> np.ndarray:
        contents = list(tfrecord.records(path))
        if len(contents) != 1:
            raise ValueError(f"{len(contents)} records in a file that stands for one image")
        found = tfrecord.parse_example(contents[0])
        vector = found.get(settings.feature)
        if not isinstance(vector, np.ndarray) or not len(vector):
            raise ValueError(f"no numbers named {settings.feature}, only {some(found)}")
        return vector

    return Folder(settings, teacher, read)
