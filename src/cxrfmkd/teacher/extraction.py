"""Embeddings made in shards that survive a kill, and that together give the same bytes.

A shard is a Parquet file of one stretch of the list of images. It is complete if it opens, has its
rows and carries its identity: a hash of the images (path, size, time) and of all that decides their
vectors. Everything else is made again. So a killed job continues where it was, and one with another
model or other images does not use shards that are not its own.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.files import atomic_write
from cxrfmkd.runtime.progress import Progress
from cxrfmkd.runtime.provenance import canonical, fingerprint
from cxrfmkd.study.settings import Teacher
from cxrfmkd.teacher.checks import unusable_reason
from cxrfmkd.teacher.rows import EmbeddingRow, EmbeddingSource

log = logging.getLogger(__name__)
FIRST_REPORT = 20  # images after which the rate is told, so that a fall-back to the CPU shows


@dataclass(frozen=True)
class Shard:
    """A file of embeddings of some images. made: its identity, of these images and this source."""

    path: Path
    images: pd.DataFrame
    made: str

    def is_complete(self) -> bool:
        """Whether the file is there, whole, and of this identity."""
        try:
            file = pq.ParquetFile(self.path)
        except (OSError, pa.ArrowInvalid):
            return False
        provenance = (file.schema_arrow.metadata or {}).get(b"cxrfmkd", b"")
        complete = file.metadata.num_rows == len(self.images)
        return complete and f'"made":"{self.made}"'.encode() in provenance

    def write(self, rows: list[EmbeddingRow], dimension: int, provenance: dict) -> None:
        """Write the file, whole or not at all; a failure's vector is null, never zeros."""
        schema = pa.schema(
            {
                "image_id": pa.string(),
                "embedding": pa.list_(pa.float32(), dimension),
                "height": pa.int32(),
                "width": pa.int32(),
                "bits": pa.int8(),
                "status": pa.string(),
                "error": pa.string(),
            },
            metadata={"cxrfmkd": canonical({**provenance, "made": self.made})},
        )
        entries = [
            vars(row) | {"embedding": row.vector, "status": "failed" if row.error else "ok"}
            for row in rows
        ]
        table = pa.Table.from_pylist(entries, schema)
        with atomic_write(self.path) as partial:
            pq.write_table(table, partial, use_dictionary=False, write_statistics=False)

    def read(self) -> Iterator[EmbeddingRow]:
        """Yield the rows of the file, in their order."""
        table = pq.read_table(self.path)
        columns = ["image_id", "error", "height", "width", "bits"]
        for facts, embedding in zip(
            table.select(columns).to_pylist(), table["embedding"], strict=True
        ):
            vector = embedding.values.to_numpy() if embedding.is_valid else None
            yield EmbeddingRow(vector=vector, **facts)


def file_stamp(path: Path) -> list[int]:
    """Size and modification time of a file, or nothing if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


class ExtractionProgress:
    """Lines of progress with rate, time left and failures.

    The clock starts with the first image, when the model is loaded.
    """

    def __init__(self, total: int, done: int) -> None:
        self.total, self.done, self.images, self.failed = total, done, 0, 0
        self.started = 0.0
        self.progress: Progress | None = None

    def count(self, row: EmbeddingRow) -> None:
        """Count one image."""
        if self.progress is None:
            self.started = time.monotonic()
            self.progress = Progress("teacher", self.total, self.done)
        self.images += 1
        self.failed += bool(row.error)
        rate = self.images / max(time.monotonic() - self.started, 1e-9)
        message = f"{rate:.1f} images/s, {self.failed} failed"
        self.progress.step(message)
        if self.images == FIRST_REPORT:
            self.progress.say(f"after {FIRST_REPORT} images: {message}")

    def close(self) -> None:
        """Close the progress bar."""
        if self.progress is not None:
            self.progress.close()


def extract(
    source: EmbeddingSource,
    images: pd.DataFrame,
    images_root: Path,
    folder: Path,
    teacher: Teacher,
) -> Iterator[EmbeddingRow]:
    """Make the shards that are not there yet, then give a row for every image, in their order.

    Raises InputError as soon as more than the share teacher.failed of the images have no vector.
    """
    shards = []
    for number, start in enumerate(range(0, len(images), teacher.shard)):
        part = images.iloc[start : start + teacher.shard]
        stamps = [
            [image_id, path, *file_stamp(images_root / path)]
            for image_id, path in zip(part.image_id, part.path, strict=True)
        ]
        made = fingerprint(source.provenance, stamps)
        shards.append(Shard(folder / f"part-{number:05d}.parquet", part, made))
    pending = [shard for shard in shards if not shard.is_complete()]
    done = len(images) - sum(len(shard.images) for shard in pending)
    if done:
        log.info("teacher: %d of %d images were embedded before", done, len(images))
    progress = ExtractionProgress(len(images), done)
    for shard in pending:
        rows = []
        for row in source.rows(shard.images):
            if reason := unusable_reason(row, teacher.dimension):
                row = replace(row, vector=None, error=reason)
            progress.count(row)
            rows.append(row)
        shard.write(rows, teacher.dimension, source.provenance)
        if progress.failed > teacher.failed * len(images):
            reasons = Counter(row.error for row in rows if row.error).most_common()
            raise InputError(
                f"{progress.failed} of {len(images)} images have no embedding, more than "
                f"teacher.failed ({teacher.failed:g}) allows: "
                f"{some([f'{n} x {error}' for error, n in reasons], 3)}. The columns status and "
                f"error of {shard.path} list them. Repair the images, or raise teacher.failed."
            )
    progress.close()
    return chain.from_iterable(shard.read() for shard in shards)
