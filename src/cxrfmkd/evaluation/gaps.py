"""Gaps between groups of patients: how unequally a model serves them, and whether that is noise.

The largest difference within an attribute is biased upward: it is positive even if the model serves
all groups alike. The expected square of that noise is estimated from replicates that are centred on
a common value, and taken off the squared gap (after the double-corrected variance of Lum, Zhang and
Bower 2022, which for two groups it is). Its interval is that of `statistics.inversion`.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from cxrfmkd.evaluation.intervals import noise
from cxrfmkd.evaluation.subgroups import Cells, GroupMeasures, PatientGroups, measures_of
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics.inversion import LARGER_RANGE, RANGE, Inversion, invert
from cxrfmkd.statistics.uncertainty import (
    FEWEST_PATIENTS,
    errors,
    plain_interval,
    seed_variance,
)
from cxrfmkd.study.settings import Evaluation, Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.metrics import METRICS

# Gaps that are made of other measures.
MADE_OF = {"equalised_odds": ("tpr", "fpr"), "underdiagnosis": ("fpr",)}

RANGE_MEASURES = (*METRICS, "tpr", "fpr")
PAIR_MEASURES = ("auc_roc", "tpr", "fpr")
VERSUS_MEASURES = ("auc_roc", "equalised_odds", "underdiagnosis")
# With more groups, each is compared with the largest one alone.
ALL_PAIRS_UP_TO = 3

Ranges = dict[tuple[str, str], np.ndarray]  # by attribute and measure, shape (replicates, f)


def ranges(measures: GroupMeasures, groups: PatientGroups, findings: Findings = THESIS) -> Ranges:
    """Largest minus smallest value over the groups of each attribute.

    NaN where fewer than two groups are shown. "equalised_odds" is the larger of the
    gaps in true- and false-positive rate (Hardt 2016; fairlearn's equalized_odds_difference),
    "underdiagnosis" the gap in the false-positive rate of the finding that means none
    (Seyyed-Kalantari 2021).
    """
    result: Ranges = {}
    no_finding = np.array([name == findings.none for name in findings.names])
    for attribute in groups.divisions:
        members = groups.of(attribute)
        for name in RANGE_MEASURES:
            if name in measures_of(attribute):
                result[attribute, name] = _range(measures[name][..., members])
        tpr, fpr = result[attribute, "tpr"], result[attribute, "fpr"]
        result[attribute, "equalised_odds"] = np.maximum(tpr, fpr)
        result[attribute, "underdiagnosis"] = np.where(no_finding, fpr, np.nan)
    return result


def _range(values: np.ndarray) -> np.ndarray:
    """Largest minus smallest along the last axis; NaN unless two or more are not NaN."""
    few = (~np.isnan(values)).sum(axis=-1) < 2
    spread = np.fmax.reduce(values, axis=-1) - np.fmin.reduce(values, axis=-1)
    return np.where(few, np.nan, spread)


def range_table(
    gaps: Ranges,
    measures: GroupMeasures,
    by_seed: GroupMeasures,
    cells: Cells,
    settings: Evaluation,
) -> pd.DataFrame:
    """The ranges with intervals, their expectation by noise alone, and the gap corrected for it.

    gaps: from `ranges`. by_seed: as for `pair_table`. a, b: the groups with the largest and the
    smallest value. p: share of noise that makes at least such a gap.
    """
    if not gaps:
        return pd.DataFrame()
    groups = cells.groups
    columns = [invert_range(*key, measures, by_seed, cells, settings) for key in gaps]
    low, high, expected, square, p = (np.stack(column) for column in zip(*columns, strict=True))
    estimate = np.stack([values[0] for values in gaps.values()])
    extremes = [_extremes(measures, *key, groups) for key in gaps]
    table = long(
        {"attribute,metric": list(gaps), "finding": cells.findings.names},
        kind=np.array("range"),
        estimate=estimate,
        low=low,
        high=high,
        expected=expected,
        corrected=np.sqrt(np.maximum(estimate**2 - square, 0)),
        p=p,
        a=np.array([a for a, _ in extremes]),
        b=np.array([b for _, b in extremes]),
    )
    return _without_other_underdiagnosis(table, cells.findings)


def invert_range(
    attribute: str,
    name: str,
    measures: GroupMeasures,
    by_seed: GroupMeasures,
    cells: Cells,
    settings: Evaluation,
) -> Inversion:
    """Interval and test of one measure's range over the groups of an attribute."""
    rates = MADE_OF.get(name, (name,))
    members = cells.groups.of(attribute)
    estimates, moves = [], []
    for rate in rates:
        values, seeds = (of[rate][..., members] for of in (measures, by_seed))
        patients = np.maximum(cells.fewest(rate)[:, members], FEWEST_PATIENTS)
        error = errors(values, seed_variance(seeds), patients=patients)
        estimates.append(values[0])
        moves.append(noise(values, seeds, error, settings.seed))
    kind = LARGER_RANGE if len(rates) == 2 else RANGE
    joined = np.concatenate(estimates, -1), np.concatenate(moves, -1)
    return invert(kind, *joined, settings.confidence)


def _extremes(
    measures: GroupMeasures, attribute: str, name: str, groups: PatientGroups
) -> list[list]:
    """Names of the groups with the largest and smallest value, two lists of length f.

    Blank for gaps that combine measures.
    """
    if name not in measures:
        return [[None] * measures["fpr"].shape[1]] * 2
    members = groups.of(attribute)
    values = measures[name][0][:, members]
    names = np.array([groups.names[i] for i in members], object)
    extremes = []
    for sign in (1, -1):
        extreme = names[np.where(np.isnan(values), -np.inf, sign * values).argmax(axis=1)]
        extreme[np.isnan(values).all(axis=1)] = None
        extremes.append(extreme.tolist())
    return extremes


def _without_other_underdiagnosis(table: pd.DataFrame, findings: Findings) -> pd.DataFrame:
    """`table` without the underdiagnosis of other findings, which does not exist."""
    return table[(table.metric != "underdiagnosis") | (table.finding == findings.none)]


def pair_table(
    measures: GroupMeasures, by_seed: GroupMeasures, cells: Cells, confidence: float
) -> pd.DataFrame:
    """Paired differences between two groups of an attribute, a minus b.

    by_seed: the measures of each seed's model on the sample itself, each of shape (seeds, f,
    groups).
    """
    groups = cells.groups
    pairs = [pair for attribute in groups.divisions for pair in _pairs(attribute, cells)]
    if not pairs:
        return pd.DataFrame()
    a, b = map(list, zip(*pairs, strict=True))
    difference, seeds = (
        np.stack([named[name][..., a] - named[name][..., b] for name in PAIR_MEASURES], axis=1)
        for named in (measures, by_seed)
    )
    fewest = [
        np.minimum(*(cells.fewest(name)[:, side] for side in (a, b))) for name in PAIR_MEASURES
    ]
    error = errors(difference, seed_variance(seeds), patients=np.stack(fewest))
    low, high = plain_interval(difference[0], error, confidence)
    about = [(groups.attributes[i], groups.names[i], groups.names[j]) for i, j in pairs]
    return long(
        {"metric": PAIR_MEASURES, "finding": cells.findings.names, "attribute,a,b": about},
        kind=np.array("difference"),
        estimate=difference[0],
        low=low,
        high=high,
        p=error.p_values(difference[0]),
    )


def _pairs(attribute: str, cells: Cells) -> list[tuple[int, int]]:
    members = cells.groups.of(attribute)
    if len(members) <= ALL_PAIRS_UP_TO:
        return list(combinations(members, 2))
    size = cells.patients.max(axis=0)
    largest = max(members, key=lambda i: size[i])
    return [(i, largest) for i in members if i != largest]


def versus_table(
    gaps: Ranges,
    reference: Ranges,
    by_seed: tuple[Ranges, Ranges],
    confidence: float,
    findings: Findings = THESIS,
) -> pd.DataFrame:
    """Difference of a model's gaps from a reference model's, on the same replicates.

    by_seed: the gaps of each seed's model on the sample itself, of both, (seeds, f). Negative is
    smaller gaps. Noise makes both gaps larger, of equally precise models by as much.
    """
    keys = [key for key in gaps if key[1] in VERSUS_MEASURES]
    if not keys:
        return pd.DataFrame()
    difference = np.stack([gaps[key] - reference[key] for key in keys], axis=1)
    seeds = (seed_variance(np.stack([of[key] for key in keys], axis=1)) for of in by_seed)
    error = errors(difference, *seeds)
    low, high = plain_interval(difference[0], error, confidence)
    table = long(
        {"attribute,metric": keys, "finding": findings.names},
        kind=np.array("versus"),
        estimate=difference[0],
        low=low,
        high=high,
        p=error.p_values(difference[0]),
    )
    return _without_other_underdiagnosis(table, findings)
