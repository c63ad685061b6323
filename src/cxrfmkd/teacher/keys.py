"""How a record and a stored vector find each other: by a named rule, tested for collisions, never by order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from cxrfmkd.runtime.errors import InputError, some

ENDINGS = {
    ".jpg",
    ".jpeg",
    ".png",
    ".tif",
    ".tiff",
    ".dcm",
    ".dicom",
    ".dat",
    ".npy",
    ".npz",
    ".tfrecord",
    ".tfrecords",
}
CHEXPERT = re.compile(r"(?:.*/)?(patient\d+)/(study\d+)/(view\d+_[a-z]+)")
DICOM_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")


def shape(key: str) -> str:
    """What a key looks like, with a # for every digit: for messages, which must not name a patient."""
    return re.sub(r"[0-9a-f]{8}(?=-|$)|[0-9]", lambda found: "#" * len(found[0]), key)


def bare(name: str) -> str:
    """A relative path with forward slashes and without the ending of an image or vector file."""
    name = str(name).replace("\\", "/")
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in ENDINGS else name


def record_key(rule: str, image_id: str, path: str) -> str:
    """The key that a record has under `rule`.

    image-id: its image_id. path: its path without the ending. basename: the file's name alone.
    chexpert-flat: `patient24428_study22_view1_frontal`. mimic-dicom: the DICOM id, the file's name.
    Raises ValueError if the path does not fit the rule.
    """
    if rule == "image-id":
        return bare(image_id)
    path = bare(path)
    if rule == "path":
        return path
    name = path.rpartition("/")[2]
    if rule == "chexpert-flat":
        match = CHEXPERT.fullmatch(path)
        if match is None:
            raise ValueError(f"its path is {shape(path)}, not .../patient#/study#/view#_frontal")
        return "_".join(match.groups())
    if rule == "mimic-dicom" and not DICOM_ID.fullmatch(name):
        raise ValueError(f"its file {shape(name)} is no MIMIC DICOM id")
    return name


def stored_key(rule: str, name: str) -> str:
    """The key of a stored vector from its relative file name, or its name in a table."""
    name = bare(name)
    return name if rule in ("image-id", "path") else name.rpartition("/")[2]


def keyed(records: pd.DataFrame, rule: str) -> pd.DataFrame:
    """Columns image_id, path and key of `records`.

    Raises InputError if a path does not fit the rule, or two records get one key: one vector would
    then stand for both.
    """
    keys = []
    for image_id, path in zip(records.image_id, records.path, strict=True):
        try:
            keys.append(record_key(rule, image_id, path))
        except ValueError as error:
            raise InputError(
                f"teacher.key is {rule}, but record {len(keys) + 1}: {error}. Choose another rule."
            ) from None
    counts = Counter(keys)
    twice = [row for row, key in enumerate(keys, 1) if counts[key] > 1]
    if twice:
        raise InputError(
            f"teacher.key is {rule}, and {len(twice)} records share their key with another, such "
            "as "
            f"{shape(keys[twice[0] - 1])} (records {some(twice)}). Files named so have overwritten "
            "each other. "
            "Choose a rule that keeps the folders: path, or chexpert-flat."
        )
    return pd.DataFrame({"image_id": records.image_id, "path": records.path, "key": keys})


@dataclass(frozen=True)
class Match:
    """How a list of images and a store of vectors meet.

    images: those that have a vector. missing: image_id of those that have none.
    extra: vectors of no image. duplicates: keys that the store has more than once.
    """

    images: pd.DataFrame
    missing: list[str]
    extra: int
    duplicates: int


def match(images: pd.DataFrame, stored: Iterable[str], where: str) -> Match:
    """Match images (image_id, path, key) and stored keys.

    Raises InputError if an image's key is in the store twice, or no image has a vector.
    """
    counts = Counter(stored)
    held = images.key.isin(counts.keys())
    twice = [key for key in images.key[held] if counts[key] > 1]
    if twice:
        raise InputError(
            f"{where}: {len(twice)} images have more than one vector, such as {shape(twice[0])}. "
            "Remove one of the "
            "copies, or choose a teacher.key that tells them apart."
        )
    if len(images) and not held.any():
        raise InputError(
            f"{where}: none of {len(images)} images has a vector among {len(counts)}. An image is "
            "asked for as "
            f"{shape(images.key.iloc[0])}; the source has {shape(next(iter(counts), 'nothing'))}. "
            "Set teacher.key to the "
            "rule that fits."
        )
    wanted = set(images.key)
    return Match(
        images[held],
        list(images.image_id[~held]),
        sum(count for key, count in counts.items() if key not in wanted),
        sum(count > 1 for count in counts.values()),
    )
