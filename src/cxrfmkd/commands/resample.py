"""Resample a test table to equal race shares, equal disease prevalence and equal age distribution.

Reads any CSV or Parquet with the columns race_label (or race), disease_label (or disease) and age,
one row an image, such as the records of a study or the `chexpert.sample.test.csv` of
biomedia-mira/chexploration. Writes one line per row of the input: its number (from 0), its key
where there is one, and how often it was drawn. With --rows the drawn table itself is written, every
row as often as it was drawn and in the order of the draws: what the published notebook writes for
the same seed and factor.

    cxrfmkd resample chexpert.sample.test.csv --out counts.csv --seed 42
    cxrfmkd resample chexpert.sample.test.csv --out chexpert.resample.test.csv --rows
    cxrfmkd resample records/test.csv --out weights.csv --method weights
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.commands.options import add_settings, output_file
from cxrfmkd.commands.user_tables import read_user_table
from cxrfmkd.datasets.raw import UNNAMED
from cxrfmkd.datasets.records import age_bin, possible_years
from cxrfmkd.datasets.resampling import draw_rows, stratify, weigh
from cxrfmkd.runtime.cells import column_names, reject
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import write_table
from cxrfmkd.runtime.text_tables import typed
from cxrfmkd.statistics.suppression import suppressed
from cxrfmkd.study.settings import Evaluation, Resampling

# Cells with fewer patients (images, where the table names no patient) are not printed.
MINIMUM_CELL = Evaluation().minimum_cell
KEYS = ("image_id", "path_preproc", "Path", "path")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    add = parser.add_argument
    add("records", type=Path, help="CSV or Parquet, one row an image")
    add("--out", type=output_file, required=True, help="CSV or Parquet to write")
    add(
        "--method",
        choices=["draws", "weights"],
        default="draws",
        help="draws with replacement as published (default), or exact weights of the same targets",
    )
    add_settings(parser, Resampling, "factor", "seed")
    add("--by", default="race", help="column whose groups get equal shares (default: race)")
    add("--rows", action="store_true", help="draws: write the drawn rows instead of counts")


def main(args: argparse.Namespace) -> None:
    """Write the resampled table, and print how the images of each group were weighted."""
    if args.rows and args.method != "draws":
        raise InputError(
            "--rows writes the drawn rows, and exact weights draw none. Leave one of them out."
        )
    table = read_user_table(args.records, ["age"])
    table = table[[name for name in table if not UNNAMED.match(str(name))]]
    if args.rows and "row" in table:
        raise InputError(
            f"{args.records}: --rows adds a column row, which it has already. Rename its own."
        )
    race, disease = (_column(table, args.records, name) for name in (args.by, "disease"))
    if race.name == disease.name:
        raise InputError(
            f"--by {args.by}: the prevalence of each disease is kept equal in the groups of "
            "another column. Name that one."
        )
    key = [name for name in KEYS if name in table][:1]
    for column in (race, *(table[name] for name in key)):
        reject(column.isna(), f"{args.records}, column {column.name}", "rows are blank")
    strata = stratify(race, disease, age_bin(possible_years(table.age, str(args.records))))
    rows = np.arange(len(table))
    if args.rows:
        drawn = draw_rows(strata, args.factor, args.seed)
        table.insert(0, "row", rows)
        drawn_rows = table.iloc[drawn]
        drawn_rows = typed(drawn_rows) if args.out.suffix == ".parquet" else drawn_rows
        write_table(args.out, drawn_rows, sealed=False)
        weight = np.bincount(drawn, minlength=len(table))
    else:
        weight = weigh(strata, args.method, args.factor, args.seed)
        if args.method == "draws":
            weight = weight.astype(int)
        columns = {"row": rows, **table[key]}
        columns["count" if args.method == "draws" else "weight"] = weight
        write_table(args.out, pd.DataFrame(columns), sealed=False)
    patients = table.get("patient_id", pd.Series(rows, table.index))
    print(_summary(race.rename(args.by), disease, patients, weight).to_string())


def _column(table: pd.DataFrame, path: Path, name: str) -> pd.Series:
    """The labels of `name`: its column in the published tables, else in a study's records."""
    for column in (f"{name}_label", name):
        if column in table:
            return table[column]
    raise InputError(
        f"{path}: neither a column {name}_label nor {name}; it has {column_names(table)}."
    )


def _summary(
    race: pd.Series, disease: pd.Series, patients: pd.Series, weight: np.ndarray
) -> pd.DataFrame:
    """Images and weight of each race x disease; small cells are left blank."""
    frame = pd.DataFrame({"patient": patients, "weight": weight})
    cells = frame.groupby([race, disease.rename("disease")])
    table = cells.weight.agg(images="size", resampled="sum")
    margins = (table.index.get_level_values(level).to_numpy() for level in table.index.names)
    hidden = suppressed(cells.patient.nunique().to_numpy(), MINIMUM_CELL, *margins)
    table = table.astype("object")
    table[hidden] = "-"
    return table
