"""Tables that a user names on the command line, with an error for what is not there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.files import read_table


def read_user_table(path: Path, columns: Iterable[str] = (), **options: object) -> pd.DataFrame:
    """Read a CSV or Parquet table that has `columns`; options: pandas' own.

    Raises InputError if there is no such file or column.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.")
    table = read_table(path, **options)
    check_columns(table, columns, path)
    return table


def check_columns(table: pd.DataFrame, columns: Iterable[str], source: object) -> None:
    """Raises InputError that names the columns that `table`, read from `source`, lacks."""
    if missing := [name for name in columns if name not in table]:
        raise InputError(f"{source}: no column {', '.join(missing)}; it has {some(table, 60)}.")
