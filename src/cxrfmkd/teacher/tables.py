"""Parquet and Arrow tables of ready embeddings: a column of keys, a column of lists of numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.study.settings import Teacher
from cxrfmkd.study.teachers import Settings
from cxrfmkd.teacher.checks import check_variants
from cxrfmkd.teacher.files import find_files
from cxrfmkd.teacher.keys import stored_key
from cxrfmkd.teacher.pooling import pool
from cxrfmkd.teacher.rows import Row

BATCH = 2048  # rows in memory


class Tables:
    """One table, or a folder of parts with the same columns.

    Where a table says which variant it holds (its metadata under `cxrfmkd`, or a column `variant`),
    that must be the one of the config.
    """

    def __init__(self, settings: Settings, teacher: Teacher) -> None:
        self.settings = settings
        self.parts = [self._open(path) for _, path in find_files(settings)]
        check_variants(self._claims(), settings.variant)
        self.keys = [
            key for part in self.parts for key in self._keys(part.to_table([settings.column]))
        ]
        self.facts = {"path": settings.path, "files": len(self.parts)}

    def _open(self, path: Path) -> ds.Dataset:
        try:
            part = ds.dataset(path, format="parquet" if path.suffix == ".parquet" else "ipc")
        except (OSError, pa.ArrowInvalid) as error:
            raise InputError(
                f"{path}: cannot be read as a table ({error}). Make it again."
            ) from error
        for column in (self.settings.column, self.settings.feature):
            if column not in part.schema.names:
                raise InputError(
                    f"{path}: no column {column}, only {some(part.schema.names)}. Set "
                    "teacher.column to the "
                    "column of keys and teacher.feature to the column of vectors."
                )
        kind = part.schema.field(self.settings.feature).type
        if not (
            pa.types.is_list(kind)
            or pa.types.is_large_list(kind)
            or pa.types.is_fixed_size_list(kind)
        ) or not pa.types.is_floating(kind.value_type):
            raise InputError(
                f"{path}: column {self.settings.feature} holds {kind}, not lists of floating-point "
                "numbers. Set teacher.feature."
            )
        return part

    def _claims(self) -> dict[str, str]:
        claims = {}
        for part in self.parts:
            file = part.files[0]
            about = json.loads((part.schema.metadata or {}).get(b"cxrfmkd", b"{}"))
            if "variant" in about:
                claims[file] = about["variant"]
            if "variant" in part.schema.names:
                for value in part.to_table(["variant"])["variant"].unique().to_pylist():
                    claims[f"{file}, column variant, {value}"] = value
        return claims

    def _keys(self, table: pa.Table | pa.RecordBatch) -> list[str]:
        named = table[self.settings.column].to_pylist()
        return [stored_key(self.settings.rule, name) for name in named]

    def close(self) -> None:
        self.parts = []

    def rows(self, images: pd.DataFrame) -> Iterator[Row]:
        """A row for every image, in the tables' order, a batch of rows in memory at a time."""
        wanted = dict(zip(images.key, images.image_id, strict=True))
        columns = [self.settings.column, self.settings.feature]
        for part in self.parts:
            for batch in part.to_batches(columns=columns, batch_size=BATCH):
                vectors = batch[self.settings.feature]
                for i, key in enumerate(self._keys(batch)):
                    if image_id := wanted.get(key):
                        yield self._row(image_id, vectors[i])

    def _row(self, image_id: str, value: pa.ListScalar) -> Row:
        if not value.is_valid:
            return Row(image_id, error="no vector in its row of the table")
        numbers = value.values.to_numpy(zero_copy_only=False)
        return Row(
            image_id, pool(np.asarray(numbers), self.settings.variant, self.settings.pooling)
        )
