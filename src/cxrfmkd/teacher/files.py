"""Ready embeddings that are read one by one: .dat, .npy, .npz and .tfrecord files, keyed arrays.

Source: teacher extraction notes, sections 3.1 and 4.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrfmkd.datasets.decoding import nameless
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.files import list_files
from cxrfmkd.study.settings import Teacher, TeacherSource
from cxrfmkd.teacher.checks import check_variants
from cxrfmkd.teacher.examples import read_vector
from cxrfmkd.teacher.keys import key_rule, stored_key
from cxrfmkd.teacher.pooling import pool
from cxrfmkd.teacher.rows import EmbeddingRow, EmbeddingSource
from cxrfmkd.vocabulary.teachers import FILE_SUFFIXES, variant_shape


def find_files(settings: TeacherSource) -> list[tuple[str, Path]]:
    """Find the files of a source: (path relative to its root, path), sorted below each root.

    Raises InputError for a root that is not there, or holds no file of this kind.
    """
    files: list[tuple[str, Path]] = []
    suffixes = FILE_SUFFIXES[settings.source]
    for root in map(Path, settings.path):
        if root.is_file():
            files.append((root.name, root))
            continue
        if not root.is_dir():
            raise InputError(f"{root}: there is no such file or folder. Correct teacher.path.")
        paths = list_files(root, suffixes)
        if not paths:
            raise InputError(
                f"{root}: no {' or '.join(suffixes)} file below it. Correct teacher.path or "
                "teacher.source."
            )
        files += [(path, root / path) for path in paths]
    return files


# What numpy raises for a file that is no array, or that claims more numbers than memory holds.
UNREADABLE = (OSError, ValueError, KeyError, EOFError, OverflowError, MemoryError)


class StoredVectors(EmbeddingSource):
    """Vectors that are found by a name and read one by one.

    names: of every vector, from which its key follows. locations: what `read` takes for each.
    """

    def __init__(
        self,
        settings: TeacherSource,
        names: list[str],
        locations: list,
        read: Callable[[Any], np.ndarray],
        provenance: dict | None = None,
    ) -> None:
        self.settings, self._read = settings, read
        self.stored_keys = [stored_key(key_rule(settings), name) for name in names]
        self._locations = dict(zip(self.stored_keys, locations, strict=True))
        self.provenance = {"path": settings.path} | (provenance or {"files": len(names)})

    def rows(self, images: pd.DataFrame) -> Iterator[EmbeddingRow]:
        """Yield one row for every image, in their order; a vector that fails is its reason."""
        for image_id, key in zip(images.image_id, images.key, strict=True):
            location = self._locations[key]
            try:
                vector = self._read(location)
            except (*UNREADABLE, zipfile.BadZipFile) as error:
                name = location[1] if isinstance(location, tuple) else location
                yield EmbeddingRow(image_id, error=f"unreadable vector: {nameless(error, name)}")
            else:
                vector = pool(vector, self.settings.variant, self.settings.pooling)
                yield EmbeddingRow(image_id, vector)


def file_vectors(
    settings: TeacherSource, files: list[tuple[str, Path]], read: Callable[[Path], np.ndarray]
) -> StoredVectors:
    """One vector a file, found by the file's path. files: from `find_files`."""
    names, paths = zip(*files, strict=True)
    return StoredVectors(settings, list(names), list(paths), read)


def dat_files(settings: TeacherSource, teacher: Teacher) -> StoredVectors:
    """Files of headerless numbers, whose type only the size tells: float32 or float64, not both.

    The same converter has written both, depending on the version of protobuf beside it.
    """
    numbers = int(np.prod(variant_shape(settings.variant) or (teacher.dimension,)))
    types: dict[int, np.dtype] = {4 * numbers: np.dtype("<f4"), 8 * numbers: np.dtype("<f8")}
    files = find_files(settings)
    sizes = Counter(path.stat().st_size for _, path in files)
    counts = {size: sizes[size] for size in types if sizes[size]}
    if len(counts) > 1:
        both = " and ".join(f"{n} of {size} bytes ({types[size]})" for size, n in counts.items())
        raise InputError(
            f"{some(settings.path)}: files of two number formats: {both}. They come from two "
            f"conversions. Find the fewer with `find -size {min(counts, key=lambda s: counts[s])}c`"
            ", and convert them anew."
        )

    def read(path: Path) -> np.ndarray:
        content = path.read_bytes()
        if len(content) not in types:
            raise ValueError(f"a file of {len(content)} bytes, not {' or '.join(map(str, types))}")
        return np.frombuffer(content, types[len(content)])

    return file_vectors(settings, files, read)


def npy_files(settings: TeacherSource, teacher: Teacher) -> StoredVectors:
    """Files of one array each, or a keyed array that an earlier extraction wrote."""
    if len(settings.path) > 1 or not Path(settings.path[0], "index.parquet").exists():
        files = find_files(settings)
        return file_vectors(settings, files, lambda path: np.load(path, allow_pickle=False))
    array = KeyedArray.open(settings.path[0])
    check_variants({settings.path[0]: array.meta.get("variant", "nothing")}, settings.variant)
    names, positions = list(array.index.image_id), list(range(len(array)))
    return StoredVectors(settings, names, positions, array.data.__getitem__, {"made": array.meta})


def npz_files(settings: TeacherSource, teacher: Teacher) -> StoredVectors:
    """Folders of archives with one named array each, or archives with an array an image."""
    if not all(Path(path).is_file() for path in settings.path):

        def read(path: Path) -> np.ndarray:
            with np.load(path, allow_pickle=False) as archive:
                if settings.feature not in archive:
                    count = len(archive.files)
                    raise KeyError(f"no array {settings.feature} among the {count} of an archive")
                return archive[settings.feature]

        return file_vectors(settings, find_files(settings), read)
    try:
        archives = [np.load(path, allow_pickle=False) for path in settings.path]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{some(settings.path)}: cannot be read as .npz ({error}). Fetch it again."
        ) from error
    arrays = [(archive, name) for archive in archives for name in archive.files]
    return StoredVectors(
        settings,
        [name for _, name in arrays],
        arrays,
        lambda array: array[0][array[1]],
        {"files": len(archives)},
    )


def tfrecord_files(settings: TeacherSource, teacher: Teacher) -> StoredVectors:
    """Files of one Example each, as Google's client and PhysioNet have them.

    The key is the file's path: `image/id`, where it is there, is an artifact, its authors say.
    """
    return file_vectors(
        settings, find_files(settings), lambda path: read_vector(path, settings.feature)
    )


FILE_READERS = {
    "dat": dat_files,
    "npy": npy_files,
    "npz": npz_files,
    "tfrecord": tfrecord_files,
}
