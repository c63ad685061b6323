r"""Evaluate any model's predictions by the study's definitions, with bootstrap intervals.

Reads a table of truth (0, 1, blank for unknown) and one of scores (logits or probabilities), each
CSV or Parquet with one row an image and a column a finding. Rows are matched by a key column,
findings by the name of their column, nothing by position. Writes one row per finding and metric:
estimate, interval, the share of the replicates that were skipped because it was undefined in them
(no positive was drawn), images and positives.

    cxrfmkd metrics --truth test.csv --scores model.csv --key image_id --cluster patient_id \
        --out metrics.csv

Name a --cluster column in the truth (the patient) wherever one patient has several images: without
it images count as independent, and intervals come out too narrow.
"""

from __future__ import annotations

import argparse

import numpy as np

from cxrfmkd.commands.scored import add_arguments, read_scored
from cxrfmkd.evaluation.intervals import metric_bounds
from cxrfmkd.runtime.files import write_table
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics.intervals import skipped_share
from cxrfmkd.statistics.uncertainty import SeedVariance
from cxrfmkd.vocabulary.metrics import METRICS


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_arguments(parser, "CSV or Parquet: any scale")


def main(args: argparse.Namespace) -> None:
    """Write one row per finding and metric; averages follow if all 14 findings are there."""
    images = read_scored(args, [args.scores])
    values = images.measure(args)[0]
    alone = SeedVariance(np.zeros(values.shape[1:]), np.inf)
    low, high = metric_bounds(values, alone, *images.sides(), args.confidence, args.target_fpr)
    axes = {"finding": images.rows, "metric": METRICS}
    columns = {"estimate": values[0], "low": low, "high": high, "skipped": skipped_share(values)}
    write_table(args.out, long(axes, **columns, **images.counts()), sealed=False)
