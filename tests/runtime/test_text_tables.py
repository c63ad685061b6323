"""Tables that people give: read as the clean table, or refused with the line that is wrong."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxrfmkd.runtime.cells import lines
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.text_files import LONGEST, read_words
from cxrfmkd.runtime.text_tables import BLANK, read_header, read_text_table, typed

HEADER = ["image_id", "sex", "note", "age"]
ROWS = [["007", "F", "ok", "31"], ["008", "M", "", "40.5"], ["1e5", "", "a, b", ""]]
TEXT = 'image_id,sex,note,age\n007,F,ok,31\n008,M,,40.5\n1e5,,"a, b",\n'


def written(tmp_path: Path, content: bytes | str, name: str = "table.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def cells(table: pd.DataFrame) -> list[list[str]]:
    return table.fillna("").to_numpy().tolist()


def zipped(content: bytes, *names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names or ("__MACOSX/._table.csv", "table.csv"):
            archive.writestr(zipfile.ZipInfo(name), content)  # of no time, since it names a test
    return file.getvalue()


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "T.XLSX", "t.parquet", "t"])
@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        gzip.compress(TEXT.encode(), mtime=0),
        bz2.compress(TEXT.encode()),
        lzma.compress(TEXT.encode()),
        zipped(TEXT.encode()),
    ],
)
def test_encoding_and_compression_are_told_by_content_not_by_name(tmp_path, content, name):
    path = written(tmp_path, content, name)
    table = read_text_table(path)
    assert (list(table), cells(table)) == (HEADER, ROWS)
    assert (table.index.name, table.index.tolist()) == ("line", [2, 3, 4])
    assert read_header(path) == HEADER


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_are_told_by_the_header_and_its_first_row(tmp_path, separator):
    file = io.StringIO()
    csv.writer(file, delimiter=separator).writerows([HEADER, *ROWS])
    assert cells(read_text_table(written(tmp_path, file.getvalue()))) == ROWS


@pytest.mark.parametrize("name", ["t.xlsx", "t.csv", "T.XLSX"])
def test_excel_and_parquet_are_the_same_table(tmp_path, name):
    frame = pd.DataFrame({"id": ["007", "8"], "n": [1.0, None], "x": [0.5, 2.0]})
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    (tmp_path / "t.xlsx").rename(tmp_path / name)
    frame.to_parquet(tmp_path / "other.csv")
    for path, first in ((tmp_path / name, 2), (tmp_path / "other.csv", 1)):
        table = read_text_table(path)
        assert cells(table) == [["007", "1", "0.5"], ["8", "", "2" if first == 2 else "2.0"]]
        assert (table.index.name, table.index.tolist()) == ("row", [first, first + 1])


def test_a_column_of_parquet_may_be_the_index_that_pandas_wrote(tmp_path):
    frame = pd.DataFrame({"a": ["007", "8"], "b": ["p", "q"], "n": [1, 2]})
    for index in (["a"], ["a", "b"]):
        frame.set_index(index).to_parquet(tmp_path / "t.parquet")
        assert set(read_header(tmp_path / "t.parquet")) == {"a", "b", "n"}
        assert cells(read_text_table(tmp_path / "t.parquet", needed=["a", "n"])) == [
            ["007", "1"],
            ["8", "2"],
        ]
    frame[::-1].to_parquet(tmp_path / "t.parquet")  # its index has no name
    assert list(read_text_table(tmp_path / "t.parquet")) == ["a", "b", "n"]
    assert read_header(tmp_path / "t.parquet") == ["a", "b", "n"]


def test_a_blank_rounds_no_large_whole_number_of_parquet(tmp_path):
    largest = 2**63 - 1
    for kind in (pa.int64(), pa.uint64()):
        pq.write_table(pa.table({"id": pa.array([largest, None], kind)}), tmp_path / "t.parquet")
        assert cells(read_text_table(tmp_path / "t.parquet")) == [[str(largest)], [""]]


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list, lambda of: pa.list_(of, 2)])
def test_a_list_of_parquet_is_refused_but_where_lists_are_meant(tmp_path, kind):
    path = tmp_path / "t.parquet"
    texts = pa.array([["a|b", "c"], None], kind(pa.string()))
    numbers = pa.array([[1, 2], None], kind(pa.int64()))
    pq.write_table(pa.table({"id": ["1", "2"], "texts": texts, "numbers": numbers}), path)
    assert cells(read_text_table(path, needed=["id"])) == [["1"], ["2"]]
    assert read_text_table(path).id.tolist() == ["1", "2"]  # nobody asked for the others
    table = read_text_table(path, needed=["texts"], lists=["texts"])
    assert list(table.texts[1]) == ["a|b", "c"]
    assert table.texts.isna().tolist() == [False, True]
    for column, lists in (("texts", []), ("numbers", ["numbers"])):
        for asked in ({"needed": [column]}, {"needed": ["id"], "also": [column]}):
            with pytest.raises(InputError, match=f"column {column}: a cell has several values .*l"):
                read_text_table(path, lists=lists, **asked)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b",,\n1,2,3\n", "names no column in its first line"),
        (b"", "is empty"),
        (b"\n\n", "has no line"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (gzip.compress(TEXT.encode() * 999, mtime=0)[:-9], "is gzip .* cut short"),
        (b"\x1f\x8b" + b"x" * 99, "is gzip .* damaged"),
        (lzma.compress(TEXT.encode() * 999)[:-20], "is xz .* cut short"),
        (zipped(TEXT.encode())[:-40], "archive or Excel file that is cut short"),
        (zipped(TEXT.encode(), "a.csv", "b.csv"), "an archive of 2 files"),
        (b"PAR1" + b"x" * 99, "is Parquet .* damaged"),
        (b"\xd0\xcf\x11\xe0" + b"x" * 99, "Excel before 2007"),
        ((TEXT + "9,M,Weiß,1\n").encode("latin1"), "no UTF-8 text: in line 5 stands the byte 0xdf"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (TEXT + "9,M,o\0k,1\n", "line 5 has a NUL byte"),
        (TEXT + "9" * LONGEST, "line 5 has more than"),
        (TEXT + "9,M,a, b,1\n", "1 of 4 rows .*: line 5 has 5"),
        (TEXT + "9,M\n", "1 of 4 rows .*: line 5 has 2"),
        ("a,b\n1,2,\n3,4,\n", "lines end in a separator that the header does not have"),
        ("a,b,b\n1,2,3\n", "2 columns of the name b"),
        (TEXT + '9,M,"open,1\n', "line 5: its quotation marks do not close"),
        (TEXT + '9,M,"a" b,1\n', "line 5: its quotation marks do not close"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_setting_and_line(tmp_path, content, message):
    path = written(tmp_path, content)
    with pytest.raises(InputError, match=f"^datasets.own.tables.records .*{message}"):
        read_text_table(path, "datasets.own.tables.records (table.csv)")


def test_a_missing_file_or_column_is_an_error(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        read_text_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match="has no column race; it has image_id, sex, note, age"):
        read_text_table(written(tmp_path, TEXT), needed=["sex", "race"])


def test_only_the_columns_that_are_asked_for_are_read_and_cells_are_stripped(tmp_path):
    path = written(tmp_path, " a , b ,c,c\n 1 , x y ,3,4\n\n , , ,\n2,NA,3,4\n")
    table = read_text_table(path, needed=["b"], also=["a", "z"])
    assert (list(table), cells(table)) == (["b", "a"], [["x y", "1"], ["", "2"]])
    assert table.index.tolist() == [2, 5]  # line 3 is blank, line 4 has no cell
    assert lines(table.b.isna()) == "line 5"


def test_columns_without_a_name_at_the_end_may_be_missing_in_all_rows_alike(tmp_path):
    for rows in ("1,2\n3,4\n", "1,2,\n3,4,\n", "1,2,x\n3,4,\n"):
        assert cells(read_text_table(written(tmp_path, "a,b,\n" + rows))) == [
            ["1", "2"],
            ["3", "4"],
        ]
    with pytest.raises(InputError, match="line 3 has 3"):
        read_text_table(written(tmp_path, "a,b,\n1,2\n3,4,\n"))


def test_blank_is_what_pandas_takes_for_blank(tmp_path):
    assert (
        read_text_table(written(tmp_path, "a,b\n" + "\n".join(f"{text},1" for text in BLANK)))
        .a.isna()
        .all()
    )
    for text in BLANK:
        assert pd.read_csv(io.StringIO(f"a,b\n{text},1\n")).a.isna().all()


def test_words_of_a_list_begin_after_its_byte_order_mark(tmp_path):
    for content in (
        b"a.png\nb.png\n",
        codecs.BOM_UTF8 + b"a.png b.png",
        "a.png\nb.png".encode("utf-16"),
    ):
        assert read_words(written(tmp_path, content)) == ["a.png", "b.png"]


def test_a_column_is_numbers_only_where_no_digit_is_lost(tmp_path):
    table = pd.DataFrame(
        {"a": ["007", "1"], "b": ["7", None], "c": ["0.5", "2.0"], "d": ["x", "1"]}
    )
    types = typed(table.astype("str").where(table.notna())).dtypes.astype(str).to_dict()
    assert types["a"] == types["d"] == "str"
    assert types["b"] == "Int64"
    assert types["c"] == "Float64"


# --- tables with several of these defects at once

plain = st.text(st.sampled_from("ab01 .-Äß\"',;\t|"), max_size=6)
EDITS = ("bom", "utf-16", "gzip", "crlf", "blank line", "separator", "no last newline")
FAULTS = ("long row", "short row", "latin-1", "cut", "stray quote", "none", "none")


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_table_with_any_defects_is_the_clean_table_or_an_error_with_the_line(tmp_path, data):
    """The clean table is what Python's csv writes; the oracle of what is read is that list."""
    width = data.draw(st.integers(2, 4))
    names = [f"c{i}" for i in range(width)]
    rows = data.draw(
        st.lists(st.lists(plain, min_size=width, max_size=width), min_size=3, max_size=6)
    )
    edits = data.draw(st.sets(st.sampled_from(EDITS)))
    fault = data.draw(st.sampled_from(FAULTS))
    separator = data.draw(st.sampled_from(",;\t|")) if "separator" in edits else ","
    broken = data.draw(st.integers(1, len(rows) - 1))  # a row after the first
    clean = [[cell.strip() for cell in row] for row in rows]
    expected = [["" if cell in BLANK else cell for cell in row] for row in clean if any(row)]

    def text_of(row: list[str]) -> str:
        file = io.StringIO()
        csv.writer(file, delimiter=separator, lineterminator="", quoting=csv.QUOTE_ALL).writerow(
            row
        )
        return file.getvalue()

    texts = [text_of(names), *map(text_of, rows)]
    if fault == "long row":
        texts[1 + broken] += separator + "x"
    elif fault == "short row":
        texts[1 + broken] = text_of(rows[broken][:-1]) if width > 2 else '"x"'
    elif fault == "stray quote":
        texts[1 + broken] = '"a"b' + texts[1 + broken]
    line = 2 + broken
    if "blank line" in edits:
        texts.insert(1, "")
        line += 1
    newline = "\r\n" if "crlf" in edits else "\n"
    text = newline.join(texts) + ("" if "no last newline" in edits else newline)
    if fault == "latin-1":
        content = text.replace("c0", "cß", 1).encode("latin-1")
        line = 1
    elif "utf-16" in edits:
        content = text.encode("utf-16")
    else:
        content = codecs.BOM_UTF8 * ("bom" in edits) + text.encode()
    if "gzip" in edits or fault == "cut":
        content = gzip.compress(content)
        content = content[:-6] if fault == "cut" else content
    path = written(tmp_path, content)
    if fault == "none":
        table = read_text_table(path)
        assert (list(table), cells(table)) == (names, expected)
        return
    with pytest.raises(InputError) as error:
        read_text_table(path)
    said = "cut short" if fault == "cut" else rf"line {line}\b"
    assert re.search(said, str(error.value))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_numbers_survive_as_text(values):
    column = pd.Series([repr(value) for value in values], dtype="str")
    np.testing.assert_array_equal(typed(column.to_frame("x")).x.astype(float), values)
