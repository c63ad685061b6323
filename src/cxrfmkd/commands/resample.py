"""Resample a test table to equal race shares, equal disease prevalence and equal age distribution.

Reads any CSV or Parquet with the columns race_label (or race), disease_label (or disease) and age,
one row an image, such as the records of a study or the `chexpert.sample.test.csv` of
biomedia-mira/chexploration. Writes one line per
row of the input: its number (from 0), its key where there is one, and how often it was drawn. With
--rows the drawn
table itself is written, every row as often as it was drawn and in the order of the draws: what the
published notebook writes for the same seed and factor.

    cxrfmkd resample chexpert.sample.test.csv --out counts.csv --seed 42
    cxrfmkd resample chexpert.sample.test.csv --out chexpert.resample.test.csv --rows
    cxrfmkd resample records/test.csv --out weights.csv --method weights
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.datasets.raw import UNNAMED
from cxrfmkd.datasets.records import age_bin
from cxrfmkd.datasets.resampling import SMALLEST, draw, groups, weigh
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.files import read_table, write_table

KEYS = ("image_id", "path_preproc", "Path", "path")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("records", type=Path, help="CSV or Parquet, one row an image")
    parser.add_argument("--out", type=Path, required=True, help="CSV or Parquet to write")
    parser.add_argument(
        "--method",
        choices=["draws", "weights"],
        default="draws",
        help="draws with replacement as published (default), or exact weights with the same targets",
    )
    parser.add_argument(
        "--factor", type=int, default=3, help="draws: rows drawn per row of the input (default 3)"
    )
    parser.add_argument("--seed", type=int, default=42, help="draws: seed of torch (default 42)")
    parser.add_argument(
        "--rows", action="store_true", help="draws: write the drawn rows instead of counts"
    )


def main(args: argparse.Namespace) -> None:
    if args.rows and args.method != "draws":
        raise InputError(
            "--rows writes what was drawn; exact weights draw nothing. Leave one of them out."
        )
    if not args.records.is_file():
        raise InputError(f"{args.records}: there is no such file.")
    table = read_table(args.records)
    table = table[[name for name in table if not UNNAMED.match(str(name))]]
    race, disease = (_column(table, args.records, name) for name in ("race", "disease"))
    if "age" not in table:
        raise InputError(f"{args.records}: no column age; it has {some(table, 60)}.")
    cells = groups(race, disease, age_bin(pd.to_numeric(table.age)))
    rows = np.arange(len(table))
    if args.rows:
        drawn = draw(cells, args.factor, args.seed)
        table.insert(0, "row", rows)
        write_table(args.out, table.iloc[drawn])
        weight = np.bincount(drawn, minlength=len(table))
    else:
        weight = weigh(cells, args.method, args.factor, args.seed)
        if args.method == "draws":
            weight = weight.astype(int)
        known = {name: table[name] for name in KEYS if name in table}
        named = {"row": rows} | dict(list(known.items())[:1])
        write_table(args.out, pd.DataFrame(named | {_heading(args.method): weight}))
    print(_summary(race, disease, weight).to_string())


def _heading(method: str) -> str:
    return "count" if method == "draws" else "weight"


def _column(table: pd.DataFrame, path: Path, name: str) -> pd.Series:
    found = [column for column in (f"{name}_label", name) if column in table]
    if not found:
        raise InputError(
            f"{path}: neither a column {name}_label nor {name}; it has {some(table, 60)}."
        )
    return table[found[0]]


def _summary(race: pd.Series, disease: pd.Series, weight: np.ndarray) -> pd.DataFrame:
    """Images and weight of each race x disease; those with few images are left blank."""
    frame = pd.DataFrame({"race": race, "disease": disease, "weight": weight})
    cells = frame.groupby(["race", "disease"]).weight.agg(["size", "sum"])
    cells.columns = ["images", "resampled"]
    return cells.astype("object").mask(cells["images"] < SMALLEST, "-")
