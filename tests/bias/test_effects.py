"""Effect sizes against scipy and brute force, and what their intervals promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from cxrfmkd.bias import encoding
from cxrfmkd.bias.effects import EFFECT_SIZES, effect_sizes
from cxrfmkd.bias.encoding import (
    energy_coefficients,
    energy_errors,
    pairwise_distances,
    replicated_fold_areas,
)
from cxrfmkd.statistics.draws import patient_counts
from cxrfmkd.statistics.intervals import error_interval


@pytest.mark.parametrize("ties", [False, True])
def test_effects_equal_scipy_and_brute_force_on_repeated_rows(ties):
    rng = np.random.default_rng(0)
    values = rng.normal(size=120)
    if ties:
        values = values.round(1)
    group = rng.integers(0, 3, 120)
    counts = rng.integers(1, 4, 120)
    result, _ = effect_sizes(
        values, group == 0, group == 1, np.arange(120), np.ones((1, 120), np.int16), counts, 2.0
    )
    a, b = (np.repeat(values[group == g], counts[group == g]) for g in (0, 1))
    d, w1, delta = result
    assert d == pytest.approx(stats.ks_2samp(a, b).statistic, abs=1e-12)
    assert w1 == pytest.approx(stats.wasserstein_distance(a, b) / 2, abs=1e-12)
    assert delta == pytest.approx(np.sign(a[:, None] - b[None]).mean(), abs=1e-12)


def test_errors_bound_how_far_a_replicate_is_off():
    rng = np.random.default_rng(1)
    values, owner = rng.normal(size=90), np.repeat(np.arange(30), 3)
    first = np.arange(90) < 45
    draws = patient_counts(30, 20, 7)
    estimate, errors = effect_sizes(values, first, ~first, owner, draws)
    for drawn, error in zip(draws, errors, strict=True):
        a, b = (np.repeat(values[g], drawn[owner[g]]) for g in (first, ~first))
        replicate = (
            stats.ks_2samp(a, b).statistic,
            stats.wasserstein_distance(a, b),
            np.sign(a[:, None] - b[None]).mean(),
        )
        off = np.abs(np.array(replicate) - estimate)
        assert (off <= error + 1e-12).all()
        assert off[2] == pytest.approx(error[2], abs=1e-12)


def test_patients_are_drawn_whole_and_the_same_for_the_same_seed():
    draws = patient_counts(50, 10, 3)
    assert (draws.sum(1) == 50).all()
    assert np.array_equal(draws, patient_counts(50, 10, 3))
    assert not np.array_equal(draws, patient_counts(50, 10, 4))


def test_an_empty_group_and_replicates_without_it_have_no_interval():
    values, nobody = np.arange(6.0), np.zeros(6, bool)
    draws = patient_counts(6, 20, 0)
    estimate, errors = effect_sizes(values, ~nobody, nobody, np.arange(6), draws)
    assert np.isnan(estimate).all()
    assert np.isnan(error_interval(estimate[0], errors[:, 0])).all()
    assert np.isnan(error_interval(0.3, np.empty(0))).all()


def test_one_patient_in_a_group():
    values, first = np.arange(8.0), np.arange(8) < 2
    owner = np.array([0, 0, 1, 2, 3, 4, 5, 6])
    estimate, errors = effect_sizes(values, first, ~first, owner, patient_counts(7, 200, 0))
    assert estimate[0] == 1
    low, high = error_interval(estimate[0], errors[:, 0], 0.0, 1.0)
    assert low <= 1 == high


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_intervals_cover_the_truth_with_several_images_a_patient(shift):
    """Also at no difference at all, which no percentile interval of D contains."""
    rng = np.random.default_rng(2)
    owner = np.repeat(np.arange(200), 3)
    first = (np.arange(200) < 100)[owner]
    truth = (2 * stats.norm.cdf(shift / 2) - 1, shift, 2 * stats.norm.cdf(shift / 2**0.5) - 1)
    covered = np.zeros(3)
    for trial in range(200):
        values = (rng.normal(size=200)[owner] + rng.normal(size=600)) / 2**0.5 + shift * first
        draws = patient_counts(200, 200, trial)
        estimate, errors = effect_sizes(values, first, ~first, owner, draws)
        for i, limits in enumerate(EFFECT_SIZES.values()):
            low, high = error_interval(estimate[i], errors[:, i], *limits)
            covered[i] += low <= truth[i] <= high
    assert ((covered / 200 > 0.92) & (covered / 200 < 0.99)).all()


# --- probes and distances


def test_probe_finds_what_is_planted_about_as_well_as_logistic_regression():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(600, 30)) * np.linspace(3, 0.3, 30)
    y = (x[:, 5] + rng.normal(size=600) > 0).astype(float)
    fold = encoding.assign_folds(np.arange(600), 0)
    result = roc_auc_score(y, encoding.out_of_fold_scores(x, y[:, None], fold)[:, 0])
    logistic = np.empty(600)
    for number in range(encoding.FOLDS):
        rows = fold == number
        model = LogisticRegression(max_iter=1000).fit(x[~rows], y[~rows])
        logistic[rows] = model.decision_function(x[rows])
    # What two estimators on 600 images differ by; rounding is a millionth of it.
    assert result == pytest.approx(roc_auc_score(y, logistic), abs=0.02)
    assert result > 0.75


def test_probe_is_on_average_no_better_or_worse_than_chance_when_nothing_is_planted():
    areas = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        owner = np.sort(rng.integers(0, 100, 200))
        x = rng.normal(size=(200, 40)) + rng.normal(size=(100, 40))[owner]
        y = (rng.random(100) < 0.2)[owner].astype(float)
        fold = encoding.assign_folds(np.unique(owner, return_inverse=True)[1], seed)
        areas.append(roc_auc_score(y, encoding.out_of_fold_scores(x, y[:, None], fold)[:, 0]))
    assert np.mean(areas) == pytest.approx(0.5, abs=0.04)


def test_folds_keep_patients_together():
    owner = np.repeat(np.arange(40), 3)
    fold = encoding.assign_folds(owner, 1)
    assert all(len(np.unique(fold[owner == p])) == 1 for p in range(40))
    assert len(np.unique(fold)) == encoding.FOLDS


def test_probe_leaves_out_unknown_targets_and_folds_with_one_class():
    rng = np.random.default_rng(4)
    x, fold = rng.normal(size=(100, 5)), np.arange(100) % 5
    y = np.stack([(x[:, 0] > 0).astype(float), (fold == 2) * 1.0], 1)
    y[::3, 0] = np.nan
    result = encoding.out_of_fold_scores(x, y, fold)
    assert roc_auc_score(x[:, 0] > 0, result[:, 0]) > 0.95
    assert np.isnan(result[fold == 2, 1]).all()
    assert np.isfinite(result[fold != 2, 1]).all()


def test_energy_coefficient_equals_brute_force():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(30, 4))
    codes = rng.integers(0, 3, (2, 1, 30)).astype(np.int8)
    result = encoding.energy_coefficients(
        encoding.pairwise_distances(x), codes, np.array([[0, 0, 1], [0, 1, 2]])
    )
    gaps = np.linalg.norm(x[:, None] - x[None], axis=-1)
    for labelling, lines in zip(codes[:, 0], result, strict=True):
        for (a, b), value in zip(((0, 1), (1, 2)), lines, strict=True):
            a, b = labelling == a, labelling == b
            cross, own_a, own_b = (gaps[np.ix_(p, q)].mean() for p, q in ((a, b), (a, a), (b, b)))
            # Three means of float32 distances, each a sum of 30 terms: 3 x 31 x 2^-24 = 5.5e-6.
            assert value == pytest.approx((2 * cross - own_a - own_b) / (2 * cross), abs=1e-5)


def test_a_probe_s_area_compares_pairs_of_one_fold():
    rng = np.random.default_rng(8)
    folds, group = rng.integers(0, 3, 90), rng.random(90) < 0.4
    scores = np.round(rng.normal(size=90), 1)
    won = pairs = 0.0
    for fold in range(3):
        inside = folds == fold
        weight = group[inside].sum() * (~group[inside]).sum()
        won += weight * roc_auc_score(group[inside], scores[inside])
        pairs += weight
    moved = scores + 10 * folds  # what a fold's fit adds to all its scores says nothing
    sides, owner, none = (group, ~group), np.arange(90), np.zeros((0, 90), int)
    area = replicated_fold_areas(moved, *sides, folds, owner, none)
    assert area == pytest.approx([won / pairs])
    assert np.isnan(replicated_fold_areas(scores, *sides, owner, owner, none)).all()


def test_energy_errors_bound_the_change_of_every_replicate():
    rng = np.random.default_rng(9)
    x, codes = rng.normal(size=(60, 3)), (np.arange(60) % 2).astype(np.int8)[None]
    x[codes[0] == 1, 0] += 1
    pairs, distances = np.array([[0, 0, 1]]), pairwise_distances(x)
    draws = patient_counts(60, 40, 1)
    observed = energy_coefficients(distances, codes[None], pairs).item()
    between = distances[codes[0] == 0][:, codes[0] == 1].mean()
    bounds = energy_errors(distances, codes, pairs, draws)[:, 0]
    for drawn, bound in zip(draws, bounds, strict=True):
        rows = np.repeat(np.arange(60), drawn)
        again = codes[:, rows][None]
        replicate = energy_coefficients(distances[np.ix_(rows, rows)], again, pairs).item()
        first, second = (rows[again[0, 0] == side] for side in (0, 1))
        energy = replicate * 2 * distances[np.ix_(first, second)].mean()
        # Bounded is the distance itself, over what the sample divides it by; float32 sums.
        assert abs(energy / (2 * between) - observed) <= bound + 1e-5
    assert (energy_errors(distances, codes, pairs, np.ones((1, 60), np.int16)) < 1e-5).all()
