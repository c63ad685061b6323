"""Tables and lists that people give, as text: told by their content, every row with its line.

One reader for the raw tables of datasets and for what is named on a command line: CSV (plain, or
compressed by gzip, bzip2, xz or zip; UTF-8, or UTF-16 and UTF-32; separated by commas, semicolons,
tabs or bars), Excel and Parquet. Names of files decide nothing. What cannot be read, or could be
read in two ways, is refused with its setting, file, line and a remedy.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Generator, Sequence
from contextlib import closing
from operator import itemgetter
from pathlib import Path

import pandas as pd

from cxrfmkd.runtime.cells import column_names, to_numbers
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.text_files import opened, reading, text_lines
from cxrfmkd.vocabulary.blanks import BLANK

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def read_text_table(
    path: Path,
    source: str = "",
    needed: Sequence[str] = (),
    also: Sequence[str] = (),
    lists: Collection[str] = (),
) -> pd.DataFrame:
    """The columns `needed`, and those of `also` that are there, else all; cells as text.

    Cells are stripped of white space around them; blank ones, and those that pandas takes for blank
    (such as NA), are missing values. Rows without any cell are left out. The index says where each
    row stands: `line` of a text, `row` of Excel or Parquet. source: what messages name, by default
    the file. lists: columns that may hold lists of texts in Parquet, which they stay. Raises
    InputError.
    """
    source = source or str(path)
    with reading(path, source) as kind:
        if kind == "Parquet":
            return _parquet(path, source, needed, also, lists)
        with closing(_rows(path, source, kind)) as rows:
            _, header = next(rows)
            names = _select(header, source, needed, also)
            positions = [header.index(name) for name in names]
            pick = itemgetter(*positions, positions[0])  # a tuple, even of one column
            numbered = [(place, pick(cells)) for place, cells in rows if any(cells)]
    places = pd.Index([place for place, _ in numbered], dtype="int64", name=_unit(kind))
    columns = list(zip(*(cells for _, cells in numbered), strict=True)) or [()] * len(names)
    return pd.DataFrame(
        {
            name: pd.array([None if text in BLANK else text for text in column], "str")
            for name, column in zip(names, columns, strict=False)
        },
        places,
    )


def read_header(path: Path, source: str = "") -> list[str]:
    """Names of a table's columns; those without a name are left out."""
    source = source or str(path)
    with reading(path, source) as kind:
        if kind == "Parquet":
            return list(filter(None, _parquet_names(path)))
        with closing(_rows(path, source, kind)) as rows:
            return list(filter(None, next(rows)[1]))


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with a column as numbers where that loses nothing: 7 and 0.5, but not 007."""
    columns = {}
    for name, column in table.items():
        numbers = to_numbers(column).convert_dtypes()
        same = (numbers.astype("str") == column) | column.isna()
        columns[name] = numbers if column.notna().any() and same.all() else column
    return pd.DataFrame(columns, table.index)


def _unit(kind: str) -> str:
    return "row" if kind in ("Excel", "Parquet") else "line"


def _rows(path: Path, source: str, kind: str) -> Generator[tuple[int, list[str]]]:
    """The header, then every row, with its place; cells stripped, all rows as wide as they are."""
    if kind == "Excel":
        yield from _excel_rows(path, source)
        return
    with opened(path, source, kind) as file:
        first = _first_records(path, source, kind)
        separator = _separator(first)
        texts = text_lines(file, source)
        reader = csv.reader(texts, delimiter=separator, skipinitialspace=True, strict=True)
        yield from _checked(reader, source)


def _checked(reader, source: str) -> Generator[tuple[int, list[str]]]:
    """The rows of a CSV reader, which must have as many fields as the header.

    Cells without a name at the end of the header may be missing, in all rows alike.
    """
    header: list[str] = []
    widths: dict[int, int] = {}  # of the lines that have another width than they should
    expected = named = count = line = 0
    ending = True
    try:
        for record in reader:
            place, line = line + 1, reader.line_num
            cells = [cell.strip() for cell in record]
            if len(cells) < 2 and not any(cells):
                continue
            if not header:
                header = cells
                named = max((i for i, name in enumerate(header, 1) if name), default=0)
                yield place, header
                continue
            count += 1
            if count == 1:
                expected = len(cells) if named <= len(cells) <= len(header) else len(header)
            if len(cells) != expected:
                widths[place] = len(cells)
                ending &= len(cells) == len(header) + 1 and not cells[-1]
            else:
                yield place, cells + [""] * (len(header) - expected)
    except csv.Error as error:
        raise InputError(
            f"{source}, line {line + 1}: its quotation marks do not close where a "
            f"field ends ({error}). Double those within a text, or take them out."
        ) from None
    if widths:
        all_end = ending and len(widths) == count
        raise InputError(
            f"{source} has {len(header)} columns in its header, but {len(widths)} of "
            f"{count} rows with another number of fields: "
            f"{some([f'line {place} has {width}' for place, width in widths.items()])}. "
            + (
                "Its lines end in a separator that the header does not have; add it there, or "
                "take it out."
                if all_end
                else "A separator within a text shifts what follows, and a line may be cut short: "
                "put quotation marks around the text, or repair these lines."
            )
        )


def _separator(first: list[str]) -> str:
    """The separator with which the header has several fields and the next line as many."""

    def fields(text: str, separator: str) -> int:
        return len(next(csv.reader([text], delimiter=separator, skipinitialspace=True), []))

    several = [s for s in SEPARATORS if first and fields(first[0], s) > 1]
    agreeing = [s for s in several if len({fields(text, s) for text in first[:2]}) == 1]
    return next(iter([*agreeing, *several, ","]))


def _first_records(path: Path, source: str, kind: str) -> list[str]:
    """The first lines that are not blank: the header and a row, where neither has a line break."""
    with opened(path, source, kind) as file:
        texts = (text for text in text_lines(file, source) if text.strip())
        first = [text for _, text in zip(range(2), texts, strict=False)]
    if not first:
        raise InputError(f"{source} has no line. Fetch it again, or write a header.")
    return first


def _select(
    header: list[str], source: str, needed: Sequence[str], also: Sequence[str]
) -> list[str]:
    """The columns to read: each is there once."""
    if not any(header):
        raise InputError(f"{source} names no column in its first line. Write their names there.")
    if missing := [name for name in needed if name not in header]:
        raise InputError(
            f"{source} has no column {some(missing)}; it has "
            f"{column_names(header)}. Is it of another table, or of another release?"
        )
    names = [*needed, *(name for name in also if name in header and name not in needed)]
    if not (needed or also):
        names = [name for name in dict.fromkeys(header) if name]
    for name in names:
        if header.count(name) > 1:
            raise InputError(
                f"{source} has {header.count(name)} columns of the name {name}. Rename all but one."
            )
    return names


def _excel_rows(path: Path, source: str) -> Generator[tuple[int, list[str]]]:
    """The rows of the first sheet; cells beyond the header must be blank."""
    import openpyxl

    with (
        path.open("rb") as file,
        closing(openpyxl.load_workbook(file, read_only=True, data_only=True)) as book,
    ):
        sheet = book.worksheets[0]
        sheet.reset_dimensions()
        width = 0
        for place, values in enumerate(sheet.iter_rows(values_only=True), 1):
            cells = [_cell_text(value) for value in values]
            if not any(cells):
                continue
            if not width:
                width = max(i for i, name in enumerate(cells, 1) if name)
            if any(cells[width:]):
                raise InputError(
                    f"{source}, row {place} has a cell beyond the {width} columns of "
                    "the header. Give its column a name, or clear it."
                )
            yield place, (cells + [""] * width)[:width]
        if not width:
            raise InputError(f"{source}: the first sheet is empty.")


def _cell_text(value: object) -> str:
    """A cell of Excel, which keeps whole numbers as 1.0, as text."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _parquet_names(path: Path) -> list[str]:
    """The columns; that of an index without a name, which pandas writes, has none here either."""
    import pyarrow.parquet as pq

    names = pq.read_schema(path).names
    return ["" if re.fullmatch(r"__index_level_\d+__", name) else name for name in names]


def _parquet(
    path: Path, source: str, needed: Sequence[str], also: Sequence[str], lists: Collection[str]
) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = _select(_parquet_names(path), source, needed, also)
    table = pq.read_table(path, columns=names)
    kinds = dict(zip(table.schema.names, table.schema.types, strict=True))
    listed = {name for name in lists if _is_list_of_texts(kinds[name])}
    for name in (*needed, *also):
        if name in kinds and name not in listed and pa.types.is_nested(kinds[name]):
            raise InputError(
                f"{source}, column {name}: a cell has several values (their type is "
                f"{kinds[name]}). Write one text or number a cell."
            )
    # What pandas wrote may have a column as its index. Blanks must not round large whole numbers.
    exact = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}
    frame = table.to_pandas(ignore_metadata=True, types_mapper=exact.get)
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    columns = {
        name: column if name in listed else _column_text(column) for name, column in frame.items()
    }
    return pd.DataFrame(columns, frame.index)


def _is_list_of_texts(kind) -> bool:
    """Whether a type of Parquet is a list, of any length, of texts."""
    from pyarrow import types

    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return False
    return types.is_string(kind.value_type) or types.is_large_string(kind.value_type)


def _column_text(column: pd.Series) -> pd.Series:
    """A typed column as text: whole numbers without .0, which blanks beside them bring about."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    texts = column.astype("str").str.strip()
    return texts.where(column.notna() & ~texts.isin(BLANK))
