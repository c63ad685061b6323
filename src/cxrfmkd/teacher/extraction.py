"""Embeddings made in shards that survive a kill, and go together into the same bytes.

A shard is a Parquet file of one stretch of the list of films. It counts as done if it opens, has its rows and carries
the name of its making: a hash of the films (path, size, time) and of all that decides their vectors. Everything else is
made again. So a killed job goes on where it was, and one with another model or other films does not
pick up what is not its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxrfmkd.errors import InputError, some
from cxrfmkd.files import whole
from cxrfmkd.provenance import canonical, fingerprint
from cxrfmkd.teacher.sources import Row, Source

log = logging.getLogger(__name__)
REPORT = 30  # seconds between lines of progress


def stamp(path: Path) -> list[int]:
    """Size and time of a file, or nothing if it is not there."""
    try:
        facts = path.stat()
    except OSError:
        return []
    return [facts.st_size, facts.st_mtime_ns]


def making(films: pd.DataFrame, images_root: Path, facts: dict) -> str:
    """The name of a shard's making: equal if and only if films and settings are."""
    listed = [
        [image_id, path, *stamp(images_root / path)]
        for image_id, path in zip(films.image_id, films.path, strict=True)
    ]
    return fingerprint(facts, listed)


def shard_schema(dimension: int, facts: dict) -> pa.Schema:
    """Columns of a shard; its metadata under `cxrfmkd` is `facts` as JSON."""
    return pa.schema(
        [
            ("image_id", pa.string()),
            ("embedding", pa.list_(pa.float32(), dimension)),
            ("height", pa.int32()),
            ("width", pa.int32()),
            ("bits", pa.int8()),
            ("status", pa.string()),
            ("error", pa.string()),
        ],
        metadata={"cxrfmkd": canonical(facts)},
    )


def write_shard(path: Path, rows: list[Row], dimension: int, facts: dict) -> None:
    """Write rows as one Parquet file, whole or not at all; a failure's vector is null, never zeros."""
    good = [row.vector for row in rows if row.vector is not None]
    values = np.concatenate(good) if good else np.empty(0, np.float32)
    positions = np.cumsum([row.vector is not None for row in rows]) - 1
    absent = np.array([row.vector is None for row in rows], bool)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(values, pa.float32()), dimension)
    vectors = vectors.take(pa.array(positions, pa.int64(), mask=absent))
    columns = [
        [row.image_id for row in rows],
        vectors,
        [row.height for row in rows],
        [row.width for row in rows],
        [row.bits for row in rows],
        ["failed" if row.error else "ok" for row in rows],
        [row.error for row in rows],
    ]
    schema = shard_schema(dimension, facts)
    arrays = [pa.array(column, kind.type) if isinstance(column, list) else column
              for column, kind in zip(columns, schema, strict=True)]  # fmt: skip
    table = pa.Table.from_arrays(arrays, schema=schema)
    with whole(path) as partial:
        pq.write_table(table, partial, use_dictionary=False, write_statistics=False)


def read_shard(path: Path) -> Iterator[Row]:
    """The rows of a shard, in their order."""
    table = pq.read_table(path)
    vectors = table["embedding"].combine_chunks()
    facts = table.drop_columns("embedding").to_pandas()
    absent = vectors.is_null().to_numpy(zero_copy_only=False)
    values = vectors.flatten().to_numpy().reshape(-1, vectors.type.list_size)  # nulls left out
    position = np.cumsum(~absent) - 1
    for i, row in enumerate(facts.itertuples()):
        vector = None if absent[i] else values[position[i]]
        yield Row(row.image_id, vector, row.error, row.height, row.width, row.bits)


def is_done(path: Path, rows: int, made: str) -> bool:
    """Whether `path` is a whole shard of this making."""
    try:
        facts = pq.ParquetFile(path)
        metadata = facts.schema_arrow.metadata or {}
        return facts.metadata.num_rows == rows and f'"made":"{made}"'.encode() in metadata.get(
            b"cxrfmkd", b""
        )
    except (OSError, pa.ArrowInvalid):
        return False


class Progress:
    """Lines of progress: done, rate, time left, failures."""

    def __init__(self, total: int, done: int) -> None:
        self.total, self.done, self.before, self.failed = total, done, done, 0
        self.started = 0.0

    def count(self, row: Row) -> None:
        if not self.started:  # the model is loaded by now
            self.started = self.reported = time.monotonic()
        self.done += 1
        self.failed += bool(row.error)
        now = time.monotonic()
        if now - self.reported > REPORT or self.done - self.before == 20 or self.done == self.total:
            self.reported = now
            rate = (self.done - self.before) / max(now - self.started, 1e-9)
            hours = (self.total - self.done) / rate / 3600
            log.info(
                "teacher: %d of %d films, %.1f films/s, %s left, %d failed",
                self.done, self.total, rate,
                f"{hours:.1f} h" if hours > 1 else f"{60 * hours:.0f} min",
                self.failed,
            )  # fmt: skip


def extract(
    source: Source,
    films: pd.DataFrame,
    images_root: Path,
    folder: Path,
    dimension: int,
    size: int,
    failed: float,
) -> Iterator[Row]:
    """A row for every film, in their order; what was made before is read from `folder`.

    size: films per shard. failed: share of films without a vector above which InputError is raised.
    """
    stretches = [films.iloc[start : start + size] for start in range(0, len(films), size)]
    paths = [folder / f"part-{number:05d}.parquet" for number in range(len(stretches))]
    made = [making(stretch, images_root, source.facts) for stretch in stretches]
    open_ones = [i for i, path in enumerate(paths) if not is_done(path, len(stretches[i]), made[i])]
    progress = Progress(len(films), len(films) - sum(len(stretches[i]) for i in open_ones))
    if progress.done:
        log.info("teacher: %d of %d films were embedded before", progress.done, len(films))
    for i in open_ones:
        rows = []
        for row in source.rows(stretches[i]):
            progress.count(row)
            rows.append(row)
        write_shard(paths[i], rows, dimension, {**source.facts, "made": made[i]})
        if progress.failed > failed * len(films):
            reasons = [f"{row.image_id}: {row.error}" for row in rows if row.error]
            raise InputError(
                f"{progress.failed} of {len(films)} films have no embedding, more than teacher.failed "
                f"({failed:g}) allows: {some(reasons, 3)}. Repair the films, or raise teacher.failed."
            )
    for path in paths:
        yield from read_shard(path)
