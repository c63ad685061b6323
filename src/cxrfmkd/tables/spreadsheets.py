"""Tables that are opened in a spreadsheet: no cell is a formula."""

from __future__ import annotations

import re

import pandas as pd

# A spreadsheet computes a cell that begins so, and a formula can fetch and send.
FORMULA = re.compile(r"[=+\-@\t\r\n]")


def inert(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with an apostrophe before each text, and column name, that would be a formula."""
    texts = [name for name in table if table[name].dtype == object or table[name].dtype == "str"]
    return table.assign(**{name: table[name].map(_inert) for name in texts}).rename(columns=_inert)


def _inert(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value
