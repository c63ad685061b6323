"""Embeddings made in shards that survive a kill, and go together into the same bytes.

A shard is a Parquet file of one stretch of the list of images. It counts as done if it opens, has
its rows and carries
the name of its making: a hash of the images (path, size, time) and of all that decides their
vectors. Everything else is made again. So a killed job goes on where it was, and one with another
model or other images does not pick up what is not its own.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.files import atomic_write
from cxrfmkd.runtime.progress import Progress
from cxrfmkd.runtime.provenance import canonical, fingerprint
from cxrfmkd.teacher.checks import fault
from cxrfmkd.teacher.rows import Row, Source

log = logging.getLogger(__name__)
EARLY = 20  # images after which the rate is told, so that a silent fall-back to the CPU shows


def stamp(path: Path) -> list[int]:
    """Size and time of a file, or nothing if it is not there."""
    try:
        facts = path.stat()
    except OSError:
        return []
    return [facts.st_size, facts.st_mtime_ns]


def making(images: pd.DataFrame, images_root: Path, facts: dict) -> str:
    """The name of a shard's making: equal if and only if images and settings are."""
    listed = [
        [image_id, path, *stamp(images_root / path)]
        for image_id, path in zip(images.image_id, images.path, strict=True)
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
    arrays = [
        pa.array(column, kind.type) if isinstance(column, list) else column
        for column, kind in zip(columns, schema, strict=True)
    ]
    table = pa.Table.from_arrays(arrays, schema=schema)
    with atomic_write(path) as partial:
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


class Report:
    """Lines of progress with rate, time left and failures; the clock starts with the first image, when the model is loaded."""

    def __init__(self, total: int, done: int) -> None:
        self.total, self.before, self.images, self.failed = total, done, 0, 0
        self.started = 0.0
        self.progress: Progress | None = None

    def count(self, row: Row) -> None:
        if self.progress is None:
            self.started = time.monotonic()
            self.progress = Progress("teacher", self.total, self.before)
        self.images += 1
        self.failed += bool(row.error)
        rate = self.images / max(time.monotonic() - self.started, 1e-9)
        said = f"{rate:.1f} images/s, {self.failed} failed"
        self.progress.step(said)
        if self.images == EARLY:
            self.progress.say(f"after {EARLY} images: {said}")

    def close(self) -> None:
        if self.progress is not None:
            self.progress.close()


def extract(
    source: Source,
    images: pd.DataFrame,
    images_root: Path,
    folder: Path,
    dimension: int,
    size: int,
    failed: float,
) -> Iterator[Row]:
    """Make the shards that are not there yet, then give a row for every image, in their order.

    size: images per shard. failed: share of images without a vector above which InputError is
    raised.
    """
    stretches = [images.iloc[start : start + size] for start in range(0, len(images), size)]
    paths = [folder / f"part-{number:05d}.parquet" for number in range(len(stretches))]
    made = [making(stretch, images_root, source.facts) for stretch in stretches]
    open_ones = [i for i, path in enumerate(paths) if not is_done(path, len(stretches[i]), made[i])]
    report = Report(len(images), len(images) - sum(len(stretches[i]) for i in open_ones))
    if report.before:
        log.info("teacher: %d of %d images were embedded before", report.before, len(images))
    for i in open_ones:
        rows = []
        for row in source.rows(stretches[i]):
            if not row.error and (reason := fault(row.vector, dimension)):
                row = replace(row, vector=None, error=reason)
            report.count(row)
            rows.append(row)
        write_shard(paths[i], rows, dimension, {**source.facts, "made": made[i]})
        if report.failed > failed * len(images):
            reasons = Counter(row.error for row in rows)
            del reasons[""]
            raise InputError(
                f"{report.failed} of {len(images)} images have no embedding, more than "
                "teacher.failed "
                f"({failed:g}) allows: "
                f"{some([f'{n} x {error}' for error, n in reasons.most_common()], 3)}. "
                f"The columns status and error of {paths[i]} list them. Repair the images, or "
                "raise teacher.failed."
            )
    report.close()
    return chain.from_iterable(map(read_shard, paths))
