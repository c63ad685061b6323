"""Groups of patients: who belongs to them, and how well a model serves each.

Rates are at thresholds of the whole population, never at a group's own: the one chosen on
validation images, and the thesis's, chosen on the test images themselves (method, section 6.5).
What a number rests on is always counted; numbers that rest on fewer patients than `minimum_cell`
are left blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from cxrfmkd.datasets.records import AGE_BINS
from cxrfmkd.evaluation.bootstrap import intervals
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics.ranking import AREAS, EVERYTHING, NOTHING, RATES
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.metrics import METRICS

EVERYONE = "all"
CROSSED = ("sex", "race", "view")
# Mean over these groups is what the thesis's relative differences refer to, for each of them.
AVERAGED = ("sex", "race")
AT_THRESHOLD = ("tpr", "fpr", "youden_j")
MEASURES = (*METRICS, *AT_THRESHOLD, *(f"{rate}_test" for rate in AT_THRESHOLD))
CROSSED_MEASURES = ("auc_roc", "tpr", "fpr")
# As in the thesis; a relative difference in AUC-PR would be one in prevalence.
RELATIVE = ("auc_roc", "youden_j", "youden_j_test")


@dataclass(frozen=True)
class Groups:
    """Divisions of images by patient attributes.

    codes: shape (n, divisions), the group of each image, -1 where the attribute is blank; the first
    division is everyone, group 0. attributes, names: of each group; crossed attributes are joined
    by " x ", names by ", ".
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
                f"evaluation.attributes asks for {attribute}, but no test record has one. "
                "Name those that the dataset has in datasets.<name>.attributes."
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

    images, positives: counts of images with a weight. patients: of those images. small_positives,
    small_negatives: whether fewer than `minimum_cell` patients have an image with, or without, the
    finding.
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

    def detail(self, groups: Groups) -> np.ndarray:
        """How much of each group must be measured, for `bootstrap.Sample`; (f, groups)."""
        crossed = np.array([" x " in attribute for attribute in groups.attributes])
        both = np.where(crossed, AREAS, EVERYTHING)
        one = np.where(self.small_positives & self.small_negatives, NOTHING, RATES)
        detail = np.where(self.small_positives | self.small_negatives, one, both)
        return np.where(self.small, NOTHING, detail) | np.array(
            [[EVERYTHING] + [0] * (len(crossed) - 1)]
        )


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
    """MEASURES and prevalence by name, from the first axis of `Sample.replicate`, which `names`
    names.

    Validation's threshold is its first cut.
    """
    found = dict(zip(names, values, strict=True))
    for rule, suffix in (("0", ""), ("test", "_test")):
        found |= {f"{rate}{suffix}": found[f"{rate}_{rule}"] for rate in ("tpr", "fpr")}
        found[f"youden_j{suffix}"] = found[f"tpr{suffix}"] - found[f"fpr{suffix}"]
    return {name: found[name] for name in (*MEASURES, "prevalence")}


def measures_of(attribute: str) -> tuple[str, ...]:
    """Crossed groups are many, so they get fewer measures."""
    return CROSSED_MEASURES if " x " in attribute else MEASURES


def relative(values: np.ndarray, groups: Groups) -> np.ndarray:
    """Percent by which each group differs from the mean of its peers.

    values: shape (replicates, f, groups); groups that are NaN count for no mean. Sexes and races
    have one mean, over all of them (the thesis's "Average"); any other attribute has its own. NaN
    for everyone.
    """
    peers: dict[object, list[int]] = {}
    for i, attribute in enumerate(groups.attributes):
        if attribute != EVERYONE:
            peers.setdefault(AVERAGED if attribute in AVERAGED else attribute, []).append(i)
    result = np.full(values.shape, np.nan)
    for members in peers.values():
        part = values[..., members]
        known = (~np.isnan(part)).sum(axis=-1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.nansum(part, axis=-1, keepdims=True) / known
            result[..., members] = np.where(mean == 0, np.nan, 100 * (part / mean - 1))
    return result


def table(
    measured: dict[str, np.ndarray], groups: Groups, cells: Cells, confidence: float
) -> pd.DataFrame:
    """Every measure of every finding and group, with intervals and relative differences.

    measured: as from `with_rates`, each of shape (1 + replicates, f, groups), the sample itself
    first.
    """
    counts = _counts(measured["prevalence"][0], cells)
    about = list(zip(groups.attributes, groups.names, strict=True))
    parts = []
    for measures, chosen in _measured_groups(groups):
        hidden = np.stack([cells.hidden(measure) for measure in measures])
        values = np.stack([measured[measure] for measure in measures], axis=1)
        values[:, hidden] = np.nan
        compared = np.full((3, len(measures), *hidden.shape[1:]), np.nan)
        for k, measure in enumerate(measures):
            if measure in RELATIVE:
                percent = relative(values[:, k], groups)
                compared[:, k] = percent[0], *intervals(percent[1:], confidence)
        compared, values = compared[..., chosen], values[..., chosen]
        low, high = intervals(values[1:], confidence)
        part = long(
            {
                "metric": list(measures),
                "finding": list(FINDINGS),
                "attribute,group": [about[i] for i in chosen],
            },
            estimate=values[0],
            low=low,
            high=high,
            relative=compared[0],
            relative_low=compared[1],
            relative_high=compared[2],
            suppressed=hidden[..., chosen],
            **{name: numbers[:, chosen] for name, numbers in counts.items()},
        )
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _measured_groups(groups: Groups) -> list[tuple[tuple[str, ...], list[int]]]:
    """Measures, and the groups that get them."""
    found: dict[tuple[str, ...], list[int]] = {}
    for i, attribute in enumerate(groups.attributes):
        found.setdefault(measures_of(attribute), []).append(i)
    return list(found.items())


def _counts(prevalence: np.ndarray, cells: Cells) -> dict[str, np.ndarray]:
    """What the numbers rest on, (f, groups); small counts and what they would follow from are blank."""
    both = cells.hidden("prevalence")
    return {
        "n": np.where(cells.small, np.nan, cells.images),
        "patients": np.where(cells.small, np.nan, cells.patients),
        "positives": np.where(both, np.nan, cells.positives),
        "prevalence": np.where(both, np.nan, prevalence),
    }
