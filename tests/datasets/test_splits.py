"""Patient splits: their promises for any patients, and the published one of MIMIC-CXR."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils import shuffle

from cxrfmkd.datasets.halves import half
from cxrfmkd.datasets.splits import draw, published_order, some_patients
from cxrfmkd.runtime.errors import InputError

PATIENTS = st.lists(st.integers(0, 60).map(str), min_size=1, max_size=120)
SEEDS = st.integers(0, 2**32 - 1)


@given(PATIENTS, SEEDS)
def test_no_patient_stands_in_two_splits_and_shares_are_kept(patients, seed):
    patients = pd.Series(patients)
    side = draw(patients, 0.6, 0.1, seed)
    assert side.groupby(patients).nunique().eq(1).all()
    sizes = side.groupby(patients).first().value_counts()
    n = patients.nunique()
    assert sizes.get("train", 0) == round(0.6 * n)
    assert sizes.get("val", 0) == round(0.1 * n)


@given(PATIENTS, SEEDS, st.randoms())
def test_a_patients_split_does_not_depend_on_rows_or_their_order(patients, seed, random):
    once = pd.Series(patients)
    again = [*patients, *patients[:5]]
    random.shuffle(again)
    again = pd.Series(again)
    first = draw(once, 0.6, 0.1, seed).groupby(once).first()
    second = draw(again, 0.6, 0.1, seed).groupby(again).first()
    pd.testing.assert_series_equal(first, second, check_names=False)


@given(PATIENTS, SEEDS)
def test_shares_of_1_leave_nobody_for_the_test_set(patients, seed):
    assert set(draw(pd.Series(patients), 6 / 7, 1 / 7, seed)) <= {"train", "val"}


def test_another_seed_is_another_split():
    patients = pd.Series(range(100)).astype(str)
    assert not draw(patients, 0.6, 0.1, 1).equals(draw(patients, 0.6, 0.1, 2))


@pytest.mark.parametrize(("train", "val"), [(0, 0.1), (0.6, -0.1), (0.8, 0.3)])
def test_impossible_shares_are_refused(train, val):
    with pytest.raises(InputError, match="shares of train"):
        draw(pd.Series(["1"]), train, val, 0)


def test_split_and_order_are_those_of_the_published_notebook():
    """The notebook shuffles patients, then rows, by scikit-learn on numpy's generator, seed 42."""
    random = np.random.default_rng(0)
    patients = (
        np.sort(random.integers(10_000_000, 20_000_000, 2000))
        .astype(str)
        .repeat(random.integers(1, 4, 2000))
    )
    records = pd.DataFrame({"patient_id": patients, "row": range(len(patients))})
    np.random.seed(42)
    unique = shuffle(records.patient_id.to_numpy(object)[~records.patient_id.duplicated()])
    rows = shuffle(records)
    first = round(len(unique) * 0.60)
    second = first + round(len(unique) * 0.10)
    side = draw(records.patient_id, 0.6, 0.1, 42)
    assert set(records.patient_id[side == "train"]) == set(unique[:first])
    assert set(records.patient_id[side == "val"]) == set(unique[first:second])
    assert set(records.patient_id[side == "test"]) == set(unique[second:])
    assert published_order(records, 42).row.tolist() == rows.row.tolist()


def test_the_published_sizes_follow_from_43209_patients():
    side = draw(pd.Series(np.arange(43_209)).astype(str), 0.6, 0.1, 42)
    assert side.value_counts().to_dict() == {"train": 25_925, "test": 12_963, "val": 4_321}


@given(PATIENTS, SEEDS, st.integers(1, 40))
def test_a_larger_limit_keeps_the_patients_of_a_smaller(patients, seed, limit):
    patients = pd.Series(patients)
    few, more = some_patients(patients, limit, seed), some_patients(patients, limit + 3, seed)
    assert patients[few].nunique() == min(limit, patients.nunique())
    assert (more | ~few).all()


def test_halves_keep_patients_together_and_do_not_depend_on_the_others():
    patients = pd.Series(np.repeat([f"patient{p}" for p in range(300)], 3))
    side = half(patients)
    assert 110 <= patients[side == 0].nunique() <= 190
    assert pd.Series(side).groupby(patients).nunique().eq(1).all()
    assert np.array_equal(half(patients[50:90]), side[50:90])
