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

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics.intervals import percentile_interval
from cxrfmkd.statistics.ranking import AREAS, EVERYTHING, NOTHING, RATES
from cxrfmkd.statistics.suppression import patients_per_cell, small, with_complements
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.groups import AGE_BINS
from cxrfmkd.vocabulary.metrics import METRICS

EVERYONE = "all"
CROSSING = " x "
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

    def totals(self, attribute: str) -> list[np.ndarray]:
        """For a crossing, the groups of its two attributes that its groups add up to; else none."""
        crossed = attribute.split(CROSSING)
        if len(crossed) == 1:
            return []
        image = [np.argwhere(self.codes == group)[0, 0] for group in self.of(attribute)]
        columns = [EVERYONE, *self.divisions]
        return [self.codes[image, columns.index(name)] for name in crossed]


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
        columns[f"{a}{CROSSING}{b}"] = (columns[a] + ", " + columns[b]).where(
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

    images, positives: counts of images with a weight. patients: of those images; with_finding,
    without_finding: of those images with label 1 or 0. minimum: fewer patients are a small cell.
    """

    images: np.ndarray
    positives: np.ndarray
    patients: np.ndarray
    with_finding: np.ndarray
    without_finding: np.ndarray
    minimum: int

    def hidden(self, measure: str) -> np.ndarray:
        """Whether a measure is left blank."""
        few, few_positives, few_negatives = (
            count < self.minimum
            for count in (self.patients, self.with_finding, self.without_finding)
        )
        if measure.startswith("tpr"):
            return few | few_positives
        if measure.startswith("fpr") or measure == "underdiagnosis":
            return few | few_negatives
        return few | few_positives | few_negatives

    def hidden_counts(self, groups: Groups) -> tuple[np.ndarray, np.ndarray]:
        """Whether the number of images and patients, and that of positives, is left blank.

        Small ones are, and the next smallest of an attribute where one would follow from the total.
        """
        counts = self.patients, np.minimum(self.with_finding, self.without_finding)
        images = small(self.patients, self.minimum)
        positives = images | small(self.with_finding, self.minimum)
        positives |= small(self.without_finding, self.minimum)
        for attribute in groups.divisions:
            members, totals = groups.of(attribute), groups.totals(attribute)
            for k in range(len(images)):
                images[k, members] = with_complements(
                    images[k, members], counts[0][k, members], *totals
                )
                positives[k, members] = with_complements(
                    positives[k, members] | images[k, members], counts[1][k, members], *totals
                )
        return images | (self.patients < self.minimum), positives | self.hidden("prevalence")

    def detail(self, groups: Groups) -> np.ndarray:
        """How much of each group must be measured, for `bootstrap.Sample`; (f, groups)."""
        crossed = np.array([CROSSING in attribute for attribute in groups.attributes])
        detail = np.where(crossed, AREAS, EVERYTHING)
        detail = np.where(self.hidden("auc_roc"), RATES, detail)
        detail = np.where(self.hidden("tpr") & self.hidden("fpr"), NOTHING, detail)
        detail[:, 0] = EVERYTHING
        return detail


def cells(
    truth: np.ndarray, patients: np.ndarray, weights: np.ndarray, codes: np.ndarray, minimum: int
) -> Cells:
    """Count. truth: (n, f); patients, weights: (n,); codes: (n, divisions) as in `Groups`."""
    n_groups, patients = int(codes.max()) + 1, pd.factorize(patients)[0]
    images = np.zeros((3, truth.shape[1], n_groups), np.int64)
    people = np.zeros_like(images)
    for k, labels in enumerate(truth.T):
        known = (weights > 0) & ~np.isnan(labels)
        for i, counted in enumerate((known, known & (labels > 0), known & (labels == 0))):
            for division in codes.T:
                cell = np.where(counted, division, -1)
                images[i, k] += np.bincount(cell[cell >= 0], minlength=n_groups)
                people[i, k] += patients_per_cell(cell, patients, n_groups)
    return Cells(*images[:2], *people, minimum)


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
    return CROSSED_MEASURES if CROSSING in attribute else MEASURES


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
    counts = _counts(measured["prevalence"][0], groups, cells)
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
                compared[:, k] = percent[0], *percentile_interval(percent[1:], confidence)
        compared, values = compared[..., chosen], values[..., chosen]
        low, high = percentile_interval(values[1:], confidence)
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


def _counts(prevalence: np.ndarray, groups: Groups, cells: Cells) -> dict[str, np.ndarray]:
    """What the numbers rest on, (f, groups); blank where small or telling a small one."""
    images, positives = cells.hidden_counts(groups)
    return {
        "n": np.where(images, np.nan, cells.images),
        "patients": np.where(images, np.nan, cells.patients),
        "positives": np.where(positives, np.nan, cells.positives),
        "prevalence": np.where(positives, np.nan, prevalence),
    }
