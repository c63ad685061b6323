"""Splits by patient, of datasets that bring none."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings.data import PatientSplit


def draw(patients: pd.Series, train: float, val: float, seed: int) -> pd.Series:
    """train, val or test for every row, the same for all rows of a patient.

    patients: patient of each row, shape (n,). train, val: shares of the *patients*, rounded; the
    rest is test.
    Depends on the set of patients and the seed alone, not on the order of the rows: the sorted
    patients are shuffled by `numpy.random.RandomState`, whose stream numpy has frozen (NEP 19). On
    MIMIC-CXR, whose metadata are sorted by patient, this is the published split of the mimic.sample
    notebook (0.6, 0.1, seed 42), patient for patient.
    """
    if train <= 0 or val < 0 or train + val > 1 + 1e-9:
        raise InputError(
            f"split: shares of train {train} and val {val} must be positive and sum to 1 at the "
            "most."
        )
    unique = np.sort(patients.unique().astype(object))
    order = _shuffled(np.random.RandomState(seed), len(unique))
    first = round(len(unique) * train)
    second = len(unique) - first if train + val > 1 - 1e-9 else round(len(unique) * val)
    side = np.full(len(unique), "test", dtype=object)
    side[order[:first]] = "train"
    side[order[first : first + second]] = "val"
    return patients.map(pd.Series(side, unique)).astype("str").rename("split")


def draw_training(patients: pd.Series, split: PatientSplit) -> pd.Series:
    """Train or val for every row, where a dataset brings its own test set.

    patients: as of `draw`, of the other images. The shares of `split` are of these alone.
    """
    total = split.train + split.val
    return draw(patients, split.train / total, split.val / total, split.seed)


def published_order(records: pd.DataFrame, seed: int) -> pd.DataFrame:
    """`records` in the row order of the mimic.sample notebook: shuffled after the patients.

    The published resampling draws by row, so that the same draws need the same order.
    """
    stream = np.random.RandomState(seed)
    _shuffled(stream, records.patient_id.nunique())
    return records.iloc[_shuffled(stream, len(records))]


def _shuffled(stream: np.random.RandomState, n: int) -> np.ndarray:
    order = np.arange(n)
    stream.shuffle(order)
    return order


def some_patients(patients: pd.Series, limit: int, seed: int) -> pd.Series:
    """Whether each row's patient is among `limit` patients drawn with `seed`.

    A larger limit keeps the patients of a smaller one.
    """
    unique = np.sort(patients.unique().astype(object))
    drawn = unique[_shuffled(np.random.RandomState(seed), len(unique))[:limit]]
    return patients.isin(set(drawn))
