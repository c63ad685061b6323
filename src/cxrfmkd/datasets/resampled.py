"""The weights of the resampled test set, read and matched to images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_table


def read_weights(path: Path) -> pd.DataFrame:
    """The columns image_id, weight and, of draws, `first` of a dataset's `test_resampled.csv`."""
    columns = ("image_id", "weight", "first")
    return read_table(path, dtype={"image_id": str}, usecols=columns.__contains__)


def draw_order(weights: pd.DataFrame, image_ids: pd.Series) -> np.ndarray:
    """Where in the drawn order each image comes first, float64; InputError where nothing is drawn.

    weights: as from `read_weights`.
    """
    if "first" not in weights:
        raise InputError(
            "test_resampled.csv says nothing of draws: bias.order: drawn needs resampling.method: "
            "draws, and a file that was made by this version."
        )
    return weights.set_index("image_id")["first"].reindex(image_ids).to_numpy(float)


def weights_in_order(weights: pd.DataFrame, image_ids: pd.Series) -> np.ndarray:
    """The weight of each image in `image_ids`, float64.

    weights: columns image_id and weight; images beyond `image_ids` may be among them. Raises
    InputError for a duplicate image_id, an image without a weight, and a weight below 0.
    """
    given = weights.set_index("image_id").weight
    duplicates, absent = given.index.duplicated().sum(), (~image_ids.isin(given.index)).sum()
    if duplicates or absent:
        raise InputError(
            f"test_resampled.csv: {absent} of {len(image_ids)} test images have no weight, and "
            f"{duplicates} rows have a duplicate image_id. It was made from other records; make it "
            "again."
        )
    weight = given.reindex(image_ids).to_numpy(float)
    if bad := int((~np.isfinite(weight) | (weight < 0)).sum()):
        raise InputError(
            f"test_resampled.csv: {bad} of {len(image_ids)} test images have a weight that is "
            "negative or not finite. Make it again."
        )
    return weight
