"""Gaps between groups of patients: how unequally a model serves them, and whether that is more than noise.

The largest difference within an attribute is biased upward: it is positive even if the model serves all groups
alike. The expected square of that noise is estimated from replicates that are centred on a common value, and taken
off the squared gap (after the double-corrected variance of Lum, Zhang and Bower 2022, which for two groups it is).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from cxrfmkd.bootstrap import basic_interval, intervals
from cxrfmkd.findings import FINDINGS
from cxrfmkd.longform import long
from cxrfmkd.metrics import METRICS
from cxrfmkd.significance import standard_error, wald
from cxrfmkd.subgroups import Cells, Groups, measures_of

RANGED = (*METRICS, "tpr", "fpr", "equalised_odds", "underdiagnosis")
COMPARED = ("auc_roc", "tpr", "fpr")
BETWEEN_MODELS = ("auc_roc", "equalised_odds", "underdiagnosis")
# With more groups, each is compared with the largest one alone.
ALL_PAIRS_UP_TO = 3


def ranges(
    measured: dict[str, np.ndarray], groups: Groups, cells: Cells, centre: bool = False
) -> dict[tuple[str, str], np.ndarray]:
    """Largest minus smallest value over the groups of each attribute.

    measured: as from `subgroups.with_rates`, each of shape (replicates, f, groups). centre: take each group's value
    in the first replicate off its others, so that the groups differ by noise alone.
    Returns arrays of shape (replicates, f) by (attribute, measure); NaN where fewer than two groups are shown.
    "equalised_odds" is the larger of the gaps in true- and false-positive rate (Hardt 2016; fairlearn's
    equalized_odds_difference), "underdiagnosis" the gap in the false-positive rate of No Finding
    (Seyyed-Kalantari 2021).
    """
    found = {}
    for attribute in groups.divisions:
        members = groups.of(attribute)
        for measure in RANGED[:-2]:
            if measure in measures_of(attribute):
                values = np.where(cells.hidden(measure), np.nan, measured[measure])[..., members]
                found[attribute, measure] = _spread(values - values[:1] if centre else values)
        tpr, fpr = found[attribute, "tpr"], found[attribute, "fpr"]
        found[attribute, "equalised_odds"] = np.maximum(tpr, fpr)
        no_finding = np.array(FINDINGS) == "No Finding"
        found[attribute, "underdiagnosis"] = np.where(no_finding, fpr, np.nan)
    return found


def _spread(values: np.ndarray) -> np.ndarray:
    """Largest minus smallest along the last axis, of at least two that are not NaN."""
    enough = (~np.isnan(values)).sum(axis=-1) > 1
    largest = np.where(np.isnan(values), -np.inf, values).max(axis=-1, initial=-np.inf)
    smallest = np.where(np.isnan(values), np.inf, values).min(axis=-1, initial=np.inf)
    return np.subtract(largest, smallest, out=np.full(enough.shape, np.nan), where=enough)


def range_table(
    found: dict[tuple[str, str], np.ndarray],
    measured: dict[str, np.ndarray],
    groups: Groups,
    cells: Cells,
    confidence: float,
) -> pd.DataFrame:
    """The ranges with intervals, their expectation by noise alone, and the gap corrected for it.

    found: from `ranges`. a, b: the groups with the largest and the smallest value. p: share of centred replicates
    with at least such a gap.
    """
    noise = ranges(measured, groups, cells, centre=True)
    parts = []
    for (attribute, measure), values in found.items():
        estimate, centred = values[0], noise[attribute, measure][1:]
        low, high = basic_interval(values, confidence)
        known = ~np.isnan(centred)
        count = known.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = np.nansum(centred, axis=0) / count
            square = np.nansum(centred**2, axis=0) / count
            p = (1 + (centred >= estimate).sum(axis=0)) / (1 + count)
        names = np.array(groups.names, object)[groups.of(attribute)]
        part = long(
            {"finding": list(FINDINGS)},
            estimate=estimate,
            low=low,
            high=high,
            expected=expected,
            corrected=np.sqrt(np.maximum(estimate**2 - square, 0)),
            p=np.where((count > 0) & ~np.isnan(estimate), p, np.nan),
        )
        if measure in measured:
            first = np.where(cells.hidden(measure), np.nan, measured[measure][0])[
                :, groups.of(attribute)
            ]
            part["a"] = names[np.where(np.isnan(first), -np.inf, first).argmax(axis=1)]
            part["b"] = names[np.where(np.isnan(first), np.inf, first).argmin(axis=1)]
        part = part.assign(attribute=attribute, metric=measure, kind="range")
        parts.append(part[part.estimate.notna() | (measure != "underdiagnosis")])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def pair_table(
    measured: dict[str, np.ndarray],
    by_seed: dict[str, np.ndarray],
    groups: Groups,
    cells: Cells,
    confidence: float,
) -> pd.DataFrame:
    """Paired differences between two groups of an attribute, a minus b.

    by_seed: the measures of each seed's model on the sample itself, each of shape (seeds, f, groups).
    """
    parts = []
    size = cells.patients.max(axis=0)
    for attribute in groups.divisions:
        members = groups.of(attribute)
        pairs = list(combinations(members, 2))
        if len(members) > ALL_PAIRS_UP_TO:
            largest = max(members, key=lambda i: size[i])
            pairs = [(i, largest) for i in members if i != largest]
        if not pairs:
            continue
        a, b = (list(side) for side in zip(*pairs, strict=True))
        for measure in COMPARED:
            shown = np.where(cells.hidden(measure), np.nan, measured[measure])
            difference = shown[..., a] - shown[..., b]
            seeds = by_seed[measure][..., a] - by_seed[measure][..., b]
            low, high = intervals(difference[1:], confidence)
            p = wald(difference[0], standard_error(difference[1:]), seeds)
            axes = {"finding": list(FINDINGS), "pair": list(range(len(pairs)))}
            part = long(axes, estimate=difference[0], low=low, high=high, p=p)
            place = part.pair.astype(int)
            part["a"] = place.map(lambda k, a=a: groups.names[a[k]])
            part["b"] = place.map(lambda k, b=b: groups.names[b[k]])
            parts.append(part.assign(attribute=attribute, metric=measure, kind="difference"))
    return pd.concat(parts, ignore_index=True).drop(columns="pair") if parts else pd.DataFrame()


def versus_table(
    found: dict[tuple[str, str], np.ndarray],
    reference: dict[tuple[str, str], np.ndarray],
    confidence: float,
) -> pd.DataFrame:
    """Difference of a model's gaps from a reference model's, on the same replicates; negative is smaller gaps."""
    parts = []
    for (attribute, measure), values in found.items():
        if measure not in BETWEEN_MODELS:
            continue
        difference = values - reference[attribute, measure]
        low, high = intervals(difference[1:], confidence)
        part = long({"finding": list(FINDINGS)}, estimate=difference[0], low=low, high=high)
        part = part.assign(attribute=attribute, metric=measure, kind="versus")
        parts.append(part[part.estimate.notna() | (measure != "underdiagnosis")])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
