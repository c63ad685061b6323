"""Cells of a table as numbers, and messages that say in which lines the bad ones stand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrfmkd.runtime.errors import InputError, some

UNITS = ("line", "row")  # names of an index that says where in its file each row stands


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


def reject(
    rows: pd.Series | np.ndarray,
    source: str,
    problem: str,
    values: pd.Series | None = None,
    remedy: str = "",
) -> None:
    """Raise InputError if any of `rows` is true: how many, the problem, some values, the lines."""
    positions = np.flatnonzero(rows)
    if len(positions):
        shown = "" if values is None else f": {some(values.iloc[positions].unique())}"
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
