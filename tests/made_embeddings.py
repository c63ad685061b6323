"""Test images with patients, attributes and embeddings with a planted attribute, or none."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.runtime.arrays import KeyedArray

EDGES = (20, 30, 40, 50, 60, 70, 80)


def make_records(
    patients: int, seed: int = 0, images: tuple[int, int] = (1, 4), race: bool = True
) -> pd.DataFrame:
    """Records of split test: `images` per patient (from, below), independent attributes."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), rng.integers(*images, size=patients))
    n = len(owner)
    age = rng.uniform(18, 90, patients)[owner]
    names = rng.choice(["White", "Asian", "Black"], patients, p=[0.5, 0.3, 0.2])[owner]
    return pd.DataFrame(
        {
            "image_id": [f"patient{p}/image{i}" for i, p in enumerate(owner)],
            "patient_id": [f"patient{p}" for p in owner],
            "sex": rng.choice(["Male", "Female"], patients)[owner],
            "age": age,
            "race": names if race else None,
            "view": rng.choice(["AP", "PA"], n),
            "split": "test",
            "disease": rng.choice(
                ["Pleural Effusion", "No Finding", "Other"], n, p=[0.4, 0.2, 0.4]
            ),
            "age_bin": pd.array(np.searchsorted(EDGES, age), dtype="Int64"),
        }
    )


def make_embeddings(
    records: pd.DataFrame,
    width: int = 24,
    seed: int = 0,
    planted: dict[tuple[str, str], float] | None = None,
    clustering: float = 0.0,
) -> KeyedArray:
    """Normal embeddings with falling variances.

    `planted` shifts a group on the first axis by so many deviations.

    clustering: share of the variance that the images of one patient have in common.
    """
    rng = np.random.default_rng(seed)
    owner, _ = pd.factorize(records.patient_id)
    own = rng.normal(size=(len(records), width))
    common = rng.normal(size=(owner.max() + 1, width))[owner]
    values = np.sqrt(1 - clustering) * own + np.sqrt(clustering) * common
    for (attribute, group), shift in (planted or {}).items():
        values[:, 0] += shift * (records[attribute] == group).to_numpy()
    values *= np.linspace(4, 1, width)
    index = pd.DataFrame({"image_id": records.image_id})
    return KeyedArray(values.astype(np.float32), index, {}, "made/embeddings")


def equal_weights(records: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"image_id": records.image_id, "weight": 1.0})
