"""Tables for people: wide CSVs with a column per seed or strategy, in the thesis's layout where it had one.

Everything here rearranges what the evaluation and the bias analysis computed; no number is estimated anew but
means and standard deviations over seeds. Source of the layouts: thesis method, section 6.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrfmkd.findings import BY_RELEVANCE, FINDINGS, GROUPS
from cxrfmkd.zoo import LOSS_TITLES, MODELS, STRATEGIES

RUN = ["dataset", "source", "strategy", "model", "loss", "population"]
METRICS = ("auc_pr", "auc_roc", "youden_j_max", "youden_j_at_fpr20")
FOCUSED = (*BY_RELEVANCE[:7], "Average Classes 1 to 7", "Others")
SPREAD = ["average", "sd", "percent_sd"]
# Columns by which people read a table from top to bottom, and the order of what stands in them.
ORDERS = {
    "strategy": ["own", *STRATEGIES],
    "model": list(MODELS),
    "loss": ["", *LOSS_TITLES],
    "population": ["resampled", "natural"],
    "metric": list(METRICS),
    "finding": [*BY_RELEVANCE, *GROUPS],
}


def in_order(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """`table` sorted by the columns `by`, each in the study's own order; what has none stays alphabetical."""

    def rank(column: pd.Series) -> pd.Series:
        order = ORDERS.get(str(column.name))
        if order is None:
            return column
        return column.map(lambda value: (order.index(value) if value in order else len(order), str(value)))

    return table.sort_values(list(by), key=rank, kind="stable", ignore_index=True)


def over_seeds(metrics: pd.DataFrame, findings: Sequence[str]) -> pd.DataFrame:
    """One row per run family, metric and finding: a column per seed, then average, SD (ddof 1) and 100 SD / average.

    The SD of a single seed is blank; percent_sd is 0 where the average is 0, as in the thesis.
    """
    keys = [*RUN, "metric", "finding"]
    chosen = metrics[metrics.finding.isin(findings)]
    wide = chosen.pivot_table(index=keys, columns="seed", values="estimate", aggfunc="first", dropna=False, observed=True)  # fmt: skip
    wide = wide.dropna(how="all")
    numbers = wide.to_numpy(float)
    wide.columns = [f"seed{seed}" for seed in wide.columns]
    average = wide.mean(axis=1)
    spread = wide.std(axis=1, ddof=1)
    percent = (100 * spread / average.where(average != 0)).where(average != 0, 0.0)
    table = wide.assign(average=average, sd=spread, percent_sd=percent.where(spread.notna()))
    assert numbers.shape[0] == len(table)
    return in_order(table.reset_index(), keys)
