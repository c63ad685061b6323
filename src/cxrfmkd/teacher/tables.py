"""Parquet and Arrow tables of ready embeddings: a column of keys, a column of lists of numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.study.settings import Teacher, TeacherSource
from cxrfmkd.teacher.checks import check_variants
from cxrfmkd.teacher.files import find_files
from cxrfmkd.teacher.keys import key_rule, stored_key
from cxrfmkd.teacher.pooling import pool
from cxrfmkd.teacher.rows import EmbeddingRow, EmbeddingSource

BATCH_ROWS = 2048  # in memory at a time
LIST_TYPES = (pa.ListType, pa.LargeListType, pa.FixedSizeListType)


class EmbeddingTables(EmbeddingSource):
    """One table, or a folder of parts with the same columns.

    Where a table says which variant it holds (its metadata under `cxrfmkd`, or a column `variant`),
    that must be the one of the config.
    """

    def __init__(self, settings: TeacherSource, teacher: Teacher) -> None:
        self.settings = settings
        self.parts = [self._open(path) for _, path in find_files(settings)]
        check_variants(self._variants(), settings.variant)
        self.stored_keys = [
            key for part in self.parts for key in self._keys(part.to_table([settings.column]))
        ]
        self.provenance = {"path": settings.path, "files": len(self.parts)}

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
                    "teacher.column to the column of keys and teacher.feature to the column of "
                    "vectors."
                )
        kind = part.schema.field(self.settings.feature).type
        if not (isinstance(kind, LIST_TYPES) and pa.types.is_floating(kind.value_type)):
            raise InputError(
                f"{path}: column {self.settings.feature} holds {kind}, not lists of floating-point "
                "numbers. Set teacher.feature."
            )
        return part

    def _variants(self) -> dict[str, str]:
        """The variants that the tables name, by where they name them."""
        variants = {}
        for part in self.parts:
            file = part.files[0]
            metadata = json.loads((part.schema.metadata or {}).get(b"cxrfmkd", b"{}"))
            if "variant" in metadata:
                variants[file] = metadata["variant"]
            if "variant" in part.schema.names:
                for variant in part.to_table(["variant"])["variant"].unique().to_pylist():
                    variants[f"{file}, column variant, {variant}"] = variant
        return variants

    def _keys(self, table: pa.Table | pa.RecordBatch) -> list[str]:
        names = table[self.settings.column].to_pylist()
        return [stored_key(key_rule(self.settings), name) for name in names]

    def rows(self, images: pd.DataFrame) -> Iterator[EmbeddingRow]:
        """Yield one row for every image, in the tables' order, a batch of rows in memory."""
        image_ids = dict(zip(images.key, images.image_id, strict=True))
        columns = [self.settings.column, self.settings.feature]
        for part in self.parts:
            for batch in part.to_batches(columns=columns, batch_size=BATCH_ROWS):
                vectors = batch[self.settings.feature]
                for key, vector in zip(self._keys(batch), vectors, strict=True):
                    if key in image_ids:
                        yield self._row(image_ids[key], vector)

    def _row(self, image_id: str, value: pa.ListScalar) -> EmbeddingRow:
        if not value.is_valid:
            return EmbeddingRow(image_id, error="no vector in its row of the table")
        numbers = value.values.to_numpy(zero_copy_only=False)
        return EmbeddingRow(image_id, pool(numbers, self.settings.variant, self.settings.pooling))
