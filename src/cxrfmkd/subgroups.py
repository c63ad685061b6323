"""Groups of patients: who belongs to them, and how well a model serves each.

Rates are at thresholds of the whole population, never at a group's own: the one chosen on validation images, and
the thesis's, chosen on the test images themselves (method, section 6.5). What a number rests on is always counted;
numbers that rest on fewer patients than `minimum_cell` are left blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from cxrfmkd.bootstrap import intervals
from cxrfmkd.errors import InputError
from cxrfmkd.findings import FINDINGS
from cxrfmkd.longform import long
from cxrfmkd.metrics import METRICS
from cxrfmkd.records import AGE_BINS

EVERYONE = "all"
CROSSED = ("sex", "race", "view")
# Mean over these groups is what the thesis's relative differences refer to, for each of them.
AVERAGED = ("sex", "race")
RATES = ("tpr", "fpr", "youden_j")
MEASURES = (*METRICS, *RATES, *(f"{rate}_test" for rate in RATES))
CROSSED_MEASURES = ("auc_roc", "tpr", "fpr")


@dataclass(frozen=True)
class Groups:
    """Divisions of images by patient attributes.

    codes: shape (n, divisions), the group of each image, -1 where the attribute is blank; the first division is
    everyone, group 0. attributes, names: of each group; crossed attributes are joined by " x ", names by ", ".
    """

    codes: np.ndarray
    attributes: list[str]
    names: list[str]

    def of(self, attribute: str) -> list[int]:
        return [i for i, name in enumerate(self.attributes) if name == attribute]

    @property
    def divisions(self) -> list[str]:
        """The attributes, without "all"."""
        return list(dict.fromkeys(self.attributes))[1:]


def groups(records: pd.DataFrame, attributes: Sequence[str]) -> Groups:
    """Divide records by each attribute and by each pair of sex, race and view among them.

    Raises InputError if no record has a value of an attribute.
    """
    columns = {EVERYONE: pd.Series(EVERYONE, records.index)}
    for attribute in attributes:
        values = records[attribute]
        if attribute == "age":
            values = records.age_bin.map(dict(enumerate(AGE_BINS)))
        if values.isna().all():
            raise InputError(
                f"evaluation.attributes names {attribute}, but no test record has one. Leave it out."
            )
        columns[attribute] = values
    for a, b in combinations([name for name in CROSSED if name in attributes], 2):
        columns[f"{a} x {b}"] = (columns[a] + ", " + columns[b]).where(
            columns[a].notna() & columns[b].notna()
        )
    codes, named = [], []
    for attribute, values in columns.items():
        present = set(values.dropna())
        order = AGE_BINS if attribute == "age" else sorted(present)
        order = [value for value in order if value in present]
        place = pd.Index(order).get_indexer(values)
        codes.append(np.where(place >= 0, place + len(named), -1))
        named += [(attribute, name) for name in order]
    return Groups(np.stack(codes, axis=1).astype(np.int16), *map(list, zip(*named, strict=True)))


@dataclass(frozen=True)
class Cells:
    """What the numbers of every finding and group rest on; arrays of shape (14, groups).

    images, positives: counts of images with a weight. patients: of those images. small_positives, small_negatives:
    whether fewer than `minimum_cell` patients have an image with, or without, the finding.
    """

    images: np.ndarray
    positives: np.ndarray
    patients: np.ndarray
    small: np.ndarray
    small_positives: np.ndarray
    small_negatives: np.ndarray

    def hidden(self, measure: str) -> np.ndarray:
        """Whether a measure is left blank."""
        if measure.startswith("tpr"):
            return self.small | self.small_positives
        if measure.startswith("fpr") or measure == "underdiagnosis":
            return self.small | self.small_negatives
        return self.small | self.small_positives | self.small_negatives


def cells(
    truth: np.ndarray, patients: np.ndarray, weights: np.ndarray, codes: np.ndarray, minimum: int
) -> Cells:
    """Count. truth: (n, f); patients, weights: (n,); codes: (n, divisions) as in `Groups`."""
    n_groups = int(codes.max()) + 1
    patient = np.unique(patients, return_inverse=True)[1]
    counts = np.zeros((5, truth.shape[1], n_groups), np.int64)
    for k in range(truth.shape[1]):
        for division in codes.T:
            member = (division >= 0) & (weights > 0) & ~np.isnan(truth[:, k])
            label = truth[:, k] > 0
            for i, chosen in enumerate((member, member & label)):
                counts[i, k] += np.bincount(division[chosen], minlength=n_groups)
            for i, chosen in enumerate((member, member & label, member & ~label), start=2):
                pairs = np.unique(
                    division[chosen].astype(np.int64) * len(patient) + patient[chosen]
                )
                counts[i, k] += np.bincount(pairs // max(len(patient), 1), minlength=n_groups)
    images, positives, *people = counts
    return Cells(images, positives, people[0], *(number < minimum for number in people))


def with_rates(values: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
    """MEASURES and prevalence by name, from the last axis of `Sample.replicate`.

    Validation's threshold is its first cut.
    """
    found = dict(zip(names, np.moveaxis(values, -1, 0), strict=True))
    for rule, suffix in (("0", ""), ("test", "_test")):
        found |= {f"{rate}{suffix}": found[f"{rate}_{rule}"] for rate in ("tpr", "fpr")}
        found[f"youden_j{suffix}"] = found[f"tpr{suffix}"] - found[f"fpr{suffix}"]
    return {name: found[name] for name in (*MEASURES, "prevalence")}


def measures_of(attribute: str) -> tuple[str, ...]:
    """Crossed groups are many, so they get fewer measures."""
    return CROSSED_MEASURES if " x " in attribute else MEASURES


def relative(values: np.ndarray, groups: Groups, hidden: np.ndarray) -> np.ndarray:
    """Percent by which each group differs from the mean of its peers.

    values: shape (replicates, f, groups); hidden: shape (f, groups), groups that count for no mean. Sexes and races
    have one mean, over all of them (the thesis's "Average"); any other attribute has its own.
    """
    shown = np.where(hidden, np.nan, values)
    result = np.full(values.shape, np.nan)
    peers: dict[object, list[int]] = {}
    for i, attribute in enumerate(groups.attributes):
        if attribute != EVERYONE:
            peers.setdefault(AVERAGED if attribute in AVERAGED else attribute, []).append(i)
    for members in peers.values():
        part = shown[..., members]
        known = (~np.isnan(part)).sum(axis=-1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.nansum(part, axis=-1, keepdims=True) / known
            result[..., members] = 100 * (part - mean) / mean
    return np.where(np.isfinite(result), result, np.nan)


def table(
    measured: dict[str, np.ndarray], groups: Groups, cells: Cells, confidence: float
) -> pd.DataFrame:
    """Every measure of every finding and group, with intervals and relative differences.

    measured: as from `with_rates`, each of shape (1 + replicates, f, groups), the sample itself first.
    """
    parts = []
    for measure in MEASURES:
        chosen = [i for i, name in enumerate(groups.attributes) if measure in measures_of(name)]
        hidden = cells.hidden(measure)
        compared = relative(measured[measure], groups, hidden)[..., chosen]
        hidden, values = hidden[:, chosen], measured[measure][..., chosen]
        columns = {}
        for names, array in (
            (("estimate", "low", "high"), values),
            (("relative", "relative_low", "relative_high"), compared),
        ):
            numbers = array[0], *intervals(array[1:], confidence)
            columns |= {
                name: np.where(hidden, np.nan, n) for name, n in zip(names, numbers, strict=True)
            }
        axes = {"finding": list(FINDINGS), "place": chosen}
        part = long(axes, **columns, suppressed=hidden)
        parts.append(part.assign(metric=measure))
    result = pd.concat(parts, ignore_index=True)
    place = result.place.astype(int).to_numpy()
    finding = pd.Index(FINDINGS).get_indexer(result.finding)
    both = cells.hidden("prevalence")
    counted = {
        name: np.where(hidden, np.nan, numbers)[finding, place]
        for name, hidden, numbers in (
            ("n", cells.small, cells.images),
            ("patients", cells.small, cells.patients),
            ("positives", both, cells.positives),
            ("prevalence", both, measured["prevalence"][0]),
        )
    }
    named = {
        "attribute": np.array(groups.attributes, object)[place],
        "group": np.array(groups.names, object)[place],
    }
    result = result.assign(**named, **counted)
    order = ["attribute", "group", "finding", "metric", "estimate", "low", "high", "relative",
             "relative_low", "relative_high", "n", "patients", "positives", "prevalence", "suppressed"]  # fmt: skip
    return result[order]
