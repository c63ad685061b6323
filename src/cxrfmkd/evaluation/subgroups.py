"""Groups of patients: who belongs to them, and how well a model serves each.

Rates are at thresholds of the whole population, never at a group's own: the one chosen on
validation images, and the thesis's, chosen on the test images themselves (method, section 6.5).
What a number rests on is always counted; numbers that rest on fewer patients than `minimum_cell`
are left blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd

from cxrfmkd.datasets.disclosure import Disclosure
from cxrfmkd.datasets.groups import fine_groups_of, fine_order
from cxrfmkd.evaluation.intervals import (
    Bounds,
    metric_bounds,
    plain_bounds,
    rate_bounds,
    youden_bounds,
)
from cxrfmkd.evaluation.operating_points import THRESHOLD_RULES
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics.ranking import Measures
from cxrfmkd.statistics.suppression import patients_per_cell
from cxrfmkd.statistics.sweep import AREA, EVERYTHING, NOTHING, RATES
from cxrfmkd.statistics.uncertainty import seed_variance
from cxrfmkd.study.settings import Evaluation, Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.attributes import PRESETS, Attributes
from cxrfmkd.vocabulary.metrics import METRICS

EVERYONE = "all"
CROSSING = " x "
CROSSED = ("sex", "race", "view")
# Mean over these groups is what the thesis's relative differences refer to, for each of them.
AVERAGED = ("sex", "race")
RATE_MEASURES = ("tpr", "fpr", "youden_j")
GROUP_MEASURES = (*METRICS, *RATE_MEASURES, *(f"{rate}_test" for rate in RATE_MEASURES))
# Crossed groups are many, so they get fewer measures.
CROSSED_MEASURES = ("auc_roc", "tpr", "fpr")
# As in the thesis; a relative difference in AUC-PR would be one in prevalence.
RELATIVE_MEASURES = ("auc_roc", "youden_j", "youden_j_test")
RELATIVE_COLUMNS = ("relative", "relative_low", "relative_high")


GroupMeasures = dict[str, np.ndarray]  # by name, shape (replicates, f, groups)


@dataclass(frozen=True)
class PatientGroups:
    """Divisions of images by patient attributes.

    codes: shape (n, divisions), the group of each image, -1 where the attribute is blank; the first
    division is everyone, group 0. attributes, names: of each group; crossed attributes are joined
    by " x ", names by ", ". binned_ages: ages are the eight bins of the records.
    """

    codes: np.ndarray
    attributes: list[str]
    names: list[str]
    binned_ages: bool = True

    def of(self, attribute: str) -> list[int]:
        """The groups of an attribute."""
        return [i for i, name in enumerate(self.attributes) if name == attribute]

    @property
    def divisions(self) -> list[str]:
        """The attributes, without "all"."""
        return list(dict.fromkeys(self.attributes))[1:]

    @property
    def levels(self) -> list[dict[str, str]]:
        """What the images of each group have in common, as `Disclosure` names it."""
        parts = [
            (attribute.split(CROSSING), name.split(", ") if CROSSING in attribute else [name])
            for attribute, name in zip(self.attributes, self.names, strict=True)
        ]
        rows = [dict(zip(attributes, names, strict=True)) for attributes, names in parts]
        renamed = [
            {"age_bin" if k == "age" and self.binned_ages else k: v for k, v in row.items()}
            for row in rows
        ]
        return [{} if EVERYONE in row else row for row in renamed]


def patient_groups(
    records: pd.DataFrame, attributes: Sequence[str], known: Attributes = PRESETS
) -> PatientGroups:
    """Divide records by each attribute and by each pair of sex, race and view among them.

    known: the study's attributes. Raises InputError if no record has a value of an attribute.
    """
    columns = {EVERYONE: pd.Series(EVERYONE, records.index)}
    for attribute in attributes:
        values = fine_groups_of(records, known[attribute])
        if values.isna().all():
            raise InputError(
                f"evaluation.attributes asks for {attribute}, but no test record has one. "
                "Name those that the dataset has in datasets.<name>.attributes."
            )
        columns[attribute] = values
    for a, b in combinations([name for name in CROSSED if name in attributes], 2):
        both = columns[a].notna() & columns[b].notna()
        columns[f"{a}{CROSSING}{b}"] = (columns[a] + ", " + columns[b]).where(both)
    codes: list[np.ndarray] = []
    groups: list[tuple[str, str]] = []
    for attribute, values in columns.items():
        order = sorted(set(values.dropna()))
        if attribute in known:
            order = fine_order(known[attribute], values)
        code = pd.Index(order).get_indexer(values)
        codes.append(np.where(code >= 0, code + len(groups), -1))
        groups += [(attribute, name) for name in order]
    of_groups, names = map(list, zip(*groups, strict=True))
    stacked = np.stack(codes, axis=1).astype(np.int16)
    return PatientGroups(stacked, of_groups, names, known["age"].binned)


@dataclass(frozen=True)
class Cells:
    """What the numbers of every finding and group rest on; arrays of shape (f, groups).

    images, positives: counts of images with a weight. patients: of those images; with_finding,
    without_finding: of those images with target 1 or 0. minimum: fewer patients are a small cell.
    disclosed: which counts other tables hide, or would give away. findings: whose they are.
    """

    groups: PatientGroups
    images: np.ndarray
    positives: np.ndarray
    patients: np.ndarray
    with_finding: np.ndarray
    without_finding: np.ndarray
    minimum: int
    disclosed: Disclosure
    findings: Findings = THESIS

    def hidden(self, measure: str) -> np.ndarray:
        """Whether a measure is left blank."""
        counts = [self.patients]
        if not measure.startswith("fpr"):
            counts.append(self.with_finding)
        if not measure.startswith("tpr"):
            counts.append(self.without_finding)
        return np.any([count < self.minimum for count in counts], axis=0)

    def fewest(self, measure: str) -> np.ndarray:
        """Patients that a measure rests on, the fewer of those with and without the finding."""
        if measure.startswith(("tpr", "fpr")):
            return self.with_finding if measure.startswith("tpr") else self.without_finding
        return np.minimum(self.with_finding, self.without_finding)

    @cached_property
    def hidden_counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Whether the number of images and patients, and that of positives, is left blank."""
        hides, levels = self.disclosed.hides, self.groups.levels
        by_target = {
            word: np.array(
                [
                    [hides({f"target:{name}": word, **level}) for level in levels]
                    for name in self.findings.names
                ]
            )
            for word in ("with", "without", "left out")
        }
        images = (self.patients < self.minimum) | by_target["left out"]
        images |= [hides(level) for level in levels]
        return images, images | self.hidden("prevalence") | by_target["with"] | by_target["without"]

    def detail(self) -> np.ndarray:
        """How much of each group must be measured, for `bootstrap.Sample`; (f, groups)."""
        crossed = [CROSSING in attribute for attribute in self.groups.attributes]
        detail = np.where(crossed, AREA, EVERYTHING)
        detail = np.where(self.hidden("auc_roc"), RATES, detail)
        detail = np.where(self.hidden("tpr") & self.hidden("fpr"), NOTHING, detail)
        detail[:, 0] = EVERYTHING
        return detail


def count_cells(
    targets: np.ndarray,
    patients: np.ndarray,
    weights: np.ndarray,
    groups: PatientGroups,
    minimum: int,
    disclosed: Disclosure,
    findings: Findings = THESIS,
) -> Cells:
    """Count. targets: (n, f), of `findings`; patients, weights: (n,)."""
    n_groups, patient = len(groups.names), pd.factorize(patients)[0]
    n_images = np.zeros((3, targets.shape[1], n_groups), np.int64)
    n_patients = np.zeros_like(n_images)
    for k, labels in enumerate(targets.T):
        used = weights > 0
        masks = used & ~np.isnan(labels), used & (labels > 0), used & (labels == 0)
        for i, counted in enumerate(masks):
            for division in groups.codes.T:
                cell = np.where(counted, division, -1)
                n_images[i, k] += np.bincount(cell[cell >= 0], minlength=n_groups)
                n_patients[i, k] += patients_per_cell(cell, patient, n_groups)
    labelled, with_finding, without = n_patients
    counts = n_images[0], n_images[1], labelled, with_finding, without
    return Cells(groups, *counts, minimum, disclosed, findings)


def group_measures(measures: Measures, cells: Cells) -> GroupMeasures:
    """GROUP_MEASURES by name; NaN where small numbers hide them."""
    named = {name: measures.metrics[:, k] for k, name in enumerate(METRICS)}
    for rule, suffix in (("validation", ""), ("test", "_test")):
        cut = THRESHOLD_RULES.index(rule)
        tpr, fpr = measures.tpr[:, cut], measures.fpr[:, cut]
        rates = zip(RATE_MEASURES, (tpr, fpr, tpr - fpr), strict=True)
        named |= {f"{name}{suffix}": values for name, values in rates}
    return {name: np.where(cells.hidden(name), np.nan, numbers) for name, numbers in named.items()}


def measures_of(attribute: str) -> tuple[str, ...]:
    """What is measured of the groups of an attribute."""
    return CROSSED_MEASURES if CROSSING in attribute else GROUP_MEASURES


def relative(values: np.ndarray, groups: PatientGroups) -> np.ndarray:
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
        peer_values = values[..., members]
        defined = (~np.isnan(peer_values)).sum(axis=-1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.nansum(peer_values, axis=-1, keepdims=True) / defined
            result[..., members] = np.where(mean == 0, np.nan, 100 * (peer_values / mean - 1))
    return result


def subgroup_table(
    measures: GroupMeasures,
    by_seed: GroupMeasures,
    prevalence: np.ndarray,
    cells: Cells,
    settings: Evaluation,
) -> pd.DataFrame:
    """Every measure of every finding and group, with intervals and relative differences.

    measures: the sample itself first; by_seed: on the sample itself, seeds first. prevalence: of
    the sample itself, (f, groups).
    """
    groups, numbers_of = cells.groups, counts(prevalence, cells)
    bounds = _bounds(measures, by_seed, cells, settings)
    fewest = np.minimum(cells.with_finding, cells.without_finding)
    members: dict[tuple[str, ...], list[int]] = {}
    for i, attribute in enumerate(groups.attributes):
        members.setdefault(measures_of(attribute), []).append(i)
    tables = []
    for names, columns in members.items():
        hidden = np.stack([cells.hidden(name) for name in names])
        estimate = np.stack([measures[name][0] for name in names])
        low, high = (np.stack([bounds[name][side] for name in names]) for side in (0, 1))
        percent = np.full((3, *hidden.shape), np.nan)
        for k, name in enumerate(names):
            if name in RELATIVE_MEASURES:
                apart, seeds = (relative(of[name], groups) for of in (measures, by_seed))
                limits = plain_bounds(apart, seeds, fewest, settings.confidence)
                percent[:, k] = apart[0], *limits
        about = [(groups.attributes[i], groups.names[i]) for i in columns]
        table = long(
            {"metric": names, "finding": cells.findings.names, "attribute,group": about},
            estimate=estimate[..., columns],
            low=low[..., columns],
            high=high[..., columns],
            **dict(zip(RELATIVE_COLUMNS, percent[..., columns], strict=True)),
            suppressed=hidden[..., columns],
            **{name: numbers[:, columns] for name, numbers in numbers_of.items()},
        )
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _bounds(
    measures: GroupMeasures, by_seed: GroupMeasures, cells: Cells, settings: Evaluation
) -> dict[str, Bounds]:
    """Intervals of GROUP_MEASURES by name, each of shape (f, groups)."""
    level, fpr = settings.confidence, settings.target_fpr
    sides = cells.with_finding, cells.without_finding
    values, seeds = (
        np.stack([of[name] for name in METRICS], axis=-1) for of in (measures, by_seed)
    )
    low, high = metric_bounds(values, seed_variance(seeds), *sides, level, fpr)
    bounds = {name: (low[..., k], high[..., k]) for k, name in enumerate(METRICS)}
    for suffix in ("", "_test"):
        rates = [f"{rate}{suffix}" for rate in ("tpr", "fpr")]
        for name, patients in zip(rates, sides, strict=True):
            bounds[name] = rate_bounds(measures[name], by_seed[name], patients, level)
        (tpr, of_tpr), (fpr_, of_fpr) = ((measures[name][0], bounds[name]) for name in rates)
        bounds[f"youden_j{suffix}"] = youden_bounds(tpr, of_tpr, fpr_, of_fpr)
    return bounds


def counts(prevalence: np.ndarray, cells: Cells) -> dict[str, np.ndarray]:
    """What the numbers rest on, (f, groups); blank where small or telling a small one."""
    images, positives = cells.hidden_counts
    return {
        "n": np.where(images, np.nan, cells.images),
        "patients": np.where(images, np.nan, cells.patients),
        "positives": np.where(positives, np.nan, cells.positives),
        "prevalence": np.where(positives, np.nan, prevalence),
    }
