"""The patient-level null: what it exchanges, what it keeps, how often it rejects by chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_embeddings import make_embeddings, make_records

from cxrfmkd.bias import ks, null, score
from cxrfmkd.bias.grouping import THESIS, family, group_images, pair_codes
from cxrfmkd.bias.projection import fit_pca
from cxrfmkd.vocabulary.attributes import PRESETS

THESIS_FAMILY = family(THESIS)


def _owners(records: pd.DataFrame) -> np.ndarray:
    return pd.factorize(records.patient_id)[0]


def _null(records: pd.DataFrame, embeddings: np.ndarray, count: int, form: str) -> dict:
    grouping, patients = group_images(records), _owners(records)
    pca = fit_pca(embeddings, 0.99, 4)
    orders = null.permute_patients(null.patient_strata(records, patients), count, 0)
    codes = null.exchange_groups(grouping, patients, orders)
    order = ks.sort_scores(pca.scores(embeddings, 4))
    return null.null_scores(
        order, pca.ratios[:4], grouping, codes, THESIS_FAMILY, null.MEASURES[form]
    )


def test_a_patients_stratum_is_the_most_frequent_of_the_images():
    records = pd.DataFrame(
        {
            "disease": ["Other", "Other", "No Finding", "Other", "Other", "No Finding"],
            "age_bin": pd.array([3] * 6, dtype="Int64"),
            "view": ["AP"] * 6,
        }
    )
    result = null.patient_strata(records, np.array([0, 0, 0, 1, 2, 2]))
    assert result[0] == result[1]
    assert len(result) == 3


def test_patients_alone_in_a_stratum_are_joined_over_views_then_ages_then_diseases():
    records = pd.DataFrame(
        {
            "disease": ["Other"] * 4 + ["No Finding"],
            "age_bin": pd.array([3, 3, 5, 6, 2], dtype="Int64"),
            "view": ["AP", "PA", "AP", "AP", "PA"],
        }
    )
    result = null.patient_strata(records, np.arange(5))
    assert result[0] == result[1]
    assert result[2] == result[3]
    assert result[0] != result[2]


def test_patients_whose_view_or_age_is_blank_have_a_stratum_too():
    records = pd.DataFrame(
        {
            "disease": ["Other"] * 4,
            "age_bin": pd.array([3, 3, None, None], dtype="Int64"),
            "view": pd.Series([None, None, "AP", "AP"], dtype="str"),
        }
    )
    result = null.patient_strata(records, np.arange(4))
    assert result[0] == result[1] != result[2] == result[3]


def test_permutations_stay_within_strata():
    strata = np.array([0, 1, 0, 1, 1, 0, 2])
    result = null.permute_patients(strata, 50, 0)
    assert (np.sort(result, axis=1) == np.arange(7)).all()
    assert (strata[result] == strata).all()
    assert len(np.unique(result, axis=0)) > 10
    assert np.array_equal(result, null.permute_patients(strata, 50, 0))


def test_race_and_sex_move_together_with_the_patient_and_nothing_else_moves():
    records = make_records(60)
    grouping, patients = group_images(records), _owners(records)
    orders = null.permute_patients(np.zeros(60, int), 5, 1)
    result = null.exchange_groups(grouping, patients, orders)
    first = {p: np.flatnonzero(patients == p)[0] for p in range(60)}
    for order, codes in zip(orders, result, strict=True):
        for position, attribute in enumerate(PRESETS):
            source = [first[order[p]] for p in patients]
            moved = attribute in null.EXCHANGED
            expected = grouping.codes[position][source] if moved else grouping.codes[position]
            assert np.array_equal(codes[position], expected)


def test_null_replicates_are_the_score_computed_anew():
    records = make_records(150)
    values = make_embeddings(records, 6, clustering=0.8).data
    grouping, patients = group_images(records), _owners(records)
    pca = fit_pca(values, 0.99, 4)
    scores = pca.scores(values, 4)
    orders = null.permute_patients(null.patient_strata(records, patients), 3, 0)
    result = _null(records, values, 3, "normalised")["combined"]
    for order, value in zip(orders, result.replicates, strict=True):
        other = grouping.codes.copy()
        for name in null.EXCHANGED:
            position = list(PRESETS).index(name)
            own = pd.Series(grouping.codes[position]).groupby(patients).first().to_numpy()
            other[position] = own[order][patients]
        tests = ks.ks_tests(ks.sort_scores(scores), other, pair_codes(THESIS_FAMILY))
        each = score.comparison_scores(
            score.points(tests), score.mode_weights(pca.ratios[:4], "normalised")
        )
        assert score.attribute_scores(each, THESIS_FAMILY)["combined"][0] == pytest.approx(value)


def test_planted_shift_is_found_and_the_other_attribute_is_not():
    records = make_records(400)
    values = make_embeddings(records, 12, planted={("sex", "Female"): 0.8}).data
    for form in null.MEASURES:
        result = _null(records, values, 199, form)
        assert result["sex"].p == 1 / 200
        assert result["sex"].z > 4
        assert result["race"].p > 0.01
        assert result["combined"].p < 0.05


def test_a_null_that_does_not_vary_has_no_z():
    flat = null.NullDistribution(0.0, np.zeros(20))
    assert np.isnan(flat.z)
    assert flat.p == 1
    assert flat.band == (0, 0)


def test_one_patient_can_be_exchanged_with_nobody():
    records = make_records(1, images=(30, 31))
    assert (
        null.permute_patients(null.patient_strata(records, _owners(records)), 4, 0).tolist()
        == [[0]] * 4
    )


@pytest.mark.slow
@pytest.mark.parametrize(("form", "trials"), [("distance", 2000), ("normalised", 300)])
def test_null_rejects_as_often_as_it_should_when_several_images_share_a_patient(form, trials):
    """5 % +- 1 by D; the points, mostly zero, never more often; plain KS tests far more often."""
    records = make_records(100, images=(3, 7))
    grouping, patients = group_images(records), _owners(records)
    codes = null.exchange_groups(
        grouping, patients, null.permute_patients(null.patient_strata(records, patients), 199, 5)
    )
    weights, plain = np.array([0.4, 0.3, 0.2, 0.1]), 0
    rejected = dict.fromkeys(("sex", "race", "combined"), 0)
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        values = rng.normal(size=(100, 4))[patients] + 0.5 * rng.normal(size=(len(records), 4))
        order = ks.sort_scores(values)
        result = null.null_scores(
            order, weights, grouping, codes, THESIS_FAMILY, null.MEASURES[form]
        )
        for name in rejected:
            rejected[name] += result[name].p <= 0.05
        plain += result["combined"].observed > 0
    rates = np.array(list(rejected.values())) / trials
    if form == "distance":
        assert (abs(rates - 0.05) <= 0.01).all(), rates
    else:
        assert (rates <= 0.06 + 1.65 * np.sqrt(0.05 * 0.95 / trials)).all(), rates
        assert plain / trials > 0.2
