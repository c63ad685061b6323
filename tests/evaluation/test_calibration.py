"""Calibration against scikit-learn, and what a calibrated model must give."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.evaluation.calibration import MEASURES, bins, calibration, replicate, table
from cxrfmkd.statistics.intervals import percentile_interval


def column(found: np.ndarray, name: str) -> np.ndarray:
    return found[..., MEASURES.index(name)]


def made(n=500, findings=2, seed=0):
    rng = np.random.default_rng(seed)
    chances = rng.beta(1, 4, (n, findings))
    return (rng.random(chances.shape) < chances).astype(float), chances


def sample_of(truth, weights=None, replicates=0):
    n = len(truth)
    weights = np.ones(n) if weights is None else weights
    return Sample(truth, np.arange(n), weights, np.zeros((n, 1), np.int16), replicates)


def test_brier_score_is_that_of_scikit_learn():
    truth, chances = made()
    weights = np.random.default_rng(1).random(500)
    for w in (None, weights):
        found = column(calibration(truth, chances, w), "brier")
        expected = [brier_score_loss(truth[:, k], chances[:, k], sample_weight=w) for k in range(2)]
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_reliability_curve_is_that_of_scikit_learn():
    truth, chances = made()
    _, curve, predicted = replicate(sample_of(truth), chances)
    for k in range(2):
        observed, mean = calibration_curve(
            truth[:, k], chances[:, k], n_bins=10, strategy="quantile"
        )
        np.testing.assert_allclose(curve[0, k], observed, atol=1e-12)
        np.testing.assert_allclose(predicted[k], mean, atol=1e-12)


def test_expected_error_is_the_mean_distance_of_the_curve_from_the_diagonal():
    truth, chances = made()
    found, curve, predicted = replicate(sample_of(truth), chances)
    np.testing.assert_allclose(column(found[0], "ece"), np.abs(curve[0] - predicted).mean(axis=1))
    np.testing.assert_allclose(column(found[0], "mean_error"), (chances - truth).mean(axis=0))


def test_weights_count_an_image_as_so_many_rows():
    truth, chances = made()
    weights = np.random.default_rng(2).integers(0, 4, 500)
    there = calibration(truth, chances, weights)
    many = calibration(np.repeat(truth, weights, axis=0), np.repeat(chances, weights, axis=0))
    kept = [MEASURES.index(name) for name in ("brier", "brier_skill", "mean_error", "ece")]
    np.testing.assert_allclose(there[:, kept], many[:, kept], atol=1e-12)


def test_skill_of_the_prevalence_itself_is_zero():
    truth, _ = made()
    found = calibration(truth, np.broadcast_to(truth.mean(axis=0), truth.shape))
    np.testing.assert_allclose(column(found, "brier_skill"), 0, atol=1e-12)
    np.testing.assert_allclose(column(found, "ece"), 0, atol=1e-12)


def test_noise_is_taken_off_a_calibrated_model_and_not_off_a_biased_one():
    calibrated, biased = [], []
    for seed in range(200):
        truth, chances = made(300, 1, seed)
        calibrated.append(calibration(truth, chances)[0])
        biased.append(calibration(truth, np.minimum(chances + 0.2, 1))[0])
    calibrated, biased = np.array(calibrated), np.array(biased)
    assert column(calibrated, "ece").mean() > 0.04
    assert np.median(column(calibrated, "rmsce_debiased")) < 0.02
    assert column(biased, "rmsce_debiased").mean() == pytest.approx(0.2, abs=0.01)


def test_bins_hold_equal_weights_and_cut_no_tie():
    rng = np.random.default_rng(3)
    weights = rng.random(1000)
    places = bins(rng.random(1000), weights)
    np.testing.assert_allclose(np.bincount(places, weights) / weights.sum(), 0.1, atol=0.005)
    tied = np.repeat([0.1, 0.2, 0.9], [500, 300, 200])
    assert [set(bins(tied, np.ones(1000))[tied == value]) for value in (0.1, 0.2, 0.9)] == [
        {0},
        {5},
        {8},
    ]


def test_degenerate_findings():
    truth, chances = made(50, 4)
    truth[:, 0], truth[:, 1], truth[:, 2] = np.nan, 1, 0
    found = calibration(truth, chances)
    assert np.isnan(found[0]).all()
    assert np.isnan(column(found[1:3], "brier_skill")).all()
    assert np.isfinite(column(found[1:], "ece")).all()
    assert np.isnan(calibration(truth, chances, np.zeros(50))).all()


def test_replicates_contain_the_sample_and_give_rows_of_a_table():
    rng = np.random.default_rng(4)
    truth, chances = made(400, 14)
    sample = sample_of(truth, rng.integers(0, 3, 400).astype(float), 100)
    values, curve, predicted = replicate(sample, chances)
    np.testing.assert_allclose(values[0], calibration(truth, chances, sample.weights))
    rows = table(values, curve, predicted, 0.95)
    assert len(rows) == 14 * (5 + 10)
    brier = rows[rows.metric == "brier"]
    low, _ = percentile_interval(values[1:], 0.95)
    np.testing.assert_allclose(brier.low, column(low, "brier"))
    assert (rows[rows.metric.isin(["ece", "rmsce_debiased"])].low >= 0).all()
    points = rows[rows.metric == "observed"]
    assert points.bin.tolist() == list(range(1, 11)) * 14
    assert points.predicted.notna().all()
