"""How exactly a number may leave the dataset's folder: in full, rounded, or not at all.

A rate is a fraction: from a sensitivity of 0.4286, or an AUC-ROC to sixteen digits, follows how
many images have the finding. Where that count is hidden, numbers are rounded so far that any count
could have given them, and left out where rounding would not do. So are gaps between groups, and
averages over findings are rounded, since the other groups and findings can be taken off.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.evaluation.gaps import MADE_OF
from cxrfmkd.evaluation.subgroups import EVERYONE, Cells
from cxrfmkd.statistics.suppression import COARSE

ESTIMATES = ("estimate", "mean", "sd", "low", "high", "difference", "expected", "corrected")
PERCENT = ("relative", "relative_low", "relative_high")
AVERAGED = 3  # decimals of averages over findings of which one has a hidden count
# With fewer possible values, two decimals would still tell the denominator.
FEWEST_VALUES = 2 * 10**COARSE
RELATIVE_TO = ("sex", "race")  # their relative differences share one mean


def publish(name: str, table: pd.DataFrame, cells: Cells) -> pd.DataFrame:
    """Rows of the table `name` of one population as they are written. cells: what they rest on."""
    if "finding" not in table:
        return table
    hidden = cells.hidden_counts[1]
    names = cells.findings.names
    if name in ("curves", "calibration"):
        table = _without_points(name, table, np.array(names)[hidden[:, 0]])
    table = table.reset_index(drop=True)
    averaged = [
        average
        for average, members in cells.findings.means.items()
        if hidden[[names.index(member) for member in members], 0].any()
    ]
    table = _rounded(table, table.finding.isin(averaged), AVERAGED)
    coarse, blank = _limits(name, table, cells, hidden)
    table = _rounded(table, coarse, COARSE)
    columns = table.columns.intersection([*ESTIMATES, *PERCENT])
    table.loc[blank, columns] = np.nan
    if "treat_all" in table:  # the prevalence in other units, once for each threshold
        table.loc[coarse, "treat_all"] = np.nan
    if "suppressed" in table:
        table["suppressed"] |= blank
    return table


def _without_points(name: str, table: pd.DataFrame, findings: np.ndarray) -> pd.DataFrame:
    """Without the curves of `findings`, and without what tells their prevalence."""
    points = table.finding.isin(findings)
    if name == "calibration":
        points &= table.metric.isin(["observed", "brier_skill"])
    return table[~points]


def _rounded(table: pd.DataFrame, rows: pd.Series, decimals: int) -> pd.DataFrame:
    """Estimates of some rows with so many decimals, and percentages with as many fewer."""
    for names, digits in ((ESTIMATES, decimals), (PERCENT, decimals - 2)):
        columns = table.columns.intersection(names)
        if len(columns) and rows.any():
            table[columns] = table[columns].mask(rows, table[columns].astype(float).round(digits))
    return table


def _limits(
    name: str, table: pd.DataFrame, cells: Cells, hidden: np.ndarray
) -> tuple[pd.Series, pd.Series]:
    """Which rows are rounded to `COARSE` decimals, and which are left out."""
    names = pd.MultiIndex.from_arrays([cells.groups.attributes, cells.groups.names])
    finding = pd.Index(cells.findings.names).get_indexer(table.finding)
    if name == "gaps":
        return _limits_of_gaps(table, cells, hidden, finding)
    group = np.zeros(len(table), int)
    if "group" in table:
        group = names.get_indexer(pd.MultiIndex.from_frame(table[["attribute", "group"]]))
    known = finding >= 0
    secret = known & hidden[np.maximum(finding, 0), group]
    metric = table.metric if "metric" in table else pd.Series("", table.index)
    allowed = {m: _can_be_rounded(m, cells) for m in metric.unique()}
    possible = np.array([allowed[m][k, g] for m, k, g in zip(metric, finding, group, strict=True)])
    coarse = pd.Series(secret, table.index)
    blank = coarse & ~possible.astype(bool)
    if "relative" in table:
        _round_relative(table, cells, hidden, finding)
    return coarse, blank


def _limits_of_gaps(
    table: pd.DataFrame, cells: Cells, hidden: np.ndarray, finding: np.ndarray
) -> tuple[pd.Series, pd.Series]:
    """As `_limits`: a gap is left out if the rate of a group that takes part in it is."""
    among = _hidden_of_attribute(cells, hidden)
    telling = {metric: _telling(metric, cells, hidden) for metric in table.metric.unique()}
    coarse, blank = [], []
    columns = (table[name] for name in ("attribute", "metric", "kind", "a", "b"))
    for k, attribute, metric, kind, *pair in zip(finding, *columns, strict=True):
        groups = cells.groups.of(attribute)
        if kind == "difference":
            groups = [group for group in groups if cells.groups.names[group] in pair]
        coarse.append(among[attribute][k])
        blank.append(telling[metric][k, groups].any())
    return pd.Series(coarse, table.index, dtype=bool), pd.Series(blank, table.index, dtype=bool)


def _telling(metric: str, cells: Cells, hidden: np.ndarray) -> np.ndarray:
    """Whether a gap that a group takes part in would tell its hidden count, bool (f, groups)."""
    measures = MADE_OF.get(metric, (metric,))
    return np.logical_or.reduce(
        [hidden & ~cells.hidden(name) & ~_can_be_rounded(name, cells) for name in measures]
    )


def _can_be_rounded(metric: str, cells: Cells) -> np.ndarray:
    """Whether a metric of hidden counts takes enough values, bool (f, groups)."""
    positives, negatives = cells.positives, cells.images - cells.positives
    pairs, fewer = positives * negatives, np.minimum(positives, negatives)
    denominator = {
        "auc_roc": pairs,
        "youden_j_max": pairs,
        "auc_pr": np.where(cells.hidden("auc_pr"), 0, pairs),
        "tpr": positives,
        "tpr_test": positives,
        "sensitivity": positives,
        "fpr": negatives,
        "fpr_test": negatives,
        "specificity": negatives,
        # Not of counts alone, but of predicted probabilities.
        **dict.fromkeys(("brier", "mean_error", "ece", "rmsce_debiased"), pairs),
    }.get(metric, fewer)
    return denominator >= FEWEST_VALUES


def _hidden_of_attribute(cells: Cells, hidden: np.ndarray) -> dict[str, np.ndarray]:
    """Whether any group of an attribute has a hidden count, bool (f,), by attribute."""
    attributes = [EVERYONE, *cells.groups.divisions]
    return {name: np.asarray(hidden[:, cells.groups.of(name)].any(axis=1)) for name in attributes}


def _round_relative(
    table: pd.DataFrame, cells: Cells, hidden: np.ndarray, finding: np.ndarray
) -> None:
    """Round the relative differences of all groups whose mean has a member with a hidden count."""
    among = _hidden_of_attribute(cells, hidden)
    together = [name for name in RELATIVE_TO if name in among]
    if together:
        either = np.logical_or.reduce([among[name] for name in together])
        among |= {name: either for name in together}
    rows = [among[a][k] for a, k in zip(table.attribute, finding, strict=True)]
    columns = [*PERCENT]
    table[columns] = table[columns].mask(pd.Series(rows, table.index), table[columns].round(0))
