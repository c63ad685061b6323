"""The teacher's embeddings of a dataset, from whatever source, as one checked keyed array."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pandas as pd

from cxrfmkd.runtime.arrays import EMBEDDED, KeyedArray, create_data, write_meta
from cxrfmkd.runtime.files import atomic_write, write_table
from cxrfmkd.runtime.storage import reserve
from cxrfmkd.study.settings import Teacher, TeacherSource
from cxrfmkd.teacher.checks import BLOCK, Exclusions, check_repeats, summary, unusable_reason
from cxrfmkd.teacher.extraction import extract
from cxrfmkd.teacher.keys import key_rule, match_keys
from cxrfmkd.teacher.rows import EmbeddingRow
from cxrfmkd.teacher.sources import open_source

log = logging.getLogger(__name__)
IMAGE_FACTS = ["height", "width", "bits"]


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
    source_settings = TeacherSource.read(settings, "teacher.")
    variant = teacher.variant(source_settings.variant)
    location = ", ".join(map(str, source_settings.path)) or source_settings.source
    exclusions = Exclusions(len(records), teacher.failed, location, Path(out) / "excluded.csv")
    with closing(open_source(source_settings, teacher, Path(images_root))) as source:
        if source.stored_keys is None:
            images = records[["image_id", "path"]].assign(key=records.image_id)
            counts: dict = {}
            rows = extract(source, images, Path(images_root), Path(shards), teacher, exclusions)
        else:
            rule = key_rule(source_settings)
            images, missing, counts = match_keys(records, rule, source.stored_keys, location)
            log.info(
                "teacher: %(matched)d images matched, %(missing)d without a vector; "
                "%(extra)d vectors of no image",
                counts,
            )
            exclusions.reasons.update(dict.fromkeys(missing, "no vector in the source"))
            exclusions.check()
            rows = source.rows(images)
        meta = {
            "what": EMBEDDED,
            "name": teacher.name,
            "dataset": dataset,
            "variant": source_settings.variant,
            "title": variant.title,
            "licence": variant.licence,
            "source": source_settings.source,
            "dimension": teacher.dimension,
            **source.provenance,
            **counts,
        }
        _write_array(Path(out), rows, images.reset_index(drop=True), exclusions, meta)
    return KeyedArray.open(out)


def _write_array(
    out: Path,
    rows: Iterable[EmbeddingRow],
    images: pd.DataFrame,
    exclusions: Exclusions,
    meta: dict,
) -> None:
    """Write the usable rows as a keyed array, in the order of `images`.

    Rows may come in any order and fail, so they are collected in an unnamed file; memory holds a
    block of them.
    """
    (out / "meta.json").unlink(missing_ok=True)
    with atomic_write(out / "data.npy") as partial, TemporaryFile(dir=out) as file:
        reserve(file.fileno(), 4 * max(1, len(images)) * meta["dimension"])
        collected = np.memmap(file, np.float32, "r+", shape=(len(images), meta["dimension"]))
        facts = _collect(rows, list(images.image_id), collected, exclusions)
        excluded = exclusions.check()
        usable = np.flatnonzero(~images.image_id.isin(excluded))
        shape = (len(usable), meta["dimension"])
        data = create_data(partial, np.float32, shape)
        for start in range(0, len(usable), BLOCK):
            data[start : start + BLOCK] = collected[usable[start : start + BLOCK]]
        index = images.loc[usable, ["image_id", "key"]].reset_index(drop=True)
        listing = out / "repeated.csv"
        repeated = check_repeats(data, index.image_id, exclusions.location, listing)
        meta |= {"rows": len(data), **summary(data), "repeated": repeated, "excluded": excluded}
    if facts.any():
        index = index[["image_id"]].assign(**dict(zip(IMAGE_FACTS, facts[usable].T, strict=True)))
    write_table(out / "index.parquet", index, sealed=False)
    write_meta(out, meta)
    log.info("teacher: %d embeddings, %d images excluded", len(index), len(excluded))


def _collect(
    rows: Iterable[EmbeddingRow],
    image_ids: list[str],
    vectors: np.ndarray,
    exclusions: Exclusions,
) -> np.ndarray:
    """Put each usable vector into its image's row of `vectors`, and exclude the other images.

    Returns height, width and bits of the images: shape (len(image_ids), 3), int32, 0 where unknown.
    """
    facts = np.zeros((len(image_ids), len(IMAGE_FACTS)), np.int32)
    positions = {image_id: i for i, image_id in enumerate(image_ids)}
    for row in rows:
        i = positions.pop(row.image_id)
        if reason := unusable_reason(row, vectors.shape[1]):
            exclusions.reasons[row.image_id] = reason
        else:
            vectors[i] = row.vector
            facts[i] = row.height, row.width, row.bits
    exclusions.reasons.update(dict.fromkeys(positions, "the source gave no row for it"))
    return facts
