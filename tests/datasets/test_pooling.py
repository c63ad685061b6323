"""Several datasets as one: keys of its own, nothing copied, nothing lost, and a patient once."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_records import made
from scripts import run_script

from cxrfmkd.datasets.pooled_arrays import excluded_images, pool_array
from cxrfmkd.datasets.pooled_records import pool_records
from cxrfmkd.datasets.records import (
    complete,
    findings_of,
    present,
    read_records,
    write_records,
)
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.stacked import Stacked
from cxrfmkd.study.settings import Findings
from cxrfmkd.vocabulary.findings import FINDINGS

SELF = {"here": "here", "there": "there"}


def write_array(folder, rows, excluded=(), **meta):
    """A keyed array of the images `i0`, `i1`, …, less those excluded."""
    ids = [f"i{i}" for i in range(len(rows) + len(excluded)) if f"i{i}" not in excluded]
    meta = {
        "what": "packed images",
        "dataset": folder.parent.name,
        "excluded": list(excluded),
    } | meta
    KeyedArray(np.asarray(rows), pd.DataFrame({"image_id": ids}), meta).save(folder)
    return folder


def opened(root, *names):
    return {name: KeyedArray.open(root / name / "images") for name in names}


def test_equal_ids_of_two_sites_are_two_images_and_two_patients():
    members = {"here": made(), "there": made(9, age=70.0)}
    pooled = pool_records("both", members, SELF)
    records = pooled.records
    assert len(records) == 15
    for key in ("image_id", "patient_id", "study_id", "path"):
        assert records[key].nunique() == sum(table[key].nunique() for table in members.values())
    for name, table in members.items():
        rows = records[records.site == name].reset_index(drop=True)
        assert rows.image_id.tolist() == [f"{name}/{key}" for key in table.image_id]
        others = ["sex", "age", "race", "view", "split", "disease", "age_bin", "ethnicity"]
        pd.testing.assert_frame_equal(rows[others], table[others])
    counts = {split: part["images"] for split, part in pooled.summary["counts"].items()}
    assert counts == {"train": 5, "val": 5, "test": 5}
    assert pooled.summary["flow"][0]["patients"] == 6
    assert "p0" not in json.dumps(pooled.summary)


def test_a_patient_of_two_members_is_one_and_must_be_in_one_split():
    members = {"here": made(), "there": made()}
    one_people = dict.fromkeys(SELF, "here")
    assert pool_records("both", members, one_people).records.patient_id.nunique() == 3
    members["there"] = made(split=["val", "train", "test"] * 2)
    assert pool_records("both", members, SELF).records.patient_id.nunique() == 6
    with pytest.raises(InputError, match="2 of 3 patients are in more than one split: 2 in train"):
        pool_records("both", members, one_people)


def test_a_finding_that_a_member_does_not_know_is_left_out_and_noted():
    findings = Findings(names=["Edema", "Fracture", "No Finding"])

    def known(*names):
        table = made().drop(columns=[name for name in FINDINGS if name not in names])
        return complete(table, findings)

    members = {"here": known("Edema", "No Finding"), "there": known("Edema", "Fracture")}
    pooled = pool_records("both", members, SELF, findings)
    assert findings_of(pooled.records) == ("Edema",)
    assert pooled.summary["absent"] == ["Fracture", "No Finding"]
    assert pooled.summary["notes"] == [
        "No Finding of here: not known of every member, left out.",
        "Fracture of there: not known of every member, left out.",
    ]


def test_a_site_column_of_a_member_is_replaced_and_noted():
    pooled = pool_records("both", {"here": made(site="ward 3"), "there": made()}, SELF)
    assert set(pooled.records.site) == {"here", "there"}
    assert pooled.summary["notes"] == ["The column site that here has itself is left out."]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any), st.data())
def test_stacked_arrays_read_as_their_concatenation(lengths, data):
    random = np.random.default_rng(0)
    arrays = [random.integers(0, 255, (n, 2, 3), np.uint8) for n in lengths]
    whole, stacked = np.concatenate(arrays), Stacked(arrays)
    assert (stacked.shape, stacked.dtype, stacked.ndim) == (whole.shape, whole.dtype, whole.ndim)
    rows = data.draw(st.lists(st.integers(-len(whole), len(whole) - 1)))
    start, stop = (data.draw(st.none() | st.integers(-9, 9)) for _ in range(2))
    for some in (
        np.array(rows, int),
        slice(start, stop),
        slice(None, None, -2),
        whole[:, 0, 0] > 99,
    ):
        np.testing.assert_array_equal(stacked[some], whole[some])
    np.testing.assert_array_equal(stacked[-1], whole[-1])
    np.testing.assert_array_equal(np.asarray(stacked, np.float32), whole.astype(np.float32))
    with pytest.raises(IndexError):
        stacked[len(whole)]


def test_a_pooled_array_is_the_members_rows_and_no_copy_of_them(tmp_path):
    write_array(tmp_path / "here/images", np.arange(12, dtype="u1").reshape(3, 2, 2), faint=1)
    write_array(tmp_path / "there/images", np.full((2, 2, 2), 9, "u1"), ["i1"], faint=2)
    pool_array("both", opened(tmp_path, "here", "there"), tmp_path / "both/images")
    assert not (tmp_path / "both/images/data.npy").exists()
    pooled = KeyedArray.open(tmp_path / "both/images")
    keys = ["there/i2", "here/i1", "there/i0"]
    expected = [[[9, 9], [9, 9]], [[4, 5], [6, 7]], [[9, 9], [9, 9]]]
    np.testing.assert_array_equal(pooled.take(keys), expected)
    assert (pooled.meta["excluded"], pooled.meta["faint"]) == (["there/i1"], 3)
    assert pooled.meta["shape"] == [5, 2, 2]
    both = [f"{name}/i{i}" for name in ("here", "there") for i in range(3)]
    records = pd.DataFrame({"image_id": both})
    assert len(present(records, pooled)) == 5
    # Results may be moved: members are found from the pool's own folder.
    moved = (tmp_path / "moved").absolute()
    moved.mkdir()
    for name in ("here", "there", "both"):
        (tmp_path / name).rename(moved / name)
    np.testing.assert_array_equal(KeyedArray.open(moved / "both/images").take(keys), expected)


def test_a_pool_of_other_arrays_than_there_are_now_is_refused(tmp_path):
    for name in ("here", "there"):
        write_array(tmp_path / f"{name}/images", np.zeros((2, 2, 2), "u1"))
    pool_array("both", opened(tmp_path, "here", "there"), tmp_path / "both/images")
    before = (tmp_path / "both/images/meta.json").read_text()
    write_array(tmp_path / "there/images", np.ones((2, 2, 2), "u1"))
    with pytest.raises(InputError, match="made of another array of there than there is now"):
        KeyedArray.open(tmp_path / "both/images")
    pool_array("both", opened(tmp_path, "here", "there"), tmp_path / "both/images")
    assert KeyedArray.open(tmp_path / "both/images").take(["there/i0"]).sum() == 4
    assert (tmp_path / "both/images/meta.json").read_text() != before


@pytest.mark.parametrize(
    ("rows", "meta", "message"),
    [
        (np.zeros((2, 3, 3), "u1"), {}, r"in its shape of a row: \[3, 3\] and \[2, 2\]"),
        (np.zeros((2, 2, 2), "f4"), {}, "in its type: float32 and uint8"),
        (np.zeros((2, 2, 2), "u1"), {"variant": "elixr"}, "in its variant: elixr and None"),
        (np.zeros((2, 2, 2), "u1"), {"settings": {"aspect": "pad"}}, "in its settings"),
    ],
)
def test_arrays_of_two_kinds_are_not_pooled(tmp_path, rows, meta, message):
    write_array(tmp_path / "here/images", np.zeros((2, 2, 2), "u1"))
    write_array(tmp_path / "there/images", rows, **meta)
    with pytest.raises(InputError, match=message):
        pool_array("both", opened(tmp_path, "here", "there"), tmp_path / "both/images")


def test_exclusions_of_all_members_are_listed_with_their_reasons():
    listed = pd.DataFrame({"image_id": ["i1"], "reason": ["no vector in the source"]})
    empty = pd.DataFrame({"image_id": [], "reason": []})
    together = excluded_images({"here": empty, "there": listed})
    assert together.values.tolist() == [["there/i1", "no vector in the source"]]
    assert excluded_images({"here": empty}).columns.tolist() == ["image_id", "reason"]


def test_test_patients_of_the_target_in_the_pools_training_stop_a_transfer(
    tmp_path, monkeypatch, capsys
):
    """The target and a member are views of the same people, divided in two ways."""
    member, target = made(), made(split=["test", "train", "val"] * 2)
    pooled = pool_records("without-ap", {"pa": member, "other": made()}, {"pa": "pa", "other": "o"})
    files = {"source": [], "target": []}
    for side, records in (("source", pooled.records), ("target", target)):
        for split in ("train", "val", "test"):
            path = tmp_path / side / f"{split}.csv"
            write_records(path, records[records.split == split])
            files[side].append(str(path))
    assert len(read_records(*files["source"])) == 12
    spec = {"source": "without-ap", "target": "ap", "same_people": True}
    files["out"] = tmp_path / "patients.json"
    with pytest.raises(SystemExit):
        run_script(monkeypatch, "check_patients", spec | {"people": {"ap": "pa"}}, **files)
    message = "3 of 3 patients of both datasets are in different splits"
    assert message in capsys.readouterr().err
    run_script(monkeypatch, "check_patients", spec | {"people": {"ap": "ap"}}, **files)
    (gate,) = json.loads(files["out"].read_text())
    assert gate["found"].startswith("0 patients are in both")
