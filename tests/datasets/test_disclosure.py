"""An attacker who has every published table of a dataset and computes the counts that are hidden.

The attacker's tools are linear programs over the unknown numbers of images of every combination of
attributes, and fractions that could have given a published rate; none of it shares code with what
decides on the suppression.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_predictions import records, write_predictions
from scipy.optimize import linprog

from cxrfmkd.bias.balance import balance_table
from cxrfmkd.bias.design import build_design
from cxrfmkd.bias.magnitude import probe_areas, probe_table, probed_groups
from cxrfmkd.datasets.counting import counts
from cxrfmkd.datasets.disclosure import disclosure
from cxrfmkd.datasets.records import complete
from cxrfmkd.evaluation.analysis import evaluate
from cxrfmkd.evaluation.families import Family
from cxrfmkd.evaluation.runs import Run
from cxrfmkd.figures.resampling import select_resampling
from cxrfmkd.statistics.suppression import Relation, determined, protect, small
from cxrfmkd.study.attributes import resolve
from cxrfmkd.study.settings import AttributeSection, Bias, Evaluation
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.tables.cohort import cohort
from cxrfmkd.vocabulary.findings import AVERAGES, FINDINGS, MACRO
from cxrfmkd.vocabulary.groups import AGE_BINS, AGE_GROUP_OF_BIN

MINIMUM = 10
CLASSES = ("Pleural Effusion", "No Finding")
LEVELS = {
    "sex": ("Male", "Female"),
    "race": ("White", "Asian", "Black"),
    "view": ("AP", "PA"),
    "age_bin": AGE_BINS,
    "disease": THESIS.levels_of_disease,
}
GROUPED = ("sex", "race", "view", "age_bin")


def hospital(patients: int, seed: int) -> pd.DataFrame:
    """Test records with a rare race, rare findings, few of the young, and uncertain labels."""
    rng = np.random.default_rng(seed)
    table = records(patients, seed)
    patient = pd.factorize(table.patient_id)[0]
    race = rng.choice(["White", "Asian", "Black"], patients, p=[0.7, 0.22, 0.08])
    table["race"] = race[patient]
    rare = rng.random((len(table), 14)) < np.linspace(0, 0.95, 14)
    labels = table[list(FINDINGS)].mask(rare & table[list(FINDINGS)].eq(1), 0.0)
    unsure = rng.random(labels.shape) < 0.02
    table[list(FINDINGS)] = labels.mask(unsure, -1.0)
    both = table["No Finding"].eq(1) & table["Pleural Effusion"].eq(1)
    table.loc[both, "No Finding"] = 0.0
    return complete(table.drop(columns=["disease", "age_bin"]))


class Published:
    """Every table of counts and rates that a study writes of one test set."""

    def __init__(self, folder: Path, patients: int, seed: int) -> None:
        self.test = hospital(patients, seed)
        val = records(60, seed + 1, "val")
        skills = {"cxr-fm-lp": 1.6, "cxr-model-lp": 0.4, "densenet121-fft": 1.0}
        runs = [
            Run(
                Family("here", "own", model, ""),
                41,
                write_predictions(folder / f"{model}.parquet", skill, i, val=val, test=self.test),
            )
            for i, (model, skill) in enumerate(skills.items())
        ]
        weights = pd.DataFrame({"image_id": self.test.image_id, "weight": 1.0})
        settings = Evaluation(replicates=20, minimum_cell=MINIMUM)
        self.tables = evaluate("here", runs, val, self.test, weights, settings)
        disclosed = disclosure(self.test, MINIMUM)
        summary = {"dataset": "here", "counts": {"test": counts(self.test)}}
        self.cohort = cohort([summary], {("here", "test"): disclosed})
        self.balance = select_resampling(self.test, weights, disclosed)
        bias = Bias(simulations=0, permutations=0, replicates=5, attributes=["sex", "race", "age"])
        design = build_design("here", self.test, weights, bias, MINIMUM)
        self.shares = balance_table(design)
        scores = np.random.default_rng(0).normal(size=(len(self.test), 4))
        self.encoding = probe_table(design, [probe_areas(design, probed_groups(design, scores))])

    def counts_of(self, finding: str) -> Iterator[tuple[dict[str, tuple[str, ...]], float]]:
        """(levels that the counted images have, number), of all shown numbers of images."""
        for row in self.cohort.itertuples():
            if np.isnan(row.test):
                continue
            if row.level == "all" and row.attribute == "images":
                yield {}, row.test
            elif row.attribute in LEVELS:
                yield {row.attribute: (row.level,)}, row.test
            elif row.attribute == finding:
                yield {"label": (row.level,)}, row.test
        groups = self.tables["subgroups"].query("finding == @finding and metric == 'auc_roc'")
        groups = groups[groups.model == "cxr-fm-lp"]
        for row in groups.itertuples():
            names = zip(row.attribute.split(" x "), row.group.split(", "), strict=True)
            levels = {"age_bin" if a == "age" else a: (g,) for a, g in names if a != "all"}
            yield from self._both(levels, row.n, row.positives)
        metrics = self.tables["metrics"].query("finding == @finding and metric == 'auc_roc'")
        yield from self._both({}, metrics.n.iloc[0], metrics.positives.iloc[0])
        for row in self.balance.itertuples():
            attribute = "age_bin" if row.attribute == "age" else row.attribute
            race = {} if row.race == "All" else {"race": (row.race,)}
            if not np.isnan(row.images):
                yield {attribute: (row.level,), **race}, row.images
        of_race = self.test.race.value_counts()
        for row in self.shares.dropna(subset="available").itertuples():
            level = AGE_BINS[int(row.level)] if row.attribute == "age_bin" else row.level
            images = round(row.available * of_race[row.group])
            yield {row.attribute: (level,), "race": (row.group,)}, images
        for row in self.encoding.itertuples():
            given = next(({a: (row.given,)} for a in LEVELS if row.given in LEVELS[a]), {})
            if not np.isnan(row.n_group):
                group = (row.group,)
                if row.attribute == "age":
                    bins = [b for b, name in AGE_GROUP_OF_BIN.items() if name == row.group]
                    group = tuple(AGE_BINS[b] for b in bins)
                name = "age_bin" if row.attribute == "age" else row.attribute
                yield {name: group, **given}, row.n_group
                yield given, row.n

    @staticmethod
    def _both(levels: dict, n: float, positives: float) -> Iterator[tuple[dict, float]]:
        if not np.isnan(n):
            yield levels, n
        if not np.isnan(positives):
            yield levels | {"target": ("with",)}, positives


class Attack:
    """What the shown counts leave open of a finding's images, by attributes and target."""

    def __init__(self, published: Published, finding: str) -> None:
        names = [*GROUPED, *(["disease"] if finding in CLASSES else []), "label"]
        levels = {**LEVELS, "label": ("positive", "negative", "uncertain", "blank")}
        self.atoms = pd.DataFrame(
            list(itertools.product(*(levels[name] for name in names))), columns=names
        )
        self.atoms["target"] = np.where(self.atoms.label == "positive", "with", "without")
        if finding in CLASSES:  # the class is the finding's images; no image has both here
            alike = (self.atoms.disease == finding) == (self.atoms.target == "with")
            self.atoms = self.atoms[alike].reset_index(drop=True)
        rows, numbers = [], []
        for levels_of, number in published.counts_of(finding):
            if set(levels_of) <= set(self.atoms):
                rows.append(self.among(levels_of))
                numbers.append(number)
        rows, first = np.unique(np.array(rows), axis=0, return_index=True)
        self.equations = rows.astype(float), np.array(numbers)[first]

    def among(self, levels: dict[str, tuple[str, ...]]) -> np.ndarray:
        """Which atoms have these levels."""
        masks = [self.atoms[name].isin(allowed) for name, allowed in levels.items()]
        return np.all([np.ones(len(self.atoms), bool), *masks], axis=0)

    def bounds(self, levels: dict[str, tuple[str, ...]]) -> tuple[float, float]:
        """The smallest and the largest number of images with these levels that fits."""
        mask = self.among(levels).astype(float)
        ends = []
        for sign in (1, -1):
            result = linprog(sign * mask, A_eq=self.equations[0], b_eq=self.equations[1])
            assert result.success, result.message
            ends.append(sign * result.fun)
        return ends[0], ends[1]


@cache
def published(patients: int, seed: int) -> Published:
    with tempfile.TemporaryDirectory() as folder:
        return Published(Path(folder), patients, seed)


STUDIES = [(90, 3), (220, 4), (500, 5)]


def small_cells(test: pd.DataFrame, finding: str) -> Iterator[tuple[dict, int]]:
    """Every cell of few patients that one of the tables has a place for, and its images."""
    table = test.assign(
        age_bin=test.age_bin.map(dict(enumerate(AGE_BINS))),
        target=np.where(test[finding] == 1, "with", "without"),
        label=test[finding].map({1.0: "positive", 0.0: "negative", -1.0: "uncertain"}),
    )
    crossed = [(), *((name,) for name in GROUPED), *itertools.combinations(GROUPED[:3], 2)]
    places = [*crossed[1:], *((*names, "target") for names in crossed), ("label",)]
    places += [("race", "age_bin"), ("disease",), ("race", "disease"), ("sex", "disease")]
    for names in places:
        if "disease" in names and finding not in CLASSES:
            continue
        for levels, rows in table.groupby(list(names)):
            if rows.patient_id.nunique() < MINIMUM:
                yield dict(zip(names, ((level,) for level in levels), strict=True)), len(rows)


@pytest.mark.parametrize("study", STUDIES)
def test_no_small_count_follows_from_all_shown_ones_together(study):
    tables, attacked = published(*study), 0
    for finding in (*CLASSES, "Edema", "Lung Lesion", "Fracture"):
        attack = Attack(tables, finding)
        for levels, images in small_cells(tables.test, finding):
            low, high = attack.bounds(levels)
            attacked += 1
            assert low - 1e-6 <= images <= high + 1e-6  # the attacker's knowledge is right
            assert high - low > 0.5, (finding, levels, images)
    assert attacked > 50


def test_the_attacker_finds_a_count_that_is_hidden_alone():
    """Show what the complements hide, and the same attack succeeds."""
    tables = published(220, 4)
    everything = cohort(
        [{"dataset": "here", "counts": {"test": counts(tables.test)}}],
        {("here", "test"): disclosure(tables.test, 1)},
    )
    black = everything.level == "Black"
    assert tables.test[tables.test.race == "Black"].patient_id.nunique() >= 1
    everything.loc[black, "test"] = np.nan
    attack_on = object.__new__(Published)
    attack_on.__dict__ = {**tables.__dict__, "cohort": everything}
    low, high = Attack(attack_on, "Edema").bounds({"race": ("Black",)})
    assert low == pytest.approx(high)


def fractions_fit(values: np.ndarray, denominators: np.ndarray, tolerance: float) -> np.ndarray:
    """For each denominator, whether every value is some k / denominator within the tolerance."""
    products = values[:, None] * denominators
    return (np.abs(products - products.round()) <= tolerance * denominators + 1e-9).all(axis=0)


def told_rates(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Rates of groups as `subgroups` shows them, and as another group's rate and a gap tell them.

    value: a rate of a model; error: how far the true one is from it at most.
    """
    keys = ["model", "metric", "attribute", "finding"]

    def rounding(values: pd.Series) -> np.ndarray:
        return np.where(values == values.round(2), 0.005, 0.0)

    groups = tables["subgroups"].rename(columns={"estimate": "value"}).dropna(subset="value")
    groups = groups[groups.metric.isin(["auc_roc", "tpr", "fpr"])][[*keys, "group", "value"]]
    groups["error"] = rounding(groups.value)
    gaps = tables["gaps"].query("kind != 'versus'").dropna(subset=["estimate", "a", "b"])
    told = [groups]
    for one, other, sign in (("a", "b", 1), ("b", "a", -1)):
        rows = gaps.rename(columns={one: "told", other: "group"}).merge(groups, on=[*keys, "group"])
        value, error = rows.value + sign * rows.estimate, rows.error + rounding(rows.estimate)
        told.append(rows.assign(group=rows.told, value=value, error=error)[groups.columns])
    return pd.concat(told, ignore_index=True)


@pytest.mark.parametrize("study", STUDIES)
def test_no_hidden_number_of_positives_follows_from_rates_and_gaps(study):
    tables = published(*study)
    cell = ["attribute", "group", "finding"]
    groups = tables.tables["subgroups"]
    hidden = groups[groups.positives.isna()][cell].drop_duplicates()
    told = told_rates(tables.tables).merge(hidden, on=cell)
    attacked = 0
    for (attribute, group, finding), rows in told.groupby(cell):
        levels = zip(attribute.split(" x "), group.split(", "), strict=True)
        table = tables.test.assign(age=tables.test.age_bin.map(dict(enumerate(AGE_BINS))))
        for name, level in levels:
            table = table if name == "all" else table[table[name] == level]
        n, counted = len(table), int(table[finding].eq(1).sum())
        positives = np.arange(1, n)
        fits = np.ones(n - 1, bool)
        for metric, denominators in {
            "auc_roc": 2 * positives * (n - positives),
            "tpr": positives,
            "fpr": n - positives,
        }.items():
            for error, of_metric in rows[rows.metric == metric].groupby("error"):
                fits &= fractions_fit(of_metric.value.to_numpy(float), denominators, error)
        attacked += 1
        assert fits.sum() > 1, (attribute, group, finding)
        assert not 0 < counted < n or fits[counted - 1]
    assert attacked > 5


@pytest.mark.parametrize("study", STUDIES)
def test_what_is_made_of_gaps_in_rates_is_as_blank_as_these(study):
    gaps = published(*study).tables["gaps"].query("kind != 'difference'")
    ranges = gaps[gaps.kind == "range"].set_index(["model", "attribute", "finding", "metric"])
    blank = ranges.estimate.isna().unstack("metric")
    assert blank.fpr.any()
    assert blank.equalised_odds[blank.tpr | blank.fpr].all()
    of_none = blank.xs("No Finding", level="finding")
    assert (of_none.underdiagnosis == of_none.fpr).all()
    for row in gaps[gaps.kind == "versus"].itertuples():
        if blank[row.metric][row.model, row.attribute, row.finding]:
            assert np.isnan(row.estimate)


@pytest.mark.parametrize("study", STUDIES)
def test_no_hidden_number_of_positives_follows_from_averages_or_thresholds(study):
    tables = published(*study)
    metrics = tables.tables["metrics"].query("metric == 'auc_roc'")
    for _, of_model in metrics.groupby("model"):
        rows = of_model.set_index("finding")
        hidden = [f for f in FINDINGS if np.isnan(rows.positives[f])]
        members = [f for f in AVERAGES[MACRO] if not np.isnan(rows.estimate[f])]
        if not hidden:
            continue
        assert rows.estimate[MACRO] == round(rows.estimate[MACRO], 3)
        for finding in hidden:
            if np.isnan(rows.estimate[finding]):
                continue
            others = rows.estimate[[f for f in members if f != finding]].sum()
            value = np.array([len(members) * rows.estimate[MACRO] - others])
            positives = np.arange(1, len(tables.test))
            lattice = 2 * positives * (len(tables.test) - positives)
            assert fractions_fit(value, lattice, 0.0005 * len(members)).sum() > 1
        benefit = tables.tables["recalibration"]
        assert benefit.treat_all[benefit.finding.isin(hidden)].isna().all()
        assert benefit.treat_all.notna().any()
        thresholds = tables.tables["thresholds"]
        secret = thresholds[thresholds.finding.isin(hidden)]
        rates = secret[secret.metric.isin(["sensitivity", "ppv", "npv", "youden_j"])]
        negatives = {f: int(tables.test[f].ne(1).sum()) for f in hidden}
        counted = {f: int(tables.test[f].eq(1).sum()) for f in hidden}
        few = [f for f in hidden if min(negatives[f], counted[f]) < 200]
        assert rates[rates.finding.isin(few)].estimate.isna().all()
        assert secret[["positives", "prevalence"]].isna().all(axis=None)
        calibration = tables.tables["calibration"].query("finding in @hidden")
        assert not calibration.metric.isin(["observed", "brier_skill"]).any()


def test_a_class_within_a_group_of_ones_own_is_hidden_as_its_finding_is():
    """Both count the same images, so what one table hides the other must not show."""
    section = AttributeSection.read({"values": ["Private", "Medicare", "Medicaid"]})
    attributes = resolve({"insurance": section}, THESIS.names)
    hidden = 0
    for seed in range(5):
        test = hospital(60, seed)
        payers = np.random.default_rng(seed).choice(section.values, 60, p=[0.6, 0.3, 0.1])
        test["insurance"] = payers[pd.factorize(test.patient_id)[0]]
        cells = disclosure(test, MINIMUM, attributes=attributes)
        for name, payer in product(CLASSES, section.values):
            of_class = cells.hides({"disease": name, "insurance": payer})
            assert of_class == cells.hides({f"target:{name}": "with", "insurance": payer})
            hidden += of_class
    assert hidden


def test_protected_cells_have_more_than_one_solution_in_random_tables():
    rng = np.random.default_rng(0)
    for _ in range(40):
        shape = rng.integers(2, 5, 2)
        patients = rng.choice([0, 3, 12, 60], shape)
        cells = np.arange(patients.size).reshape(shape)
        rows = [patients.size + i for i in range(shape[0])]
        totals = np.r_[patients.ravel(), patients.sum(axis=1)]
        relations = [Relation(tuple(line), row) for line, row in zip(cells, rows, strict=True)]
        relations += [Relation(tuple(column), -1) for column in cells.T]
        hidden = protect(totals, relations, MINIMUM)
        assert hidden[small(totals, MINIMUM)].all()
        assert not hidden[totals == 0].any()
        exposed = determined(hidden, relations) & small(totals, MINIMUM)
        for cell in np.flatnonzero(exposed):  # nothing is left that could be hidden beside it
            beside = [r.terms for r in relations if cell in r.terms]
            assert all(hidden[t] or totals[t] == 0 for terms in beside for t in terms)
