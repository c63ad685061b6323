"""How a record and a stored vector find each other: by a named rule, never by order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import PurePosixPath

import pandas as pd

from cxrfmkd.datasets.decoding import IMAGE_SUFFIXES
from cxrfmkd.runtime.cells import masked
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.study.settings import TeacherSource
from cxrfmkd.vocabulary.teachers import FILE_SUFFIXES

SUFFIXES = {*IMAGE_SUFFIXES, *chain(*FILE_SUFFIXES.values())}
CHEXPERT = re.compile(r"(?:.*/)?(patient\d+)/(study\d+)/(view\d+_[a-z]+)")
DICOM_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")


def without_suffix(name: str) -> str:
    """A relative path with forward slashes and without the suffix of an image or vector file."""
    name = str(name).replace("\\", "/")
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in SUFFIXES else name


def record_key(rule: str, image_id: str, path: str) -> str:
    """The key that a record has under `rule`.

    image-id: its image_id. path: its path without the suffix. basename: the file's name alone.
    chexpert-flat: `patient24428_study22_view1_frontal`. mimic-dicom: the DICOM id, the file's name.
    Raises ValueError if the path does not fit the rule.
    """
    if rule == "image-id":
        return without_suffix(image_id)
    path = without_suffix(path)
    if rule == "path":
        return path
    name = path.rpartition("/")[2]
    if rule == "chexpert-flat":
        match = CHEXPERT.fullmatch(path)
        if match is None:
            raise ValueError(f"its path is {masked(path)}, not .../patient#/study#/view#_frontal")
        return "_".join(match.groups())
    if rule == "mimic-dicom" and not DICOM_ID.fullmatch(name):
        raise ValueError(f"its file {masked(name)} is no MIMIC DICOM id")
    return name


def key_rule(settings: TeacherSource) -> str:
    """How the records of a dataset and the vectors of its source find each other."""
    return settings.key or ("image-id" if settings.source == "parquet" else "path")


def stored_key(rule: str, name: str) -> str:
    """The key of a stored vector from its relative file name, or its name in a table."""
    name = without_suffix(name)
    return name if rule in ("image-id", "path") else name.rpartition("/")[2]


def add_keys(records: pd.DataFrame, rule: str) -> pd.DataFrame:
    """Columns image_id, path and key of `records`.

    Raises InputError if a path does not fit the rule, or two records get one key: one vector would
    then stand for both.
    """
    keys: list[str] = []
    for image_id, path in zip(records.image_id, records.path, strict=True):
        try:
            keys.append(record_key(rule, image_id, path))
        except ValueError as error:
            raise InputError(
                f"teacher.key is {rule}, but record {len(keys) + 1}: {error}. Choose another rule."
            ) from None
    counts = Counter(keys)
    duplicates = [row for row, key in enumerate(keys, 1) if counts[key] > 1]
    if duplicates:
        raise InputError(
            f"teacher.key is {rule}, and {len(duplicates)} records share their key with another, "
            f"such as {masked(keys[duplicates[0] - 1])} (records {some(duplicates)}). Files named "
            "so have overwritten each other. Choose a rule that keeps the folders: path, or "
            "chexpert-flat."
        )
    return pd.DataFrame({"image_id": records.image_id, "path": records.path, "key": keys})


def match_keys(
    records: pd.DataFrame, rule: str, stored_keys: Iterable[str], location: str
) -> tuple[pd.DataFrame, list[str], dict]:
    """Match records (image_id, path) and stored vectors by their keys.

    Returns the images that have a vector (image_id, path, key), the image_ids of those that have
    none, and the counts for meta.json. location: of the vectors, for messages.
    Raises InputError if an image has two vectors, or no image has one.
    """
    images = add_keys(records, rule)
    counts = Counter(stored_keys)
    matched = images[images.key.isin(counts.keys())]
    duplicates = [key for key in matched.key if counts[key] > 1]
    if duplicates:
        raise InputError(
            f"{location}: {len(duplicates)} images have more than one vector, such as "
            f"{masked(duplicates[0])}. Remove one of the copies, or choose a teacher.key that "
            "tells them apart."
        )
    if matched.empty and len(images):
        raise InputError(
            f"{location}: none of {len(images)} images has a vector among {len(counts)}. An "
            f"image's key is {masked(images.key.iloc[0])}; the source has "
            f"{masked(next(iter(counts), 'nothing'))}. Set teacher.key to the rule that fits."
        )
    missing = list(images.image_id[~images.key.isin(counts.keys())])
    return (
        matched,
        missing,
        {
            "key": rule,
            "matched": len(matched),
            "missing": len(missing),
            "extra": counts.total() - len(matched),
            "duplicate_keys": sum(count > 1 for count in counts.values()),
        },
    )
