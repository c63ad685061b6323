"""Recalibration against scipy and scikit-learn, and ratios with intervals that cover."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_predictions import logits, records
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from cxrfmkd.datasets.disclosure import disclosure
from cxrfmkd.evaluation.populations import populations
from cxrfmkd.evaluation.predictions import LabelledImages
from cxrfmkd.evaluation.recalibration import (
    METHODS,
    fit_recalibrations,
    platt,
    recalibration_table,
    weighted_estimates,
)
from cxrfmkd.study.settings import Evaluation
from cxrfmkd.vocabulary.findings import FINDINGS

SETTINGS = Evaluation(replicates=0, attributes=["sex"])


def population(test: pd.DataFrame, weights: np.ndarray | None = None):
    """The natural test set, or with weights the resampled one."""
    images = LabelledImages(test.image_id, test[list(FINDINGS)].to_numpy(float))
    weight = np.ones(len(test)) if weights is None else weights
    table = pd.DataFrame({"image_id": test.image_id, "weight": weight})
    return list(populations(test, images, table, SETTINGS, disclosure(test, 10)))[-1]


def test_platts_fit_is_a_logistic_regression_on_smoothed_targets():
    """scikit-learn's, with each image twice: as positive and as negative, by Platt's shares."""
    rng = np.random.default_rng(0)
    z = rng.normal(2, 3, 400)
    y = (rng.random(400) < expit(0.5 * z - 1.5)).astype(float)
    high, low = (y.sum() + 1) / (y.sum() + 2), 1 / (len(y) - y.sum() + 2)
    share = np.where(y > 0, high, low)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    doubled = np.r_[z, z][:, None], np.r_[np.ones(400), np.zeros(400)]
    model.fit(*doubled, sample_weight=np.r_[share, 1 - share])
    expected = model.coef_.item(), model.intercept_.item()
    # BFGS stops at a gradient of 1e-5; the curvature of the mean loss is above 0.01 here.
    np.testing.assert_allclose(platt(z, y), expected, atol=5e-3)


def test_a_stretched_and_shifted_model_is_mended():
    rng = np.random.default_rng(1)
    z = rng.normal(-1, 1.5, (20_000, 14))
    y = (rng.random(z.shape) < expit(z)).astype(float)
    fits = fit_recalibrations(2 * z, y)
    np.testing.assert_array_equal(fits[0], np.tile([1.0, 0.0], (14, 1)))
    assert fits[1, 0, 0] == pytest.approx(0.5, abs=0.02)
    shifted = fit_recalibrations(2 * z + 3, y)[2]
    np.testing.assert_allclose(shifted[:, 0], 0.5, atol=0.05)
    np.testing.assert_allclose(shifted[:, 1], -1.5, atol=0.1)


def test_findings_that_nobody_has_or_that_are_told_apart_perfectly_have_finite_fits():
    z = np.tile(np.linspace(-4, 4, 60)[:, None], (1, 14))
    y = np.zeros((60, 14))
    y[:, 1] = z[:, 1] > 0
    y[:, 2] = np.nan
    fits = fit_recalibrations(z, y)
    assert np.isfinite(fits).all()
    np.testing.assert_array_equal(fits[2, 2], [1, 0])
    assert expit(fits[2, 0, 0] * z[:, 0] + fits[2, 0, 1]).mean() < 0.05


@pytest.mark.parametrize("weighted", [False, True])
def test_numbers_are_scikit_learns_on_repeated_rows(weighted):
    test = records(200, 3, "test")
    counts = np.random.default_rng(4).integers(0, 4, len(test)) if weighted else None
    scores = [logits(test, 1.0, seed) for seed in (1, 2)]
    fits = np.stack([fit_recalibrations(s, test[list(FINDINGS)].to_numpy(float)) for s in scores])
    here = population(test, None if counts is None else counts.astype(float))
    table = recalibration_table(scores, fits, here, 0.95).set_index(
        ["finding", "method", "metric", "group"]
    )
    rows = np.repeat(np.arange(len(test)), 1 if counts is None else counts)
    rows = rows[(test.sex == "Male").to_numpy()[rows]]
    k, m = FINDINGS.index("Edema"), METHODS.index("platt")
    chances = [
        expit(fit[m, k, 0] * s[rows, k].astype(float) + fit[m, k, 1])
        for s, fit in zip(scores, fits, strict=True)
    ]
    y = test.Edema.to_numpy()[rows]
    expected = np.mean([brier_score_loss(y, c) for c in chances])
    row = table.loc["Edema", "platt", "brier", "Male"]
    assert row.estimate == pytest.approx(expected, rel=1e-9)
    assert row.low < row.estimate < row.high
    error = table.loc["Edema", "platt", "mean_error", "Male"].estimate
    assert error == pytest.approx(np.mean(chances) - y.mean(), rel=1e-6)


def test_net_benefit_is_that_of_the_confusion_matrix():
    test = records(150, 5, "test")
    scores = logits(test, 1.0, 1)
    fits = fit_recalibrations(scores, test[list(FINDINGS)].to_numpy(float))[None]
    table = recalibration_table([scores], fits, population(test), 0.95)
    row = table.query("finding == 'Edema' and method == 'none' and threshold == 0.2").iloc[0]
    called = expit(scores[:, FINDINGS.index("Edema")].astype(float)) >= 0.2
    y = test.Edema.to_numpy()
    true, false = (called & (y == 1)).mean(), (called & (y == 0)).mean()
    assert row.estimate == pytest.approx(true - false * 0.25)
    assert row.treat_all == pytest.approx(y.mean() - (1 - y.mean()) * 0.25)


def test_small_groups_are_blank():
    test = records(150, 6, "test")
    few = test.patient_id.unique()[:4]
    test["sex"] = np.where(test.patient_id.isin(few), "Female", "Male")
    scores = logits(test, 1.0, 1)
    fits = fit_recalibrations(scores, test[list(FINDINGS)].to_numpy(float))[None]
    table = recalibration_table([scores], fits, population(test), 0.95)
    columns = ["estimate", "low", "high"]
    assert table[table.group == "Female"][columns].isna().all(axis=None)
    assert table.query("group == 'all' and finding == 'Edema'")[columns].notna().all(axis=None)


def test_intervals_cover_with_several_images_a_patient():
    """Of 200 studies 93 to 97 % should; 176 to 199 are 99.9 % of a binomial of 95 %."""
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(200):
        owner = np.repeat(np.arange(150), rng.integers(1, 4, 150))
        chance = rng.beta(2, 6, 150)[owner]
        values = (rng.random(len(owner)) < chance)[None, None] - chance
        zero = np.zeros(len(owner), int)
        found = weighted_estimates(values, zero, 1, np.ones(len(owner)), owner, 0.95)
        covered += bool(found["low"][0, 0] <= 0 <= found["high"][0, 0])
    assert 176 <= covered <= 199
