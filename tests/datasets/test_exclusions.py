"""Images that no model is measured on: declared, counted once, and nothing beyond them."""

import numpy as np
import pandas as pd
import pytest

from cxrfmkd.datasets.exclusions import count_exclusions, excluded_images, measured_images, nothing
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError

RECORDS = pd.DataFrame({"image_id": list("abcdef")})


def array(ids: str, excluded: str = "") -> KeyedArray:
    index = pd.DataFrame({"image_id": list(ids)})
    return KeyedArray(np.zeros((len(ids), 2)), index, {"excluded": list(excluded)}, "made")


def test_an_image_is_excluded_once_and_unreadable_comes_first():
    excluded = excluded_images(RECORDS, array("abef", "cd"), array("acdf", "bez"))
    assert excluded.to_dict() == {
        "b": "without_embedding",
        "c": "unreadable",
        "d": "unreadable",
        "e": "without_embedding",
    }
    both = excluded_images(RECORDS, array("bcdef", "a"), array("bcdef", "a"))
    assert both.to_dict() == {"a": "unreadable"}


def test_an_image_that_nobody_declared_is_an_error():
    with pytest.raises(InputError, match="made: 1 of 6 records are neither in it"):
        excluded_images(RECORDS, array("abcdef"), array("abcde"))
    with pytest.raises(InputError, match="made: 1 of 6 records are neither in it"):
        excluded_images(RECORDS, array("abcde"), array("abcde", "f"))


def test_what_remains_is_in_order_and_counted_by_split(caplog):
    caplog.set_level("INFO")
    excluded = excluded_images(RECORDS, array("abdef", "c"), array("bcdef", "a"))
    assert measured_images(RECORDS, excluded).image_id.tolist() == list("bdef")
    counts = count_exclusions({"val": RECORDS[:4], "test": RECORDS[4:]}, excluded)
    assert counts.values.tolist() == [["val", 4, 1, 1, 2], ["test", 2, 0, 0, 2]]
    assert "val: 2 of 4 images are measured (1 unreadable, 1 without embedding)" in caplog.text
    assert "test: " not in caplog.text


def test_nothing_is_left_out_where_nothing_is_missing():
    assert excluded_images(RECORDS, array("abcdef"), array("fedcba")).equals(nothing())
    pd.testing.assert_frame_equal(measured_images(RECORDS, nothing()), RECORDS)
