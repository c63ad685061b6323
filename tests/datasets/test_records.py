"""Records: their schema, the rules that derive columns from others, and what becomes of a label."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_records import made

from cxrfmkd.datasets.records import (
    age_bin,
    check_findings,
    columns,
    disease,
    key,
    present,
    read_records,
    targets,
    write_records,
)
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.vocabulary.findings import FINDINGS


def test_columns_come_in_their_order_and_an_adapters_own_last():
    assert list(made()) == [*columns(), "ethnicity"]


def test_written_records_are_read_back_equal(tmp_path):
    records = made(
        age=[20, 30.5, np.nan, 1, 90, 120], race=["White", None, "Asian", "Black"] + [None] * 2
    )
    write_records(tmp_path / "a.csv", records.iloc[:4])
    write_records(tmp_path / "b.csv", records.iloc[4:])
    back = read_records(tmp_path / "a.csv", tmp_path / "b.csv")
    pd.testing.assert_frame_equal(back, records)
    assert back.patient_id.tolist()[:3] == ["000", "001", "002"]


def test_wholly_blank_columns_are_read_back(tmp_path):
    records = made(sex=None, race=None, view=None, age=np.nan)
    write_records(tmp_path / "a.csv", records)
    assert read_records(tmp_path / "a.csv").race.isna().all()


def test_every_violation_is_listed_with_its_lines(tmp_path):
    records = made()
    records.loc[1, "sex"] = "F"
    records.loc[2, "Edema"] = 2
    records.loc[3, "age"] = 148
    records.loc[4, "image_id"] = records.image_id[0]
    records.loc[5, "patient_id"] = None
    records.loc[0, "split"] = "validate"
    records.to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(InputError) as error:
        read_records(tmp_path / "bad.csv")
    said = str(error.value)
    for part in (
        "bad.csv: 7 values",
        "sex, 1 x is none of Male, Female, blank: F (line 3)",
        "Edema, 1 x is none of 1, 0, -1, blank: 2.0 (line 4)",
        "age, 1 x is no age from 0 to 120 years (line 5)",
        "image_id, 2 x is a duplicate (lines 2, 6)",
        "patient_id, 1 x is blank (line 7)",
        "split, 1 x is none of train, val, test (line 2)",
    ):
        assert part in said
    assert not any(rare in said for rare in (records.image_id[0], "148", "validate"))


def test_text_where_a_number_belongs_is_named_with_its_line(tmp_path):
    records = made().astype({"age": "object"})
    records.loc[2, "age"] = "058Y"
    records.to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(InputError, match=r"bad.csv, column age: 1 values.*\(line 4\)"):
        read_records(tmp_path / "bad.csv")


def test_a_file_without_the_columns_or_not_there_is_refused(tmp_path):
    made().drop(columns=["view", "Edema"]).to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(InputError, match=r"missing: view\."):
        read_records(tmp_path / "bad.csv")
    with pytest.raises(InputError, match="no such file"):
        read_records(tmp_path / "none.csv")


def test_the_same_image_in_two_files_is_refused(tmp_path):
    write_records(tmp_path / "a.csv", made())
    write_records(tmp_path / "b.csv", made())
    with pytest.raises(InputError, match="6 duplicate image_id across"):
        read_records(tmp_path / "a.csv", tmp_path / "b.csv")


def test_equal_file_names_in_two_folders_are_two_keys():
    paths = pd.Series(["a/study1/view1_frontal.jpg", "b/study1/view1_frontal.jpg", "c.d/e.f.png"])
    assert key(paths).tolist() == ["a/study1/view1_frontal", "b/study1/view1_frontal", "c.d/e.f"]


@given(st.lists(st.text("ab/.1", min_size=1, max_size=6), unique=True))
def test_paths_of_one_suffix_never_collide(stems):
    paths = pd.Series([f"{stem}.jpg" for stem in stems], dtype="str")
    assert key(paths).tolist() == stems


def test_effusion_wins_over_no_finding_and_uncertain_is_no_effusion():
    records = made(
        7,
        **{
            "Pleural Effusion": [1, 1, 0, -1, np.nan, -1, np.nan],
            "No Finding": [1, np.nan, 1, 1, 1, np.nan, np.nan],
        },
    )
    expected = ["Pleural Effusion"] * 2 + ["No Finding"] * 3 + ["Other"] * 2
    assert disease(records).tolist() == expected


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_no_finding_of_0_or_minus_1_is_not_read_as_no_finding(value):
    """The published rule leaves the number, and 0 is then the code of "No Finding present"."""
    records = made(2, **{"No Finding": [value, value], "Pleural Effusion": [1, np.nan]})
    assert disease(records).tolist() == ["Pleural Effusion", "Other"]


def published_bin(age: float) -> int:
    for k, end in enumerate((20, 30, 40, 50, 60, 70, 80)):
        if age <= end:
            return k
    return 7


@given(st.lists(st.floats(0, 120), min_size=1))
def test_age_bins_are_the_published_ones(ages):
    assert age_bin(pd.Series(ages)).tolist() == [published_bin(age) for age in ages]


def test_a_blank_age_has_no_bin():
    assert age_bin(pd.Series([np.nan, 20])).tolist() == [pd.NA, 0]


@pytest.mark.parametrize(("policy", "expected"), [("zeros", 0), ("ones", 1), ("ignore", np.nan)])
def test_uncertain_follows_the_policy_and_blank_is_0(policy, expected):
    records = made(4, Edema=[1, 0, -1, np.nan])
    found = targets(records, policy)
    assert found.dtype == np.float32
    assert found.shape == (4, 14)
    np.testing.assert_array_equal(found[:, FINDINGS.index("Edema")], [1, 0, expected, 0])
    assert (np.delete(found, FINDINGS.index("Edema"), 1) == 0).all()


def test_blank_labels_follow_their_own_policy():
    records = made(4, Edema=[1, 0, -1, np.nan])
    found = targets(records, "ones", "ignore")
    np.testing.assert_array_equal(found[:, FINDINGS.index("Edema")], [1, 0, 1, np.nan])
    assert np.isnan(np.delete(found, FINDINGS.index("Edema"), 1)).all()


def test_an_unknown_policy_is_refused():
    with pytest.raises(InputError, match=r"labels.uncertain is 'maybe'"):
        targets(made(), "maybe")


def array(ids, excluded=()) -> KeyedArray:
    return KeyedArray(
        np.zeros((len(ids), 2)),
        pd.DataFrame({"image_id": ids}),
        {"excluded": list(excluded)},
        "made",
    )


def test_present_drops_what_is_listed_as_excluded_and_nothing_else():
    records = made()
    ids = records.image_id.tolist()
    left = present(records, array(ids[:5], ids[5:]), array(ids[:0:-1], ids[:1]))
    assert left.image_id.tolist() == ids[1:5]
    with pytest.raises(InputError, match=r"made: 2 of 6 records .*rows 5, 6"):
        present(records, array(ids[:4]))


def test_splits_with_other_findings_are_told_apart():
    train = pd.DataFrame(columns=["view", "Edema", "Fracture", "split"])
    check_findings({"train": train, "val": train})
    with pytest.raises(InputError, match=r"of val have other findings than .*: they lack Fracture"):
        check_findings({"train": train, "val": train.drop(columns="Fracture")})
    turned = train[["view", "Fracture", "Edema", "split"]]
    with pytest.raises(InputError, match=r"of test have .*: they have Fracture, Edema"):
        check_findings({"train": train, "test": turned})
