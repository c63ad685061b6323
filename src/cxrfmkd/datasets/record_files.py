"""Files of records against the summary beside them: content, counts, split.

`summary.json` says of `train.csv`, `val.csv` and `test.csv` what they held when the gates had
passed. Whoever reads one later learns of a row that was moved, lost or edited since.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.files import read_json
from cxrfmkd.runtime.seals import altered, sha256, verify, verify_content, written_by
from cxrfmkd.vocabulary.datasets import SPLITS


def hashes(paths: Sequence[Path]) -> dict[str, dict]:
    """Size and SHA-256 of files by their names, for the summary's `files`."""
    return {path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in paths}


def verify_file(path: Path) -> None:
    """Raise InputError where the summary beside a file of records, or its seal, has another hash.

    A file without a summary beside it, such as a user's own, is taken as it is.
    """
    verify(path)
    told = _summary(path).get("files", {}).get(path.name)
    if told:
        verify_content(path, told["bytes"], told["sha256"], written_by(path))


def verify_rows(path: Path, records: pd.DataFrame) -> None:
    """Raise InputError unless a split's file holds that split alone, in the summary's numbers."""
    if path.name not in {f"{split}.csv" for split in SPLITS}:
        return
    split = path.stem
    if records.empty:
        raise altered(path, "it has no records", written_by(path))
    others = int((records.split != split).sum())
    if others:
        found = some(sorted(records.split[records.split != split].unique()))
        raise altered(path, f"{others} of {len(records)} records are of another split ({found})")
    told = _summary(path).get("counts", {}).get(split, {})
    for what, count in (("images", len(records)), ("patients", records.patient_id.nunique())):
        if told.get(what, count) != count:
            raise altered(
                path, f"it has {count:,} {what}, summary.json says {told[what]:,}", written_by(path)
            )


def declared_groups(path: Path) -> dict[str, list[str]]:
    """The groups of the attributes that the study declared when a file of records was made."""
    return _summary(path).get("attributes", {})


def _summary(path: Path) -> dict:
    beside = path.with_name("summary.json")
    return read_json(beside) if path.parent.name == "records" and beside.is_file() else {}


def reject_outside(paths: pd.Series, source: str) -> None:
    """Raise InputError for image paths that are absolute, or lead above the images' folder."""
    outside = [row for row, path in enumerate(paths) if leads_outside(path)]
    if outside:
        raise InputError(
            f"{source}: {len(outside)} image paths are absolute or lead above the images' folder "
            f"by `..` (rows {some(row + 1 for row in outside)}). Paths must start from the folder "
            "of the images; set datasets.<name>.images to one that holds all of them."
        )


def leads_outside(path: str) -> bool:
    """Whether a relative path leaves the folder that it starts from."""
    pure = PurePosixPath(path)
    return pure.is_absolute() or ".." in pure.parts
