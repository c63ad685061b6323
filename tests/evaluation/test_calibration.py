"""Calibration against scikit-learn, and what a calibrated model must give."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.evaluation.calibration import (
    CALIBRATION_MEASURES,
    Calibration,
    calibrate,
    calibration_table,
    equal_weight_bins,
)

# float64: a sum of n terms up to 1 is off by n x 1.1e-16 at most, and n is below 2,000 here.
ROUNDING = 1e-12


def column(result: np.ndarray, name: str) -> np.ndarray:
    return result[..., CALIBRATION_MEASURES.index(name)]


def made(n=500, findings=2, seed=0):
    rng = np.random.default_rng(seed)
    chances = rng.beta(1, 4, (n, findings))
    return (rng.random(chances.shape) < chances).astype(float), chances


def sample_of(targets, weights=None, replicates=0):
    n = len(targets)
    weights = np.ones(n) if weights is None else weights
    return Sample(targets, np.arange(n), weights, np.zeros((n, 1), np.int16), replicates)


def measures_of(targets, chances, weights=None):
    """CALIBRATION_MEASURES of every finding, shape (f, 5)."""
    return calibrate(sample_of(targets, weights), chances).measures[0]


def test_brier_score_is_that_of_scikit_learn():
    targets, chances = made()
    weights = np.random.default_rng(1).random(500)
    for w in (None, weights):
        result = column(measures_of(targets, chances, w), "brier")
        expected = [
            brier_score_loss(targets[:, k], chances[:, k], sample_weight=w) for k in range(2)
        ]
        np.testing.assert_allclose(result, expected, atol=ROUNDING)


def test_reliability_curve_is_that_of_scikit_learn():
    targets, chances = made()
    _, curve, predicted, *_ = calibrate(sample_of(targets), chances)
    for k in range(2):
        observed, mean = calibration_curve(
            targets[:, k], chances[:, k], n_bins=10, strategy="quantile"
        )
        np.testing.assert_allclose(curve[0, k], observed, atol=ROUNDING)
        np.testing.assert_allclose(predicted[0, k], mean, atol=ROUNDING)


def test_expected_error_is_the_mean_distance_of_the_curve_from_the_diagonal():
    targets, chances = made()
    result, curve, predicted, *_ = calibrate(sample_of(targets), chances)
    np.testing.assert_allclose(
        column(result[0], "ece"), np.abs(curve[0] - predicted[0]).mean(axis=1)
    )
    np.testing.assert_allclose(column(result[0], "mean_error"), (chances - targets).mean(axis=0))


def test_weights_count_an_image_as_so_many_rows():
    targets, chances = made()
    weights = np.random.default_rng(2).integers(0, 4, 500)
    weighted = measures_of(targets, chances, weights)
    duplicated = measures_of(
        np.repeat(targets, weights, axis=0), np.repeat(chances, weights, axis=0)
    )
    remaining = [
        CALIBRATION_MEASURES.index(name) for name in ("brier", "brier_skill", "mean_error", "ece")
    ]
    np.testing.assert_allclose(weighted[:, remaining], duplicated[:, remaining], atol=ROUNDING)


def test_skill_of_the_prevalence_itself_is_zero():
    targets, _ = made()
    result = measures_of(targets, np.broadcast_to(targets.mean(axis=0), targets.shape))
    np.testing.assert_allclose(column(result, "brier_skill"), 0, atol=ROUNDING)
    np.testing.assert_allclose(column(result, "ece"), 0, atol=ROUNDING)


def test_noise_is_taken_off_a_calibrated_model_and_not_off_a_biased_one():
    calibrated, biased = [], []
    for seed in range(200):
        targets, chances = made(300, 1, seed)
        calibrated.append(measures_of(targets, chances)[0])
        biased.append(measures_of(targets, np.minimum(chances + 0.2, 1))[0])
    calibrated, biased = np.array(calibrated), np.array(biased)
    assert column(calibrated, "ece").mean() > 0.04
    assert np.median(column(calibrated, "rmsce_debiased")) < 0.02
    assert column(biased, "rmsce_debiased").mean() == pytest.approx(0.2, abs=0.01)


def test_bins_hold_equal_weights_and_cut_no_tie():
    rng = np.random.default_rng(3)
    weights = rng.random(1000)
    places = equal_weight_bins(rng.random(1000), weights)
    # An image is 1 / 500 of the weight at most, and either end of a bin may be off by one image.
    np.testing.assert_allclose(np.bincount(places, weights) / weights.sum(), 0.1, atol=0.005)
    tied = np.repeat([0.1, 0.2, 0.9], [500, 300, 200])
    assert [
        set(equal_weight_bins(tied, np.ones(1000))[tied == value]) for value in (0.1, 0.2, 0.9)
    ] == [{0}, {5}, {8}]


def test_degenerate_findings():
    targets, chances = made(50, 4)
    targets[:, 0], targets[:, 1], targets[:, 2] = np.nan, 1, 0
    result = measures_of(targets, chances)
    assert np.isnan(result[0]).all()
    assert np.isnan(column(result[1:3], "brier_skill")).all()
    assert np.isfinite(column(result[1:], "ece")).all()
    assert np.isnan(measures_of(targets, chances, np.zeros(50))).all()


def test_replicates_contain_the_sample_and_give_rows_of_a_table():
    rng = np.random.default_rng(4)
    targets, chances = made(400, 14)
    sample = sample_of(targets, rng.integers(0, 3, 400).astype(float), 100)
    calibrated = calibrate(sample, chances)
    expected = measures_of(targets, chances, sample.weights)
    np.testing.assert_allclose(calibrated.measures[0], expected)
    seeds = (array[:1] for array in calibrated[:3])
    by_seed = Calibration(*seeds, *(array[None] for array in calibrated[3:]))
    rows = calibration_table(calibrated, by_seed, np.full(14, 200), 0.95)
    assert len(rows) == 14 * (5 + 10)
    for metric in ("brier", "brier_skill", "mean_error", "ece"):
        numbers = rows[rows.metric == metric]
        assert (numbers.low < numbers.estimate).all()
        assert (numbers.estimate < numbers.high).all()
    assert (rows[rows.metric.isin(["ece", "rmsce_debiased"])].low >= 0).all()
    few = calibration_table(calibrated, by_seed, np.full(14, 5), 0.95)
    assert few[["low", "high"]].isna().all(axis=None)
    assert few.estimate.equals(rows.estimate)
    points = rows[rows.metric == "observed"]
    assert points.bin.tolist() == list(range(1, 11)) * 14
    assert points.predicted.notna().all()
