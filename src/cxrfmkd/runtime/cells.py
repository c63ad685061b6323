"""Cells of a table as numbers, and messages that say in which lines the bad ones stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from cxrfmkd.runtime.errors import InputError, some

# A message shows a value that so many rows share, or that has so few characters: it is a code.
PUBLIC, SHORT = 10, 3
UNITS = ("line", "row")  # names of an index that says where in its file each row stands
# Words of published layouts, which say how a key is built and nothing of whose it is.
PUBLIC_WORDS = (
    "chexpert v patient study view frontal lateral files images train valid val validate test p s"
)
KNOWN = re.compile(rf"({'|'.join(PUBLIC_WORDS.split())})?\d*", re.IGNORECASE)


def to_numbers(column: pd.Series) -> pd.Series:
    """A text column as float64; NaN for what is blank or no number."""
    codes, texts = pd.factorize(column)
    values = pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy(float)
    return pd.Series(np.append(values, np.nan)[codes], column.index, name=column.name)


def numbers(column: pd.Series, source: str) -> pd.Series:
    """A text column as float64; InputError with lines and values where one is not numeric."""
    parsed = to_numbers(column)
    invalid = parsed.isna() & column.notna()
    reject(invalid, f"{source}, column {column.name}", "values are not numbers", column)
    return parsed


def in_our_words(texts: pd.Series, words: Mapping) -> pd.Series:
    """`texts` with each that is a key of `words` replaced by its value, None by a blank."""
    mapping = {str(theirs): None if ours is None else str(ours) for theirs, ours in words.items()}
    ours = texts.where(~texts.isin(list(mapping)), texts.map(mapping))
    return ours.astype("str").where(ours.notna())


def shared(values: pd.Series | np.ndarray) -> str:
    """The values that may stand in a message, frequent or short; empty if there are none.

    Messages end in logs, which leave the house: what stands in a row or two, such as a name in the
    wrong column, is for the file alone, whose lines the message tells.
    """
    counts = pd.Series(values).value_counts(sort=False)
    counts = counts[counts.index.astype("str") != ""]
    short = counts.index.astype("str").str.len() <= SHORT
    return some(counts.index[(counts >= PUBLIC).to_numpy() | short])


def masked(key: str) -> str:
    """A key's structure for messages, which must not name a patient.

    Digits and unknown words are #; the words of published layouts and the signs between words stay.
    """

    def mask(match: re.Match[str]) -> str:
        known = KNOWN.fullmatch(match[0])
        start = len(known[1] or "") if known else 0
        return match[0][:start] + "#" * len(match[0][start:])

    return re.sub(r"[^\W_]+", mask, key)


def column_names(header: Iterable[object]) -> str:
    """The columns of a table for a message; a first line that is a row of data is not shown."""
    names = [str(name) for name in header if str(name)]
    if any(re.fullmatch(r"[-+]?\d+(\.\d*)?", name) for name in names):
        return "numbers in its first line, which may be a row. The first line must name the columns"
    return some(names, 60)


def reject(
    rows: pd.Series | np.ndarray,
    source: str,
    problem: str,
    values: pd.Series | None = None,
    remedy: str = "",
) -> None:
    """Raise InputError if any of `rows` is true: how many, the problem, the lines.

    values: of all rows; a frequent one among them is shown (see `shared`).
    """
    positions = np.flatnonzero(rows)
    if len(positions):
        shown = "" if values is None else shared(values.iloc[positions])
        shown = f": {shown}" if shown else ""
        message = f"{source}: {len(positions)} {problem}{shown} ({lines(rows)}). {remedy}"
        raise InputError(message.rstrip())


def lines(rows: pd.Series | np.ndarray, limit: int = 10) -> str:
    """Where the rows that are true stand: by their index, else as lines of a CSV with a header."""
    positions = np.flatnonzero(rows)
    if isinstance(rows, pd.Series) and rows.index.name in UNITS:
        return name_places(rows.index[positions], str(rows.index.name), limit)
    return name_places(positions + 2, "line", limit)


def name_places(
    places: Sequence[object] | pd.Index | np.ndarray, unit: str, limit: int = 10
) -> str:
    """Such as "lines 3, 8, 11"."""
    return f"{unit}{'s' * (len(places) > 1)} {some(places, limit)}"
