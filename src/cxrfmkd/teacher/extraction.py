"""Embeddings made in shards that survive a kill, and that together give the same bytes.

A shard is a Parquet file of one stretch of the list of images. It is complete if it opens, has its
rows and carries its identity: a hash of the images (path, size, time) and of all that decides their
vectors. Everything else is made again. So a killed job continues where it was, and one with another
model or other images does not use shards that are not its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import atomic_write, file_stamp
from cxrfmkd.runtime.progress import Progress
from cxrfmkd.runtime.provenance import canonical, fingerprint
from cxrfmkd.runtime.seals import verify
from cxrfmkd.study.settings import Teacher
from cxrfmkd.teacher.checks import Exclusions, unusable_reason
from cxrfmkd.teacher.rows import EmbeddingRow, EmbeddingSource

log = logging.getLogger(__name__)
FIRST_REPORT = 20  # images after which the rate is logged, so that a fall-back to the CPU shows


@dataclass(frozen=True)
class Shard:
    """A file of embeddings of some images. made: its identity, of these images and this source."""

    path: Path
    images: pd.DataFrame
    made: str

    def is_complete(self) -> bool:
        """Whether the file is there, whole, and of this identity."""
        try:
            file = pq.ParquetFile(verify(self.path))
        except (OSError, pa.ArrowInvalid, InputError):
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
        with atomic_write(self.path, sealed=True) as partial:
            pq.write_table(table, partial, use_dictionary=False, write_statistics=False)

    def read(self) -> Iterator[EmbeddingRow]:
        """Yield the rows of the file, in their order."""
        for row in pq.read_table(self.path).to_pandas().itertuples():
            yield EmbeddingRow(
                row.image_id, row.embedding, row.error, row.height, row.width, row.bits
            )


def extract(
    source: EmbeddingSource,
    images: pd.DataFrame,
    images_root: Path,
    folder: Path,
    teacher: Teacher,
    exclusions: Exclusions,
) -> Iterator[EmbeddingRow]:
    """Make the shards that are not there yet, then give a row for every image, in their order.

    Raises InputError after the shard with which the exclusions are too many.
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
    with closing(_embed(source, pending, teacher.dimension, len(images), exclusions)) as rows:
        for shard in pending:
            shard_rows = list(islice(rows, len(shard.images)))
            shard.write(shard_rows, teacher.dimension, source.provenance)
            exclusions.check()
    return chain.from_iterable(shard.read() for shard in shards)


def _embed(
    source: EmbeddingSource,
    shards: list[Shard],
    dimension: int,
    total: int,
    exclusions: Exclusions,
) -> Generator[EmbeddingRow]:
    """Embed the shards' images, check each row, and report progress.

    The clock starts with the first row, when the model is loaded.
    """
    done = total - sum(len(shard.images) for shard in shards)
    if done:
        log.info("teacher: %d of %d images were embedded before", done, total)
    started, progress = 0.0, None
    rows = chain.from_iterable(source.rows(shard.images) for shard in shards)
    try:
        for count, row in enumerate(rows, 1):
            if progress is None:
                started, progress = time.monotonic(), Progress("teacher", total, done)
            if reason := unusable_reason(row, dimension):
                exclusions.reasons[row.image_id] = reason
                row = replace(row, vector=None, error=reason)
            rate = count / max(time.monotonic() - started, 1e-9)
            message = f"{rate:.1f} images/s, {len(exclusions.reasons)} failed"
            progress.step(message)
            if count == FIRST_REPORT:
                progress.say(f"after {count} images: {message}")
            yield row
    finally:
        if progress is not None:
            progress.close()
