r"""Compare two models' predictions for the same images: paired differences with p-values.

Reads a table of truth (0, 1, blank for unknown) and two of scores (logits or probabilities), each
CSV or Parquet with one row an image and a column a finding, matched by a key column and by the
findings' names. Both models are measured on the same bootstrap replicates, so that what they have
in common cancels. Writes one row per finding and metric: both estimates, the first model minus the
second, interval, p, p adjusted over the rows of a metric, and for AUC-ROC a p from DeLong's
variance as a check that shares nothing with the bootstrap.

    cxrfmkd compare --truth test.csv --scores ours.csv --scores theirs.csv --key image_id \
        --cluster patient_id --out differences.csv

Name a --cluster column in the truth (the patient) wherever one patient has several images. What is
compared is these two models; whether another seed of each would differ alike is what a study with
several seeds answers.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from cxrfmkd.commands.scored import ScoredImages, add_arguments, read_scored
from cxrfmkd.evaluation.comparisons import difference_columns, paired_errors
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import write_table
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics import delong
from cxrfmkd.statistics.multiple import adjust_by_family
from cxrfmkd.study.settings import Evaluation
from cxrfmkd.study.settings.base import choices
from cxrfmkd.vocabulary.metrics import METRICS

COLUMNS = (
    "finding metric model_a model_b estimate_a estimate_b difference low high p p_adjusted "
    "p_delong n positives"
).split()
ADJUSTMENT = Evaluation.model_fields["adjustment"]


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_arguments(parser, "CSV or Parquet: any scale; once for each model", "append")
    parser.add_argument(
        "--adjustment",
        choices=choices(ADJUSTMENT),
        default=ADJUSTMENT.default,
        help=f"of the p-values of a metric (default {ADJUSTMENT.default})",
    )


def main(args: argparse.Namespace) -> None:
    """Write the differences of two models."""
    if len(args.scores) != 2 or args.scores[0] == args.scores[1]:
        raise InputError(
            f"--scores: {len(set(args.scores))} files are given. Name two, each after a --scores "
            "of its own."
        )
    write_table(args.out, differences(read_scored(args, args.scores), args), sealed=False)


def differences(images: ScoredImages, args: argparse.Namespace) -> pd.DataFrame:
    """One row per finding and metric; averages follow if all 14 findings are there."""
    a, b = images.measure(args)
    analytic = np.full(a.shape[1:], np.nan)
    if (images.weights == 1).all():
        of_a, of_b = (
            delong.influence(images.targets, scores, images.clusters) for scores in images.scores
        )
        p = delong.p_value(of_a - of_b, images.targets, images.clusters)
        analytic[:, METRICS.index("auc_roc")] = images.per_row(p)[:, 0]
    error = paired_errors(a - b, patients=np.minimum(*images.sides())[:, None])
    columns = difference_columns(a[0] - b[0], error, args.confidence)
    analytic[np.isnan(columns["p"])] = np.nan
    table = long(
        {"finding": images.rows, "metric": METRICS},
        estimate_a=a[0],
        estimate_b=b[0],
        **columns,
        p_delong=analytic,
        **images.counts(),
    )
    table = adjust_by_family(table, ["metric"], args.adjustment)
    return table.assign(model_a=str(args.scores[0]), model_b=str(args.scores[1]))[COLUMNS]
