"""No cell of a published table is a formula."""

from __future__ import annotations

import pandas as pd
import pytest

from cxrfmkd.tables.spreadsheets import inert


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_text_that_a_spreadsheet_would_compute_begins_with_an_apostrophe(text):
    table = pd.DataFrame({"level": [text, "PA", None], text: [1.5, -2.0, 0.0]})
    made = inert(table)
    assert made.level.iloc[0] == f"'{text}"
    assert made.level.iloc[1] == "PA"
    assert pd.isna(made.level.iloc[2])
    assert list(made) == ["level", f"'{text}"]


def test_numbers_stay_numbers():
    table = pd.DataFrame({"x": [-1.5, 2.0], "n": [-1, 3]})
    pd.testing.assert_frame_equal(inert(table), table)
