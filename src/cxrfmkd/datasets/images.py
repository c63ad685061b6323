"""Raw images into one packed array: decoded and resized once, sharded, resumable.

Shards live outside the output, named after everything that decides their content, also the sizes
and times of their images' files. So a stopped job goes on where it was, and a changed setting or an
exchanged file never meets old shards. Their rows are the
records' rows in order, whichever process made them, so a resumed result equals an uninterrupted one
byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.datasets import decoding
from cxrfmkd.datasets.decoding import UnreadableError, decode
from cxrfmkd.runtime.arrays import PACKED, KeyedArray, create_data, write_meta
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import atomic_write, file_stamp, remove_files, write_table
from cxrfmkd.runtime.locks import locked
from cxrfmkd.runtime.processes import parallel_map
from cxrfmkd.runtime.progress import Progress
from cxrfmkd.runtime.provenance import code_hash, fingerprint
from cxrfmkd.runtime.seals import seal_path, verify
from cxrfmkd.study.settings import Images

SHARD = 256
FAINT = 16  # of 255 grey levels; an image of less shows nothing
COLUMNS = ("image_id", "height", "width", "bits", "contrast", "sha256")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shard:
    """A stretch of the records and the file that will hold it."""

    file: Path
    image_ids: tuple[str, ...]
    paths: tuple[str, ...]

    def is_complete(self) -> bool:
        """Whether the file is there, and as it was written."""
        if not self.file.exists():
            return False
        try:
            verify(self.file)
        except InputError as error:
            log.warning("%s; its images are decoded again", error)
            return False
        return True


def pack(
    records: pd.DataFrame,
    settings: Images,
    root: str | Path,
    dataset: str,
    out: str | Path,
    shards: str | Path,
    workers: int,
) -> KeyedArray:
    """Pack the images of `records` into the keyed array `out`, uint8 (n, size, size).

    records: image_id, and path below `root`. The index says height, width and bits of each file,
    the contrast of its packed pixels and their sha256; `faint.csv` lists those of hardly any.
    Images that cannot be read are not in the array: `excluded.csv` beside it says which and why,
    and `meta["excluded"]` lists them. Raises InputError if the root is missing or more than
    `settings.unreadable` images cannot be read.
    """
    root, out = Path(root), Path(out)
    if not root.is_dir():
        raise InputError(
            f"datasets.{dataset}.images: there is no folder {root}. Set it to the folder that the "
            "paths in the records start from."
        )
    if records.empty:
        raise InputError(f"{dataset}: the records name no image; look at its records/summary.json.")
    with locked(Path(shards)):
        work = _divide(records, settings, root, Path(shards))
        _decode_all(work, settings, root, workers, len(records))
        facts, excluded = _facts(work)
        if len(excluded):
            log.warning("%d of %d images cannot be read", len(excluded), len(records))
        if len(excluded) > settings.unreadable * len(records) or facts.empty:
            _refuse_unreadable(excluded, work, settings, dataset, root)
        _join(work, facts, settings.size, out)
        write_table(out / "excluded.csv", excluded)
        faint = facts.loc[facts.contrast < FAINT, ["image_id", "contrast"]]
        write_table(out / "faint.csv", faint)
        if len(faint):
            log.warning("%d of %d images are almost constant; faint.csv", len(faint), len(records))
        write_table(out / "index.parquet", facts, sealed=False)
        meta = {
            "what": PACKED,
            "dataset": dataset,
            "settings": settings.model_dump(),
            "code": code_hash(decoding.__file__),
            "excluded": excluded.image_id.tolist(),
            "faint": len(faint),
        }
        write_meta(out, meta)
        remove_files(Path(shards), f"{'[0-9a-f]' * 16}/*.npz")  # also those of earlier settings
    return KeyedArray.open(out)


def _divide(records: pd.DataFrame, settings: Images, root: Path, shards: Path) -> list[Shard]:
    image_ids, paths = records.image_id.tolist(), records.path.tolist()
    code, source = code_hash(decoding.__file__), str(root.resolve())
    how = settings.size, settings.aspect, settings.links
    folder = shards / fingerprint(*how, source, image_ids, paths, code)
    shards_of = []
    for number, start in enumerate(range(0, len(records), SHARD)):
        rows = slice(start, start + SHARD)
        stamps = fingerprint([file_stamp(root / path) for path in paths[rows]])
        file = folder / f"{number:06d}.{stamps}.npz"
        shards_of.append(Shard(file, tuple(image_ids[rows]), tuple(paths[rows])))
    return shards_of


def _decode_all(work: list[Shard], settings: Images, root: Path, workers: int, total: int) -> None:
    """Make the shards that do not exist yet, and report the progress."""
    pending = [shard for shard in work if not shard.is_complete()]
    done = total - sum(len(shard.paths) for shard in pending)
    if done:
        log.info("%d of %d images are in shards already; going on from there", done, total)
    decoded, start, progress = 0, time.monotonic(), Progress("packing images", total, done)
    make = partial(_make, root, settings)
    for images in parallel_map(make, pending, min(workers, max(1, len(pending)))):
        decoded += images
        for _ in range(images):
            progress.step(f"{decoded / (time.monotonic() - start):.0f} images/s")
    progress.close()


def _make(root: Path, settings: Images, shard: Shard) -> int:
    """Decode one shard's images and write its file; returns how many images it has."""
    size, squares = settings.size, list[np.ndarray]()
    facts: list[dict[str, str | int]] = []
    for image_id, path in zip(shard.image_ids, shard.paths, strict=True):
        try:
            image = decode(_located(root, path, settings.links), size, settings.aspect)
        except UnreadableError as error:
            facts.append({"image_id": image_id, "reason": str(error)})
            continue
        squares.append(image.pixels)
        digest = hashlib.sha256(image.pixels.tobytes()).hexdigest()
        values = (image_id, image.height, image.width, image.bits, image.contrast, digest)
        facts.append(dict(zip(COLUMNS, values, strict=True)))
    pixels = np.array(squares, np.uint8).reshape(-1, size, size)
    with atomic_write(shard.file, sealed=True) as partial_file:
        np.savez(partial_file, pixels=pixels, facts=np.array(json.dumps(facts)))
    return len(shard.paths)


def _located(root: Path, path: str, links: bool) -> Path:
    """The file of an image; UnreadableError where a symbolic link leads out of the folder."""
    file = root / path
    try:
        target = file.resolve()
    except (OSError, RuntimeError):
        raise UnreadableError("a symbolic link that leads to itself") from None
    if not links and not target.is_relative_to(root.resolve()):
        raise UnreadableError(
            "a symbolic link leads out of the images' folder; images.links: true follows it"
        )
    return file


def _facts(work: list[Shard]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The index of the packed images, and the list of the excluded ones with their reasons."""
    rows = []
    for shard in work:
        with np.load(shard.file) as content:
            rows += json.loads(str(content["facts"]))
    packed = pd.DataFrame([row for row in rows if "reason" not in row], columns=COLUMNS)
    excluded = [row for row in rows if "reason" in row]
    return packed, pd.DataFrame(excluded, columns=["image_id", "reason"])


def _refuse_unreadable(
    excluded: pd.DataFrame, work: list[Shard], settings: Images, dataset: str, root: Path
) -> None:
    """Raise InputError, and delete the unreadable images' shards, so that they are tried again."""
    total = sum(len(shard.paths) for shard in work)
    unreadable = set(excluded.image_id)
    for shard in work:
        if unreadable.intersection(shard.image_ids):
            shard.file.unlink()
            seal_path(shard.file).unlink(missing_ok=True)
    reasons = excluded.reason.value_counts()
    listed = "; ".join(f"{n} x {reason}" for reason, n in reasons.head(5).items())
    raise InputError(
        f"{dataset}: {len(excluded)} of {total} images below {root} cannot be read, more than "
        f"images.unreadable = {settings.unreadable:g} allows: {listed}. Check "
        f"datasets.{dataset}.images, repair the files, or raise images.unreadable."
    )


def _join(work: list[Shard], facts: pd.DataFrame, size: int, out: Path) -> None:
    """Write data.npy shard by shard, so that memory does not grow with the dataset."""
    with atomic_write(out / "data.npy") as partial_file:
        data = create_data(partial_file, np.uint8, (len(facts), size, size))
        row = 0
        for shard in work:
            with np.load(shard.file) as content:
                pixels = content["pixels"]
            data[row : row + len(pixels)] = pixels
            row += len(pixels)
        data.flush()
