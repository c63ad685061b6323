"""The teacher's embeddings of a dataset, from whatever source, as one checked keyed array."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.files import atomic_write, write_json, write_table
from cxrfmkd.study.settings import Teacher
from cxrfmkd.study.teachers import VARIANTS, Settings
from cxrfmkd.teacher import checks, keys
from cxrfmkd.teacher.extraction import extract
from cxrfmkd.teacher.rows import Row, Source
from cxrfmkd.teacher.sources import open_source

log = logging.getLogger(__name__)
FACTS = ("height", "width", "bits")


def embed(
    records: pd.DataFrame,
    images_root: Path,
    settings: dict,
    teacher: Teacher,
    out: Path,
    shards: Path,
    dataset: str = "",
) -> KeyedArray:
    """Write the embeddings of `records` as a keyed array at `out`, and open it.

    records: columns image_id (unique) and path (relative to images_root).
    settings: a dataset's `teacher` section. shards: folder for what must survive a kill; used where
    embeddings are made. Images without a usable vector are not in the array; they are in
    `excluded.csv` and in meta's `excluded`. Raises InputError for settings or a source that cannot
    be right, and if more than the share teacher.failed of the images have no vector.
    """
    chosen = Settings.read(settings)
    with closing(open_source(chosen, teacher, Path(images_root))) as source:
        where = ", ".join(map(str, chosen.path)) or chosen.source
        images, counts, reasons = _find(records, chosen, source, where)
        if source.keys is None:
            rows: Iterable[Row] = extract(
                source,
                images,
                Path(images_root),
                Path(shards),
                teacher.dimension,
                teacher.shard,
                teacher.failed,
            )
        else:
            _check(reasons, len(records), teacher, where, Path(out))
            rows = source.rows(images)
        return _assemble(
            rows,
            images,
            reasons,
            len(records),
            where,
            Path(out),
            teacher,
            {
                "name": teacher.name,
                "dataset": dataset,
                "variant": chosen.variant,
                "title": VARIANTS[chosen.variant].title,
                "licence": VARIANTS[chosen.variant].licence,
                "source": chosen.source,
                "dimension": teacher.dimension,
                **source.facts,
                **counts,
            },
        )


def _find(
    records: pd.DataFrame, chosen: Settings, source: Source, where: str
) -> tuple[pd.DataFrame, dict, dict[str, str]]:
    """The images to embed, what the join found, and the images without a vector with the reason."""
    if source.keys is None:
        return records[["image_id", "path"]].assign(key=records.image_id), {}, {}
    match = keys.match(keys.keyed(records, chosen.rule), source.keys, where)
    counts = {
        "key": chosen.rule,
        "matched": len(match.images),
        "missing": len(match.missing),
        "extra": match.extra,
        "duplicate_keys": match.duplicates,
    }
    log.info(
        "teacher: %d images matched, %d without a vector; %d vectors of no image",
        *list(counts.values())[1:4],
    )
    return match.images, counts, dict.fromkeys(match.missing, "no vector in the source")


def _assemble(
    rows: Iterable[Row],
    images: pd.DataFrame,
    reasons: dict[str, str],
    total: int,
    where: str,
    out: Path,
    teacher: Teacher,
    meta: dict,
) -> KeyedArray:
    """Stream rows into `out`, check them, leave out what failed, describe the rest."""
    (out / "meta.json").unlink(missing_ok=True)
    images = images.reset_index(drop=True)
    position = {image_id: i for i, image_id in enumerate(images.image_id)}
    good = np.zeros(len(images), bool)
    facts = np.zeros((len(images), len(FACTS)), np.int32)
    with atomic_write(out / "data.npy") as partial:
        shape = (len(images), teacher.dimension)
        data = np.lib.format.open_memmap(partial, "w+", np.float32, shape)
        for row in rows:
            i = position.pop(row.image_id)
            reason = row.error or checks.fault(row.vector, teacher.dimension)
            if reason:
                reasons[row.image_id] = reason
                continue
            data[i] = row.vector
            good[i] = True
            facts[i] = row.height, row.width, row.bits
        reasons.update(dict.fromkeys(position, "the source gave no answer"))
        excluded = _check(reasons, total, teacher, where, out)
        kept = compact(partial, data, good)
        del data
        embedded = np.load(partial, mmap_mode="r")
        repeated = checks.repeats(embedded, images.image_id[good])
        listed = out / "repeated.csv"
        write_table(listed, pd.DataFrame(repeated, columns=["image_id", "equals"]))
        checks.check_repeats(repeated, kept, where, listed)
        meta |= {"rows": kept, **checks.summary(embedded), "repeated": len(repeated)}
    index = images.loc[good, ["image_id", "key"]].reset_index(drop=True)
    if facts.any():
        index = index.drop(columns="key")
        for name, column in zip(FACTS, facts[good].T, strict=True):
            index[name] = column
    write_table(out / "index.parquet", index)
    write_json(out / "meta.json", {**meta, "excluded": excluded})
    log.info("teacher: %d embeddings, %d images excluded", kept, len(excluded))
    return KeyedArray.open(out)


def _check(
    reasons: dict[str, str], total: int, teacher: Teacher, where: str, out: Path
) -> list[str]:
    """List the images without a vector in `out`/excluded.csv, and stop if they are too many;
    returns their ids.

    No message names an image, since messages end in logs, which may leave the house.
    """
    listed = out / "excluded.csv"
    excluded = pd.DataFrame(sorted(reasons.items()), columns=["image_id", "reason"])
    write_table(listed, excluded)
    checks.check_faults(reasons, total, teacher.failed, where, listed)
    return list(excluded.image_id)


def compact(path: Path, data: np.memmap, good: np.ndarray) -> int:
    """Move the good rows of `data`, a memory map of the .npy file `path`, to its front and cut the
    rest off.

    Returns the number of rows that remain. Works in the file, with a block of rows in memory.
    """
    source = np.flatnonzero(good)
    if len(source) < len(data):
        for start in range(0, len(source), checks.BLOCK):
            block = source[start : start + checks.BLOCK]
            data[start : start + len(block)] = data[block]
        data.flush()
        header = io.BytesIO()
        about = np.lib.format.header_data_from_array_1_0(data[: len(source)])
        np.lib.format.write_array_header_1_0(header, about)
        if header.tell() != data.offset:
            raise RuntimeError(f"{path}: NumPy wrote a header of another length")
        with open(path, "r+b") as file:
            file.write(header.getvalue())
            file.truncate(data.offset + data[: len(source)].nbytes)
    return len(source)
