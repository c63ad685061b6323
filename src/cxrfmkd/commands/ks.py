r"""Two-sample Kolmogorov-Smirnov tests of groups of rows, adjusted by Benjamini and Yekutieli.

Reads any CSV or Parquet, such as a study's projection.parquet or the samples of
biomedia-mira/cxr-foundation-bias. Every column of --modes is tested for every pair of --pairs; a
pair is COLUMN=A:B and compares the rows whose COLUMN is A with those whose COLUMN is B (numbers or
text: 1 is also 1.0). P-values are exact up to 10,000 rows a group, and all of them together are one
family of the adjustment, as in the published analysis.

    cxrfmkd ks cxr-foundation.embeddings.csv --out ks.csv \
        --modes "PCA Mode 1" "PCA Mode 2" "PCA Mode 3" "PCA Mode 4" \
        --pairs disease_label=1:0 race=Asian:White race=Black:Asian race=White:Black sex=Female:Male
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.bias.two_sample import TESTS
from cxrfmkd.commands.options import output_file
from cxrfmkd.commands.user_tables import check_columns, read_user_table
from cxrfmkd.runtime.cells import reject, shared, to_numbers
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import write_table
from cxrfmkd.statistics.multiple import adjusted

COLUMNS = ("mode", "column", "a", "b", "n_a", "n_b", "d", "p", "p_adjusted")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    parser.add_argument("table", type=Path, help="CSV or Parquet, one row an image")
    parser.add_argument(
        "--modes", nargs="+", required=True, metavar="COLUMN", help="numeric columns to test"
    )
    parser.add_argument(
        "--pairs", nargs="+", required=True, metavar="COLUMN=A:B", help="groups to compare"
    )
    parser.add_argument("--out", type=output_file, required=True, help="CSV or Parquet to write")
    parser.add_argument(
        "--test", choices=list(TESTS), default="ks", help="the test, `ks` if not given"
    )


def main(args: argparse.Namespace) -> None:
    """Test the table and write the results."""
    table = read_user_table(args.table)
    write_table(
        args.out, compare(table, args.modes, args.pairs, args.test, str(args.table)), sealed=False
    )


def compare(
    table: pd.DataFrame, modes: list[str], pairs: list[str], test: str = "ks", source: str = "table"
) -> pd.DataFrame:
    """One row a mode and pair, with COLUMNS; `d` is the statistic of the test (D of `ks`).

    Raises InputError for an unknown column, a mode that is not numeric or has blanks, and an empty
    group.
    """
    scores = {mode: _numbers(table, mode, source) for mode in modes}
    groups = [_pair(table, text, source) for text in pairs]
    lines = []
    for mode, values in scores.items():
        for column, a, b, first, second in groups:
            statistic, p = TESTS[test](values[first], values[second])
            lines.append((mode, column, a, b, first.sum(), second.sum(), statistic, p))
    tests = pd.DataFrame(lines, columns=list(COLUMNS[:-1]))
    return tests.assign(p_adjusted=adjusted(tests.p.to_numpy(), "fdr_by"))


def _numbers(table: pd.DataFrame, column: str, source: str) -> np.ndarray:
    check_columns(table, [column], source)
    values = to_numbers(table[column])
    remedy = "Take these rows out, or name another column."
    problem = "values are blank or no numbers"
    reject(values.isna(), f"{source}, column {column}", problem, remedy=remedy)
    return values.to_numpy()


def _pair(table: pd.DataFrame, text: str, source: str) -> tuple:
    """Column, both groups as written, and the rows of each."""
    column, equals, rest = text.rpartition("=")
    a, colon, b = rest.partition(":")
    if not (equals and colon and a and b) or a == b:
        raise InputError(
            f"--pairs {text}: write COLUMN=A:B with two different values, such as sex=Female:Male."
        )
    check_columns(table, [column], source)
    first, second = (_equal(table[column], value) for value in (a, b))
    for value, rows in ((a, first), (b, second)):
        if not rows.any():
            raise InputError(
                f"{source}, column {column}: no row is {value!r}; frequent values are "
                f"{shared(table[column]) or 'none'}."
            )
    return column, a, b, first, second


def _equal(column: pd.Series, value: str) -> np.ndarray:
    """Rows that are `value`: as numbers where the whole column and it are numbers, else as text."""
    values, number = to_numbers(column), to_numbers(pd.Series([value]))[0]
    if number == number and values.notna().sum() == column.notna().sum():
        return values.eq(number).to_numpy(bool)
    return column.astype("str").str.strip().eq(value.strip()).fillna(False).to_numpy(bool)
