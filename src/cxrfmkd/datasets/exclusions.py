"""Images of a dataset that no model is measured on, so that all are measured on the same ones.

Packing cannot read some images, and a teacher has no embedding of others. Some models need only
the one and some only the other, so that each predicts what it has; what is measured are the images
that all of them have.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from cxrfmkd.datasets.records import present
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.vocabulary.teachers import TEACHER

log = logging.getLogger(__name__)

REASONS = ("unreadable", "without_embedding")  # an image that is both counts as the first


def excluded_images(records: pd.DataFrame, images: KeyedArray, *teachers: KeyedArray) -> pd.Series:
    """Why images of `records` are left out of every measurement: one of REASONS, by image_id.

    images, teachers: the packed images and every teacher's embeddings of a dataset. Raises
    InputError for a record that one of them lacks without having declared it as excluded.
    """
    unreadable, without_embedding = REASONS
    reasons = pd.Series(None, records.image_id, dtype="object")
    for array in (*teachers, images):
        has_it = records.image_id.isin(present(records, array).image_id)
        reasons[~has_it.to_numpy()] = unreadable if array is images else without_embedding
    return reasons.dropna()


def excluded_of_each(
    records: Mapping[str, pd.DataFrame],
    images: Iterable[KeyedArray],
    teachers: Iterable[KeyedArray],
) -> dict[str, pd.Series]:
    """`excluded_images` of several datasets, by name.

    records: by name of the dataset. images, teachers: in any order, of which a dataset may have
    several; the folder that an array lies in is that of its dataset.
    """
    images_of = {_dataset_of(array): array for array in images}
    teachers_of: dict[str, list[KeyedArray]] = {}
    for array in teachers:
        teachers_of.setdefault(_dataset_of(array), []).append(array)
    return {
        name: excluded_images(table, images_of[name], *teachers_of[name])
        for name, table in records.items()
    }


def _dataset_of(array: KeyedArray) -> str:
    """The dataset in whose folder an array lies; further teachers are a folder deeper."""
    folder = Path(array.name)
    first = folder.name in ("images", TEACHER)
    return (folder if first else folder.parent).parent.name


def nothing() -> pd.Series:
    """What `excluded_images` returns where nothing is missing."""
    return pd.Series([], pd.Index([], name="image_id"), dtype="object")


def measured_images(records: pd.DataFrame, excluded: pd.Series) -> pd.DataFrame:
    """The records without those whose image_id is in the index of `excluded`, in order."""
    return records[~records.image_id.isin(excluded.index)].reset_index(drop=True)


def count_exclusions(splits: Mapping[str, pd.DataFrame], excluded: pd.Series) -> pd.DataFrame:
    """A row per split: `split`, its `images`, those left out for each of REASONS, the `measured`.

    splits: records by name of the split; excluded: from `excluded_images`.
    """
    rows = []
    for split, records in splits.items():
        reasons = excluded[excluded.index.isin(records.image_id)]
        counts = {reason: int((reasons == reason).sum()) for reason in REASONS}
        remaining = len(records) - sum(counts.values())
        rows.append({"split": split, "images": len(records), **counts, "measured": remaining})
        if len(reasons):
            listed = ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in counts.items())
            log.info(
                "%s: %d of %d images are measured (%s)", split, remaining, len(records), listed
            )
    return pd.DataFrame(rows)
