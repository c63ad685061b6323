"""A tiny prepared dataset: records on disk and keyed arrays with planted labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.datasets.records import complete, write_records
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.vocabulary.findings import FINDINGS

SIZES = {"train": 120, "val": 60, "test": 50}


def make(root: Path, width: int = 12, dimension: int = 7, seed: int = 0) -> dict[str, Path]:
    """Write records, `features` (n, width) and `teacher` (n, dimension) under `root`.

    Labels are linear in both.

    The arrays hold the images in another order than the records.
    """
    random = np.random.default_rng(seed)
    n = sum(SIZES.values())
    latent = random.normal(size=(n, 5))
    scores = latent @ random.normal(size=(5, 14)) + random.logistic(size=(n, 14))
    labels = pd.DataFrame((scores > 0.5).astype(float), columns=list(FINDINGS))
    split = np.repeat(list(SIZES), list(SIZES.values()))
    records = pd.DataFrame(
        {
            "image_id": [f"{s}/{i:03d}" for i, s in enumerate(split)],
            "patient_id": [f"{s}{i // 2}" for i, s in enumerate(split)],
            "study_id": [f"study{i}" for i in range(n)],
            "path": [f"{s}/{i:03d}.png" for i, s in enumerate(split)],
            "sex": random.choice(["Male", "Female"], n),
            "age": random.integers(20, 90, n).astype(float),
            "race": random.choice(["White", "Asian", "Black"], n),
            "view": "PA",
            "split": split,
        }
    ).join(labels)
    paths = {}
    for name in SIZES:
        paths[name] = root / "records" / f"{name}.csv"
        write_records(paths[name], complete(records[records.split == name]))
    order = random.permutation(n)
    index = records[["image_id"]].iloc[order].reset_index(drop=True)
    for name, size in (("features", width), ("teacher", dimension)):
        rows = latent @ random.normal(size=(5, size)) + 0.1 * random.normal(size=(n, size)) + 3
        KeyedArray(rows[order].astype(np.float32), index, {}, name).save(root / name)
        paths[name] = root / name / "meta.json"
    return paths
