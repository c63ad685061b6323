"""Subgroup rates and gaps against fairlearn, and small cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    MetricFrame,
    equalized_odds_difference,
    false_positive_rate,
    true_positive_rate,
)
from made_predictions import logits, records
from sklearn.metrics import roc_auc_score

from cxrfmkd.datasets.disclosure import disclosure
from cxrfmkd.evaluation import gaps, subgroups
from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Evaluation
from cxrfmkd.vocabulary.findings import FINDINGS

CUT = -1.2
EFFUSION = FINDINGS.index("Pleural Effusion")
NO_FINDING = FINDINGS.index("No Finding")
# float64: a sum of n terms up to 1 is off by n x 1.1e-16 at most, and n is below 2,000 here.
ROUNDING = 1e-12
SETTINGS = Evaluation()


def measured(table, attributes, replicates=0, minimum=1, scores=None, weights=None):
    """Rates of a model at the threshold CUT, with its groups and cells."""
    targets = table[list(FINDINGS)].to_numpy(float)
    scores = logits(table, 1.5, 3) if scores is None else scores
    weights = np.ones(len(table)) if weights is None else weights
    patients = table.patient_id.to_numpy()
    groups = subgroups.patient_groups(table, attributes)
    disclosed = disclosure(table, minimum)
    cells = subgroups.count_cells(targets, patients, weights, groups, minimum, disclosed)
    sample = Sample(targets, patients, weights, groups.codes, replicates, detail=cells.detail())
    result = sample.measure(scores, np.full((14, 2), CUT))
    return subgroups.group_measures(result, cells), cells


def one_seed(rates):
    """The measures of the one model, as those of several seeds."""
    return {name: values[:1] for name, values in rates.items()}


def range_table(rates, cells):
    ranges = gaps.ranges(rates, cells.groups)
    return gaps.range_table(ranges, rates, one_seed(rates), cells, SETTINGS)


def prevalence(cells: subgroups.Cells) -> np.ndarray:
    return cells.positives / np.maximum(cells.images, 1)


@pytest.fixture(scope="module")
def study():
    table = records(200, 1)
    return table, measured(table, ["sex", "race", "age", "view"], replicates=60)


def test_groups_are_the_attributes_and_their_crossings(study):
    _, (_, cells) = study
    assert cells.groups.divisions == [
        "sex",
        "race",
        "age",
        "view",
        "sex x race",
        "sex x view",
        "race x view",
    ]
    assert [cells.groups.names[i] for i in cells.groups.of("race")] == ["Asian", "Black", "White"]
    assert len(cells.groups.of("sex x race")) == 6
    assert "Female, Black" in cells.groups.names
    assert [cells.groups.names[i] for i in cells.groups.of("age")] == [
        "to 20",
        "21-30",
        "31-40",
        "41-50",
        "51-60",
        "61-70",
        "71-80",
        "over 80",
    ]


def test_rates_at_the_threshold_of_everyone_are_those_of_fairlearn(study):
    table, (rates, cells) = study
    called = logits(table, 1.5, 3) >= CUT
    for attribute in ("sex", "race", "view"):
        for k in (EFFUSION, NO_FINDING):
            targets = table[FINDINGS[k]]
            for name, metric in (("tpr", true_positive_rate), ("fpr", false_positive_rate)):
                frame = MetricFrame(
                    metrics=metric,
                    y_true=targets,
                    y_pred=called[:, k],
                    sensitive_features=table[attribute],
                )
                for i in cells.groups.of(attribute):
                    expected = frame.by_group[cells.groups.names[i]]
                    assert rates[name][0, k, i] == pytest.approx(expected, abs=ROUNDING)


def test_equalised_odds_gap_is_that_of_fairlearn(study):
    table, (rates, cells) = study
    called = logits(table, 1.5, 3) >= CUT
    result = gaps.ranges(rates, cells.groups)
    for attribute in ("sex", "race", "view"):
        for k in (EFFUSION, NO_FINDING):
            expected = equalized_odds_difference(
                table[FINDINGS[k]], called[:, k], sensitive_features=table[attribute]
            )
            assert result[attribute, "equalised_odds"][0, k] == pytest.approx(
                expected, abs=ROUNDING
            )


def test_area_of_a_crossed_group_is_that_of_its_images(study):
    table, (rates, cells) = study
    member = ((table.sex == "Female") & (table.race == "Black")).to_numpy()
    targets, scores = table[FINDINGS[EFFUSION]][member], logits(table, 1.5, 3)[member, EFFUSION]
    result = rates["auc_roc"][0, EFFUSION, cells.groups.names.index("Female, Black")]
    assert result == pytest.approx(roc_auc_score(targets, scores), abs=ROUNDING)


def test_underdiagnosis_is_the_gap_in_false_alarms_of_no_finding(study):
    _, (rates, cells) = study
    result = gaps.ranges(rates, cells.groups)["race", "underdiagnosis"][0]
    fpr = rates["fpr"][0, NO_FINDING, cells.groups.of("race")]
    assert result[NO_FINDING] == pytest.approx(fpr.max() - fpr.min())
    assert np.isnan(np.delete(result, NO_FINDING)).all()


def test_relative_differences_refer_to_the_mean_over_sexes_and_races(study):
    _, (rates, cells) = study
    table = subgroups.subgroup_table(rates, one_seed(rates), prevalence(cells), cells, SETTINGS)
    rows = table[(table.finding == "Pleural Effusion") & (table.metric == "auc_roc")].set_index(
        "group"
    )
    five = ["Female", "Male", "Asian", "Black", "White"]
    mean = rows.estimate[five].mean()
    np.testing.assert_allclose(rows.relative[five], 100 * (rows.estimate[five] - mean) / mean)
    views = rows.estimate[["AP", "PA"]]
    np.testing.assert_allclose(rows.relative[["AP", "PA"]], 100 * (views / views.mean() - 1))
    assert np.isnan(rows.relative["all"])
    assert (rows.relative_low[five] <= rows.relative[five]).all()


def test_numbers_resting_on_few_patients_are_blank_and_listed():
    table = records(60, 5)
    table.loc[table.race == "Black", "Edema"] = 0.0
    first = table.index[(table.race == "Black")][0]
    table.loc[table.patient_id == table.patient_id[first], "Edema"] = 1.0
    rates, cells = measured(table, ["race", "age"], 20, minimum=10)
    rows = subgroups.subgroup_table(rates, one_seed(rates), prevalence(cells), cells, SETTINGS)
    black = rows[(rows.group == "Black") & (rows.finding == "Edema")].set_index("metric")
    numbers = ["estimate", "low", "high", "positives", "prevalence"]
    assert black.loc["tpr", numbers].isna().all()
    assert black.loc["auc_roc", numbers].isna().all()
    assert black.suppressed[["tpr", "auc_roc"]].all()
    assert not black.suppressed["fpr"]
    member = table[table.race == "Black"]
    wrong = (logits(table, 1.5, 3)[:, 5] >= CUT)[table.race == "Black"][member.Edema == 0]
    assert black.estimate["fpr"] == pytest.approx(wrong.mean())
    assert black.n["fpr"] == len(member)
    assert black.patients["fpr"] == member.patient_id.nunique()
    small = rows[(rows.attribute == "age") & rows.patients.isna()]
    assert len(small)
    assert small[small.estimate.isna()].suppressed.all()
    assert small.n.isna().all()
    result = range_table(rates, cells)
    edema = result[
        (result.attribute == "race") & (result.finding == "Edema") & (result.metric == "tpr")
    ]
    assert "Black" not in edema[["a", "b"]].to_numpy()


def test_images_without_a_weight_or_an_attribute_belong_to_no_group():
    table = records(50, 6)
    table.loc[table.index[:30], "race"] = None
    weights = np.ones(len(table))
    weights[20:40] = 0
    _, cells = measured(table, ["race"], weights=weights)
    assert cells.images[0, 0] == len(table) - 20
    assert cells.images[0, cells.groups.of("race")].sum() == len(table) - 40


def test_attribute_that_no_record_has_is_an_error():
    with pytest.raises(InputError, match="asks for race, but no test record has one"):
        subgroups.patient_groups(records(20).assign(race=None), ["sex", "race"])


def test_without_attributes_there_is_everyone():
    rates, cells = measured(records(40), [], 5)
    table = subgroups.subgroup_table(rates, one_seed(rates), prevalence(cells), cells, SETTINGS)
    assert set(table.attribute) == {"all"}
    assert len(table) == 14 * len(subgroups.GROUP_MEASURES)
    assert range_table(rates, cells).empty
    assert gaps.pair_table(rates, one_seed(rates), cells, 0.95).empty
    assert gaps.versus_table({}, {}, ({}, {}), 0.95).empty


def test_planted_gap_is_found_and_its_groups_named():
    table = records(500, 7)
    scores = logits(table, 2.0, 8)
    noise = np.random.default_rng(9).normal(size=scores.shape) * 4
    scores = np.where((table.sex == "Female").to_numpy()[:, None], noise, scores)
    rates, cells = measured(table, ["sex"], 300, 10, scores)
    result = range_table(rates, cells)
    row = result[(result.metric == "auc_roc") & (result.finding == "Pleural Effusion")].iloc[0]
    assert (row.a, row.b) == ("Male", "Female")
    assert row.low > 0.1
    assert row.p < 0.01
    assert row.expected < row.corrected <= row.estimate
    assert row.estimate - row.corrected < 0.03
    pairs = gaps.pair_table(rates, one_seed(rates), cells, 0.95)
    pair = pairs[(pairs.metric == "auc_roc") & (pairs.finding == "Pleural Effusion")].iloc[0]
    assert (pair.a, pair.b) == ("Female", "Male")
    assert pair.high < 0
    assert pair.p < 1e-4
    assert pair.estimate == pytest.approx(-row.estimate)


def test_gap_by_chance_alone_is_mostly_taken_off():
    """Three races that the model serves alike: the raw gap is positive every time."""
    raw, corrected, ps = [], [], []
    for seed in range(12):
        table = records(300, 100 + seed)
        rates, cells = measured(table, ["race"], 100, 10, logits(table, 1.5, seed))
        result = range_table(rates, cells)
        result = result[result.metric == "tpr"].dropna(subset="estimate")
        raw.append(result.estimate.mean())
        corrected.append(result.corrected.mean())
        ps.extend(result.p)
    assert np.mean(corrected) < 0.45 * np.mean(raw)
    assert 0.3 < np.mean(ps) < 0.7


def test_difference_of_gaps_between_two_models_is_paired(study):
    table, (rates, cells) = study
    result = gaps.ranges(rates, cells.groups)
    first = {key: values[:1] for key, values in result.items()}
    itself = gaps.versus_table(result, result, (first, first), 0.95)
    assert (itself[["estimate", "low", "high"]] == 0).all(axis=None)
    assert itself.p.isna().all()
    other, *_ = measured(table, ["sex", "race", "age", "view"], 60, scores=logits(table, 0.2, 4))
    other_ranges = gaps.ranges(other, cells.groups)
    other_first = {key: values[:1] for key, values in other_ranges.items()}
    rows = gaps.versus_table(result, other_ranges, (first, other_first), 0.95)
    row = rows[(rows.attribute == "race") & (rows.metric == "auc_roc")].iloc[EFFUSION]
    expected = result["race", "auc_roc"][0] - other_ranges["race", "auc_roc"][0]
    assert row.estimate == pytest.approx(expected[EFFUSION])
    assert row.low <= row.estimate <= row.high
    assert ((rows.p < 0.05) == ((rows.low > 0) | (rows.high < 0)))[rows.p.notna()].all()
    disagreeing = {key: np.stack([values - 0.5, values + 0.5]) for key, values in first.items()}
    disagreeing = {key: values[:, 0] for key, values in disagreeing.items()}
    wider = gaps.versus_table(result, other_ranges, (disagreeing, other_first), 0.95)
    assert (wider.p > rows.p)[rows.p.notna()].all()


def test_no_hidden_count_follows_from_the_shown_ones():
    """Of an attribute, and of each group that a crossing divides, not one alone is blank."""
    table = records(90, 5)
    table.loc[table.race == "Black", "race"] = "White"
    table.loc[table.patient_id.isin(table.patient_id.unique()[:6]), "race"] = "Black"
    rates, cells = measured(table, ["sex", "race", "age", "view"], minimum=10)
    rows = subgroups.subgroup_table(rates, one_seed(rates), prevalence(cells), cells, SETTINGS)
    assert rows.set_index("group").n["Black"].isna().all()
    hidden = []
    for _, part in rows.groupby(["metric", "finding"]):
        shown = part.set_index(["attribute", "group"])
        for attribute in set(part.attribute) - {"all"}:
            cells = part[part.attribute == attribute]
            crossed = attribute.split(" x ")
            names = cells.group.str.split(", ", expand=True)
            for k, one_of in enumerate(crossed):
                total = names[k] if len(crossed) > 1 else pd.Series("all", cells.index)
                for whole, parts in cells.groupby(total):
                    row = shown.loc[(one_of if len(crossed) > 1 else "all", whole)]
                    hidden += [
                        parts[name].isna().sum()
                        for name in ("n", "patients", "positives")
                        if not np.isnan(row[name])  # else there is nothing to subtract from
                    ]
    assert 1 not in hidden
    assert set(hidden) > {0, 2}
