"""Evaluate any model's predictions by the study's definitions, with bootstrap intervals.

Reads a table of truth (0, 1, blank for unknown) and one of scores (logits or probabilities), each
CSV or Parquet with one row an image and a column a finding. Rows are matched by a key column,
findings by the name of their column, nothing by position. Writes one row per finding and metric:
estimate, interval, images and positives.

    cxrfmkd metrics --truth test.csv --scores model.csv --key image_id --cluster patient_id --out
    metrics.csv

Name a --cluster column in the truth (the patient) wherever one patient has several images: without
it images count as independent, and intervals come out too narrow.
"""

from __future__ import annotations

import argparse

import pandas as pd

from cxrfmkd.commands import scored
from cxrfmkd.commands.scored import Scored
from cxrfmkd.runtime.files import write_table
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics.intervals import percentile_interval
from cxrfmkd.vocabulary.metrics import METRICS


def arguments(parser: argparse.ArgumentParser) -> None:
    scored.arguments(parser, "CSV or Parquet: any scale")


def main(args: argparse.Namespace) -> None:
    write_table(args.out, table(Scored.read(args, [args.scores]), args))


def table(given: Scored, args: argparse.Namespace) -> pd.DataFrame:
    """One row per finding and metric; the study's groups follow if all 14 findings are there."""
    values = given.replicate(args)[0]
    low, high = percentile_interval(values[1:], args.confidence)
    axes = {"finding": given.rows, "metric": list(METRICS)}
    return long(axes, estimate=values[0], low=low, high=high, **given.counts())
