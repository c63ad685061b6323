"""Keyed arrays join by key, say what is missing, and appear whole or not at all."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrfmkd.runtime.arrays import KeyedArray, write_meta
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import atomic_folder, atomic_write, read_json, write_json


def keyed(ids):
    return KeyedArray(
        np.arange(len(ids) * 3, dtype="f4").reshape(-1, 3), pd.DataFrame({"image_id": ids})
    )


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, unique=True), st.randoms())
def test_rows_are_found_by_key_in_any_order(ids, random):
    array = keyed(ids)
    wanted = random.sample(ids, len(ids))
    expected = np.stack([array.data[ids.index(key)] for key in wanted])
    np.testing.assert_array_equal(array.take(wanted), expected)


def test_what_is_saved_is_what_is_opened(tmp_path):
    array = keyed(["a/b", "c"])
    array.save(tmp_path / "x")
    for path in (tmp_path / "x", tmp_path / "x/meta.json"):
        again = KeyedArray.open(path)
        np.testing.assert_array_equal(again.take(["c", "a/b"]), array.take(["c", "a/b"]))


def test_meta_changes_exactly_when_the_content_does(tmp_path):
    keyed(["a", "b"]).save(tmp_path)
    before = (tmp_path / "meta.json").read_bytes()
    keyed(["a", "b"]).save(tmp_path)
    assert (tmp_path / "meta.json").read_bytes() == before
    np.save(tmp_path / "data.npy", np.ones((2, 3), "f4"))
    write_meta(tmp_path, {})
    assert (tmp_path / "meta.json").read_bytes() != before


def test_missing_keys_are_counted_and_named():
    message = "2 of 3 requested images are not in it, at positions 1, 2"
    with pytest.raises(InputError, match=message):
        keyed(["a", "b"]).take(["a", "x", "y"])


def test_a_duplicate_key_is_refused():
    with pytest.raises(InputError, match=r"1 duplicate image_id in index\.parquet, rows 2"):
        keyed(["a", "b", "a"])


def test_data_and_keys_of_different_length_are_refused():
    with pytest.raises(InputError, match="3 rows of data but 2 rows of index"):
        KeyedArray(np.zeros((3, 1)), pd.DataFrame({"image_id": ["a", "b"]}))


def test_a_folder_without_its_files_is_refused(tmp_path):
    keyed(["a"]).save(tmp_path)
    (tmp_path / "index.parquet").unlink()
    with pytest.raises(InputError, match=r"index\.parquet is missing"):
        KeyedArray.open(tmp_path)


def test_a_file_whose_writer_fails_does_not_appear(tmp_path):
    (tmp_path / "x.json").write_text("old")

    def write_half():
        with atomic_write(tmp_path / "x.json") as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert (tmp_path / "x.json").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_folder_whose_writer_fails_does_not_appear(tmp_path):
    def write_half():
        with atomic_folder(tmp_path / "x") as partial:
            (partial / "y").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(tmp_path / "x") as partial:
        (partial / "y").write_text("all")
    assert (tmp_path / "x/y").read_text() == "all"


def test_json_keeps_out_what_is_not_json(tmp_path):
    write_json(tmp_path / "x.json", {"a": 1})
    assert read_json(tmp_path / "x.json") == {"a": 1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 1}
