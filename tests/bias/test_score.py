"""The thesis's score by hand, the samples it is made on, and what it does on duplicated rows."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import torch
from made_embeddings import equal_weights, make_embeddings, make_records

from cxrfmkd.bias import ks, sampling, score, significance
from cxrfmkd.bias.design import build_design
from cxrfmkd.bias.grouping import (
    EXTRA,
    THESIS,
    family,
    group_images,
    pair_codes,
    select_comparisons,
)
from cxrfmkd.bias.multinomial import multinomial
from cxrfmkd.bias.projection import fit_pca
from cxrfmkd.datasets.resampling import draw_rows, resample, stratify
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Bias, Resampling

THESIS_FAMILY, EXTRA_FAMILY = family(THESIS), family(EXTRA)
RATIOS = np.array([0.4, 0.2, 0.1, 0.1])


def test_score_by_hand():
    """Points of modes 1-4 for disease, White-Asian, White-Black, Asian-Black, Male-Female."""
    points = np.array(
        [[150, 0, 100, 150, 150], [150, 100, 0, 0, 0], [0, 0, 0, 150, 100], [0, 0, 0, 0, 150]],
        float,
    )
    normalised = score.comparison_scores(points, score.mode_weights(RATIOS, "normalised"))
    np.testing.assert_allclose(normalised, [112.5, 25, 50, 93.75, 106.25])
    result = score.attribute_scores(normalised, THESIS_FAMILY)
    assert result["race"] == pytest.approx((25 + 50 + 93.75) / 3)
    assert result["sex"] == pytest.approx(106.25)
    assert result["combined"] == pytest.approx((56.25 + 106.25) / 2)
    assert result["columns average"] == pytest.approx((25 + 50 + 93.75 + 106.25) / 4)
    unnormalised = score.comparison_scores(points, score.mode_weights(RATIOS, "unnormalised"))
    np.testing.assert_allclose(unnormalised, normalised * 0.8)
    filtered = score.comparison_scores(points, score.mode_weights(RATIOS, "filtered"))
    np.testing.assert_allclose(filtered, points[0])
    assert score.pair_scores(normalised, THESIS_FAMILY)["White vs Asian"] == pytest.approx(25)


def test_score_goes_from_0_to_150_and_leaves_disease_out():
    weights = score.mode_weights(RATIOS, "normalised")
    for value in (0.0, 150.0):
        points = np.full((4, 5), value)
        points[:, 0] = 150 - value
        result = score.attribute_scores(score.comparison_scores(points, weights), THESIS_FAMILY)
        assert result["combined"] == pytest.approx(value)
        assert "disease" not in result


def test_without_race_the_combined_score_says_so():
    sex = [c for c in THESIS_FAMILY if c.attribute in ("disease", "sex")]
    result = score.attribute_scores(np.array([150.0, 100.0]), sex)
    assert set(result) == {"sex", "combined (sex)", "columns average"}
    assert result["combined (sex)"] == 100


def test_age_has_a_combined_score_of_its_own_name():
    values = np.array([0, 30, 60, 90, 100, 10, 20, 30, 150.0])
    result = score.attribute_scores(values, [*THESIS_FAMILY, *EXTRA_FAMILY])
    assert result["combined"] == pytest.approx(80)
    assert result["age"] == pytest.approx(20)
    assert result["view"] == pytest.approx(150)
    assert result["combined with age"] == pytest.approx((60 + 100 + 20) / 3)


def test_ages_and_blanks_become_groups():
    records = make_records(30)
    records.loc[0, ["race", "view", "sex"]] = [None, "LATERAL", ""]
    records["age_bin"] = pd.array(
        [0, 3, 4, 5, 6, 7, None] + [1] * (len(records) - 7), dtype="Int64"
    )
    grouping = group_images(records)
    assert grouping.of("age")[:7].tolist() == [0, 0, 1, 1, 2, 2, -1]
    assert [grouping.of(a)[0] for a in ("race", "view", "sex")] == [-1, -1, -1]


def test_an_attribute_that_nobody_has_must_be_left_out():
    with pytest.raises(InputError, match="no test image has a known race"):
        select_comparisons(group_images(make_records(30, race=False)), ["sex", "race"], "nih")


# --- samples


def test_weights_are_average_over_observed_share_of_the_stratum():
    records = pd.DataFrame(
        {
            "race": ["White"] * 4 + ["Black"] * 4,
            "sex": ["Male", "Male", "Male", "Female", "Male", "Female", "Female", "Female"],
            "disease": "Other",
            "age_bin": 3,
        }
    )
    pool = sampling.build_pool(records, "race", "v2", 2, "reduce")
    assert pool.names == ("White", "Black")
    np.testing.assert_allclose(pool.weights[0], [0.5 / 0.75] * 3 + [0.5 / 0.25])
    np.testing.assert_allclose(pool.weights[1], [0.5 / 0.25] + [0.5 / 0.75] * 3)


def test_matched_sample_is_torchs_multinomial_of_one_generator_in_order_of_appearance():
    records = make_records(200, seed=3)
    pool = sampling.build_pool(records, "race", "v2", 20, "error")
    assert pool.names == tuple(pd.unique(records.race))
    torch.manual_seed(42)
    expected_rows = [
        members[torch.multinomial(torch.from_numpy(w), 20, replacement=False).numpy()]
        for members, w in zip(pool.members, pool.weights, strict=True)
    ]
    assert np.array_equal(sampling.draw_samples(pool, [42])[0], np.concatenate(expected_rows))


def test_plain_sample_is_pandas_sample_of_each_race():
    records = make_records(200, seed=3)
    pool = sampling.build_pool(records, "race", "v1", 20, "error")
    for seed, rows in zip((1, 2), sampling.draw_samples(pool, [1, 2]), strict=True):
        expected_rows = [
            records[records.race == race].sample(20, random_state=seed).index
            for race in pd.unique(records.race)
        ]
        assert np.array_equal(rows, np.concatenate(expected_rows))


def test_samples_are_drawn_from_the_resampled_rows_in_their_order_where_that_is_asked_for():
    """As the thesis: rows of the resampled test set, of equal ones the first."""
    records = make_records(200, seed=3)
    weights, _ = resample(records, Resampling(method="draws", seed=7), "d", 10)
    drawn = draw_rows(stratify(records.race, records.disease, records.age_bin), 3, 7)
    rows = records.iloc[drawn].drop_duplicates("image_id").reset_index(drop=True)
    settings = Bias(attributes=["sex", "race"], sample_per_group=20, simulations=3)
    pool = sampling.build_pool(rows, "race", "v2", 20, "error")
    thesis = settings.model_copy(update={"order": "drawn"})
    design = build_design("d", records, weights, thesis)
    for sample, seed in ((design.main, 42), (design.simulated[2], 3)):
        expected = rows.image_id[sampling.draw_samples(pool, [seed])[0]].to_numpy()
        assert np.array_equal(design.test.image_id[design.rows[sample]], expected)
    other = build_design("d", records, weights, settings)
    assert set(other.test.image_id) == set(design.test.image_id)
    assert set(other.test.image_id[other.main]) != set(design.test.image_id[design.main])


def test_without_draws_there_is_no_order_of_draws():
    records = make_records(60)
    weights, _ = resample(records, Resampling(), "d", 10)
    settings = Bias(attributes=["sex", "race"], order="drawn")
    with pytest.raises(InputError, match=r"order: drawn needs resampling.method: draws"):
        build_design("d", records, weights, settings)


def test_matched_sample_evens_out_what_differs_between_races():
    rng = np.random.default_rng(99)
    records = make_records(6000, images=(1, 2))
    records["sex"] = np.where(
        rng.random(len(records)) < np.where(records.race == "Black", 0.8, 0.4), "Female", "Male"
    )
    pool = sampling.build_pool(records, "race", "v2", 300, "error")
    drawn = records.iloc[sampling.draw_samples(pool, [42])[0]]
    shares = drawn.groupby("race").sex.apply(lambda sex: (sex == "Female").mean())
    assert shares.max() - shares.min() < 0.1
    assert drawn.index.is_unique


def test_a_small_race_reduces_all_or_stops(caplog):
    records = make_records(60)
    least = records.race.value_counts().min()
    with caplog.at_level(logging.WARNING):
        pool = sampling.build_pool(records, "race", "v2", 1000, "reduce")
    assert pool.size == least
    assert f"drawing as many as the rarest has: {records.race[0]}" in caplog.text
    assert str(least) in caplog.text
    with pytest.raises(InputError, match=r"Lower bias\.sample_per_group"):
        sampling.build_pool(records, "race", "v2", 1000, "error")


def test_small_cells_are_not_shown(caplog):
    records = make_records(60)
    records.loc[3:, "race"] = records.race[3:].replace("Black", "White")
    records.loc[:2, "race"] = "Black"
    with caplog.at_level(logging.WARNING):
        assert sampling.build_pool(records, "race", "v2", 50, "reduce").size == 3
    assert "Asian suppressed" in caplog.text  # or the three of Black would follow by subtraction
    assert "Black suppressed" in caplog.text
    assert " 3" not in caplog.text


def test_one_race_is_nothing_to_compare_and_none_is_an_error(caplog):
    records = make_records(30).assign(race="White")
    with caplog.at_level(logging.WARNING):
        assert sampling.build_pool(records, "race", "v2", 5, "reduce").names == ("White",)
    assert "one group by race; its comparisons stay blank" in caplog.text
    with pytest.raises(InputError, match="no test image belongs to a group by race"):
        sampling.build_pool(records.assign(race=None), "race", "v2", 5, "reduce")


def test_rows_without_a_stratum_are_not_drawn():
    records = make_records(80)
    records.loc[::2, "sex"] = None
    pool = sampling.build_pool(records, "race", "v2", 5, "reduce")
    assert all((rows % 2 == 1).all() for rows in pool.members)


def test_what_no_row_has_is_not_matched():
    records = make_records(80).assign(age_bin=pd.array([None] * len(make_records(80)), "Int64"))
    pool = sampling.build_pool(records, "race", "v2", 5, "reduce")
    assert sum(map(len, pool.members)) == len(records)


def test_one_image_of_every_patient():
    owner = np.repeat(np.arange(20), 3)
    rows = sampling.one_per_patient(owner, 1)
    assert np.array_equal(owner[rows], np.arange(20))
    assert not np.array_equal(rows, sampling.one_per_patient(owner, 2))


# --- what the design refuses, and duplicated rows


def test_design_wants_a_weight_for_every_image_and_counts_for_v1():
    records = make_records(40)
    weights = equal_weights(records)
    with pytest.raises(InputError, match=r"2 of .* test images have no weight"):
        build_design("d", records, weights[2:], Bias())
    with pytest.raises(InputError, match="1 rows have a duplicate image_id"):
        build_design("d", records, pd.concat([weights, weights[:1]]), Bias())
    with pytest.raises(InputError, match="weights, not counts"):
        build_design("d", records, weights.assign(weight=0.5), Bias(variant="v1"))
    with pytest.raises(InputError, match="negative or not finite"):
        build_design("d", records, weights.assign(weight=-1.0), Bias())
    with pytest.raises(InputError, match="0 test images take part"):
        build_design("d", records, weights.assign(weight=0.0), Bias())


def test_images_that_were_not_drawn_take_no_part():
    records = make_records(40)
    weights = equal_weights(records)
    weights.loc[:9, "weight"] = 0
    assert len(build_design("d", records, weights, Bias()).test) == len(records) - 10
    design = build_design("d", records, weights.assign(weight=3.0), Bias(variant="v1"))
    assert len(design.rows) == 3 * len(records)


def test_score_on_duplicated_rows_rejects_without_any_effect():
    """The thesis's first analysis (v1) took rows drawn three times over for independent ones."""
    settings = {"attributes": ["sex", "race"], "simulations": 0, "sample_per_group": 400}
    rejected = {"v1": 0, "v2": 0}
    biased = {"v1": 0, "v2": 0}
    for seed in range(10):
        records = make_records(400, seed, images=(1, 2))
        drawn = np.random.default_rng(seed).multinomial(
            3 * len(records), [1 / len(records)] * len(records)
        )
        weights = equal_weights(records).assign(weight=drawn.astype(float))
        embeddings = make_embeddings(records, 8, seed)
        for variant in rejected:
            design = build_design("d", records, weights, Bias(variant=variant, **settings))
            values = embeddings.take(design.test.image_id)
            pca = fit_pca(values, 0.99, 4, np.bincount(design.rows, minlength=len(values)))
            table, scored = significance.test_tables(design, pca.scores(values, 4), pca.ratios[:4])
            own = scored[(scored["sample"] == "all") & (scored.attribute == "combined")]
            biased[variant] += own[own.form == "normalised"].score.item() > 0
            rejected[variant] += (table[table["sample"] == "all"].p < 0.05).sum()
    tests = 10 * 4 * 5
    assert rejected["v2"] / tests < 0.09
    assert rejected["v1"] / tests > 0.3
    assert biased["v2"] <= 1
    assert biased["v1"] >= 9


def test_simulation_counts_bands_and_takes_the_most_frequent():
    records = make_records(300, images=(1, 2))
    design = build_design(
        "d", records, equal_weights(records), Bias(simulations=30, sample_per_group=40)
    )
    values = make_embeddings(records, 8, planted={("sex", "Female"): 0.8}).data
    pca = fit_pca(values, 0.99, 4)
    scores = pca.scores(values, 4)
    table, scored = significance.test_tables(design, scores, pca.ratios[:4])
    line = table[
        (table["sample"] == "simulation") & (table.attribute == "sex") & (table["mode"] == 1)
    ].iloc[0]
    family = design.comparisons[0]
    result = ks.ks_tests(
        ks.sort_scores(scores), design.grouping.codes, pair_codes(family), design.simulated
    )
    bands = ks.bands(result.p_adjusted)[:, 0, -1]
    assert line.draws == 30
    assert line.share_true == pytest.approx((bands == 1).mean())
    assert line.share_true_plus == pytest.approx((bands == 2).mean())
    assert line.band == ks.BANDS[np.bincount(bands, minlength=3).argmax()]
    own = scored[
        (scored["sample"] == "simulation")
        & (scored.form == "filtered")
        & (scored.attribute == "sex")
    ]
    assert own.score.item() == pytest.approx(100 * line.share_true + 150 * line.share_true_plus)


@pytest.mark.parametrize(
    ("sizes", "size"), [((5000, 900, 400), 150), ((60, 40, 45), 40), ((9, 5), 2), ((3000,), 1)]
)
def test_draws_are_torchs_for_any_seed_without_torch(sizes, size):
    rng = np.random.default_rng(0)
    weights = [rng.random(n) + 0.1 for n in sizes]
    weights[0][:3] *= 1000
    seeds = [0, 1, 42, 5000, 2**33 + 5]
    result = multinomial(weights, size, seeds)
    for seed, groups_drawn in zip(seeds, result, strict=True):
        generator = torch.Generator().manual_seed(seed)
        for own, rows in zip(weights, groups_drawn, strict=True):
            expected_rows = torch.multinomial(torch.from_numpy(own), size, generator=generator)
            assert np.array_equal(rows, expected_rows.numpy())


def test_draws_come_out_even_where_the_first_guess_of_the_limit_is_too_small(monkeypatch):
    weights = [np.random.default_rng(0).random(500) + 0.1]
    expected_rows = multinomial(weights, 50, [1, 2, 3])
    monkeypatch.setattr("cxrfmkd.bias.multinomial._limit", lambda w, size: 1e-6)
    assert np.array_equal(multinomial(weights, 50, [1, 2, 3]), expected_rows)
