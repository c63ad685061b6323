"""Gaps between groups of patients: how unequally a model serves them, and whether that is more than
noise.

The largest difference within an attribute is biased upward: it is positive even if the model serves
all groups alike. The expected square of that noise is estimated from replicates that are centred on
a common value, and taken off the squared gap (after the double-corrected variance of Lum, Zhang and
Bower 2022, which for two groups it is).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from cxrfmkd.evaluation.subgroups import Cells, Groups, measures_of
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics.intervals import basic_interval, percentile_interval
from cxrfmkd.statistics.multiple import standard_error, wald
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.metrics import METRICS

SIMPLE = (*METRICS, "tpr", "fpr")
COMPARED = ("auc_roc", "tpr", "fpr")
BETWEEN_MODELS = ("auc_roc", "equalised_odds", "underdiagnosis")
# With more groups, each is compared with the largest one alone.
ALL_PAIRS_UP_TO = 3


def ranges(
    measured: dict[str, np.ndarray], groups: Groups, cells: Cells, centre: bool = False
) -> dict[tuple[str, str], np.ndarray]:
    """Largest minus smallest value over the groups of each attribute.

    measured: as from `subgroups.with_rates`, each of shape (replicates, f, groups). centre: take
    each group's value in the first replicate off its others, so that the groups differ by noise
    alone. Returns arrays of shape (replicates, f) by (attribute, measure); NaN where fewer than two
    groups are shown. "equalised_odds" is the larger of the gaps in true- and false-positive rate
    (Hardt 2016; fairlearn's equalized_odds_difference), "underdiagnosis" the gap in the
    false-positive rate of No Finding (Seyyed-Kalantari 2021).
    """
    found = {}
    for attribute in groups.divisions:
        members = groups.of(attribute)
        for measure in SIMPLE:
            if measure in measures_of(attribute):
                values = shown(measured, measure, cells, members)
                found[attribute, measure] = _spread(values - values[:1] if centre else values)
        tpr, fpr = found[attribute, "tpr"], found[attribute, "fpr"]
        found[attribute, "equalised_odds"] = np.maximum(tpr, fpr)
        no_finding = np.array(FINDINGS) == "No Finding"
        found[attribute, "underdiagnosis"] = np.where(no_finding, fpr, np.nan)
    return found


def shown(
    measured: dict[str, np.ndarray], measure: str, cells: Cells, members: list[int]
) -> np.ndarray:
    """A measure of some groups, (replicates, f, members), NaN where small numbers hide it."""
    values = measured[measure][..., members]
    values[:, cells.hidden(measure)[:, members]] = np.nan
    return values


def _spread(values: np.ndarray) -> np.ndarray:
    """Largest minus smallest along the last axis; NaN unless two or more are not NaN."""
    largest, smallest = values[..., 0], values[..., 0]
    for k in range(1, values.shape[-1]):
        largest, smallest = np.fmax(largest, values[..., k]), np.fmin(smallest, values[..., k])
    few = (~np.isnan(values)).sum(axis=-1) < 2
    return np.where(few, np.nan, largest - smallest)


def range_table(
    found: dict[tuple[str, str], np.ndarray],
    measured: dict[str, np.ndarray],
    groups: Groups,
    cells: Cells,
    confidence: float,
) -> pd.DataFrame:
    """The ranges with intervals, their expectation by noise alone, and the gap corrected for it.

    found: from `ranges`. a, b: the groups with the largest and the smallest value. p: share of
    centred replicates with at least such a gap.
    """
    if not found:
        return pd.DataFrame()
    noise = ranges(measured, groups, cells, centre=True)
    values = np.stack(list(found.values()), axis=1)
    centred = np.stack(list(noise.values()), axis=1)[1:]
    estimate, (low, high) = values[0], basic_interval(values, confidence)
    count = (~np.isnan(centred)).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected, square = (np.nansum(centred**k, axis=0) / count for k in (1, 2))
        p = (1 + (centred >= estimate).sum(axis=0)) / (1 + count)
    extremes = [
        _extremes(measured, attribute, measure, groups, cells) for attribute, measure in found
    ]
    table = long(
        {"attribute,metric": list(found), "finding": list(FINDINGS)},
        kind=np.array("range"),
        estimate=estimate,
        low=low,
        high=high,
        expected=expected,
        corrected=np.sqrt(np.maximum(estimate**2 - square, 0)),
        p=np.where((count > 0) & ~np.isnan(estimate), p, np.nan),
        a=np.array([a for a, _ in extremes]),
        b=np.array([b for _, b in extremes]),
    )
    return _of_no_finding(table)


def _extremes(measured, attribute: str, measure: str, groups: Groups, cells: Cells):
    """Names of the groups with the largest and the smallest value, two lists of length f; blank for combined gaps."""
    if measure not in measured:
        return [[None] * len(FINDINGS)] * 2
    members = groups.of(attribute)
    values = shown(measured, measure, cells, members)[0]
    names = np.array(groups.names, object)[members]
    blank = np.isnan(values).all(axis=1)
    return [
        np.where(
            blank, None, names[np.where(np.isnan(values), -np.inf, sign * values).argmax(axis=1)]
        ).tolist()
        for sign in (1, -1)
    ]


def _of_no_finding(table: pd.DataFrame) -> pd.DataFrame:
    """`table` without the underdiagnosis of other findings, which does not exist."""
    return table[(table.metric != "underdiagnosis") | (table.finding == "No Finding")]


def pair_table(
    measured: dict[str, np.ndarray],
    by_seed: dict[str, np.ndarray],
    groups: Groups,
    cells: Cells,
    confidence: float,
) -> pd.DataFrame:
    """Paired differences between two groups of an attribute, a minus b.

    by_seed: the measures of each seed's model on the sample itself, each of shape (seeds, f,
    groups).
    """
    pairs = [pair for attribute in groups.divisions for pair in _pairs(attribute, groups, cells)]
    if not pairs:
        return pd.DataFrame()
    a, b = map(list, zip(*pairs, strict=True))
    sides = [
        np.stack([shown(part, measure, cells, members) for measure in COMPARED], axis=1)
        for part in (measured, by_seed)
        for members in (a, b)
    ]
    difference, seeds = sides[0] - sides[1], sides[2] - sides[3]
    low, high = percentile_interval(difference[1:], confidence)
    about = [(groups.attributes[i], groups.names[i], groups.names[j]) for i, j in pairs]
    return long(
        {"metric": list(COMPARED), "finding": list(FINDINGS), "attribute,a,b": about},
        kind=np.array("difference"),
        estimate=difference[0],
        low=low,
        high=high,
        p=wald(difference[0], standard_error(difference[1:]), seeds),
    )


def _pairs(attribute: str, groups: Groups, cells: Cells) -> list[tuple[int, int]]:
    members = groups.of(attribute)
    if len(members) <= ALL_PAIRS_UP_TO:
        return list(combinations(members, 2))
    size = cells.patients.max(axis=0)
    largest = max(members, key=lambda i: size[i])
    return [(i, largest) for i in members if i != largest]


def versus_table(
    found: dict[tuple[str, str], np.ndarray],
    reference: dict[tuple[str, str], np.ndarray],
    confidence: float,
) -> pd.DataFrame:
    """Difference of a model's gaps from a reference model's, on the same replicates; negative is smaller gaps."""
    keys = [key for key in found if key[1] in BETWEEN_MODELS]
    if not keys:
        return pd.DataFrame()
    difference = np.stack([found[key] - reference[key] for key in keys], axis=1)
    low, high = percentile_interval(difference[1:], confidence)
    axes = {"attribute,metric": keys, "finding": list(FINDINGS)}
    table = long(axes, kind=np.array("versus"), estimate=difference[0], low=low, high=high)
    return _of_no_finding(table)
