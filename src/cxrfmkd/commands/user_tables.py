"""Tables that a user names on the command line, with an error for what is not there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from cxrfmkd.runtime.cells import column_names
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.text_tables import read_text_table


def read_user_table(path: Path, columns: Iterable[str] = ()) -> pd.DataFrame:
    """A table of any kind that has `columns`, as text, so that an id of 007 stays 007.

    The index says where each row stands. Raises InputError for what is not there or not a table.
    """
    table = read_text_table(path)
    check_columns(table, columns, path)
    return table


def check_columns(table: pd.DataFrame, columns: Iterable[str], source: object) -> None:
    """Raises InputError that names the columns that `table`, read from `source`, lacks."""
    if missing := [name for name in columns if name not in table]:
        raise InputError(f"{source}: no column {', '.join(missing)}; it has {column_names(table)}.")
