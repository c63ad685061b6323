"""A small test set with attributes and findings, and predictions of known skill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.datasets.records import complete
from cxrfmkd.runtime.files import write_table
from cxrfmkd.vocabulary.findings import FINDINGS


def records(patients: int = 120, seed: int = 0, split: str = "test") -> pd.DataFrame:
    """One to three images a patient; attributes as good as random; findings of 5 to 50 %."""
    rng = np.random.default_rng(seed)
    images = rng.integers(1, 4, patients)
    patient = np.repeat(np.arange(patients), images)
    n = len(patient)
    table = pd.DataFrame(
        {
            "image_id": [f"{split}/p{p:04d}/i{i}" for i, p in enumerate(patient)],
            "patient_id": [f"{split}-p{p:04d}" for p in patient],
            "study_id": [f"s{i}" for i in range(n)],
        }
    )
    table["path"] = table.image_id + ".jpg"
    for name, values in (("sex", ["Male", "Female"]), ("race", ["White", "Asian", "Black"])):
        table[name] = rng.choice(values, patients)[patient]
    table["age"] = rng.integers(18, 95, patients)[patient].astype(float)
    table["view"] = rng.choice(["AP", "PA"], n)
    share = np.linspace(0.05, 0.5, len(FINDINGS))
    sick = (rng.random((patients, len(FINDINGS))) < share)[patient]
    changed = rng.random((n, len(FINDINGS))) < 0.1
    table[list(FINDINGS)] = (sick ^ changed).astype(float)
    return complete(table.assign(split=split))


def logits(table: pd.DataFrame, skill: float, seed: int) -> np.ndarray:
    """Noise that the images of a patient partly share, and `skill` where the finding is."""
    rng = np.random.default_rng(seed)
    patient = pd.factorize(table.patient_id)[0]
    shared = rng.normal(size=(patient.max() + 1, len(FINDINGS)))[patient]
    own = rng.normal(size=shared.shape)
    return (shared + own + skill * table[list(FINDINGS)].to_numpy() - 2).astype(np.float32)


def write_predictions(path: Path, skill: float, seed: int, **splits: pd.DataFrame) -> Path:
    """predictions.parquet of one run; rows in another order than the records."""
    parts = []
    for split, table in splits.items():
        values = pd.DataFrame(logits(table, skill, seed), columns=list(FINDINGS))
        values.insert(0, "image_id", table.image_id.to_numpy())
        values.insert(1, "split", split)
        parts.append(values)
    shuffled = pd.concat(parts).sample(frac=1, random_state=seed)
    write_table(path, shuffled)
    return path
