"""Analytic variance of AUC against brute force and against the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.statistics import delong
from cxrfmkd.statistics.sweep import ROC_AREA

# float64: a sum of n terms up to 1 is off by n x 1.1e-16 at most, and n is below 2,000 here.
ROUNDING = 1e-12
# Variances are differences of such sums, a hundredth of them or more.
RELATIVE = 1e-10


def made(seed=0, n=240, patients=80, findings=2):
    rng = np.random.default_rng(seed)
    patient = rng.integers(0, patients, n)
    targets = (rng.random((n, findings)) < 0.35).astype(float)
    shared = rng.normal(size=(patients, findings))[patient]
    scores = np.round(targets + shared + rng.normal(size=(n, findings)), 1)
    return targets, scores, patient


def components(targets, scores):
    """Structural components by comparing every pair, as DeLong wrote them."""
    positive, negative = scores[targets == 1], scores[targets == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    return wins.mean(axis=1), wins.mean(axis=0), wins.mean()


def test_areas_are_those_of_scikit_learn():
    targets, scores, patient = made()
    targets[::9, 0] = np.nan
    result = delong.influence(targets, scores, patient).area
    for k in range(2):
        labelled = ~np.isnan(targets[:, k])
        assert result[k] == pytest.approx(
            roc_auc_score(targets[labelled, k], scores[labelled, k]), abs=ROUNDING
        )


def test_variance_of_independent_images_is_delongs():
    targets, scores, _ = made()
    each = np.arange(len(targets))
    result = delong.variance(delong.influence(targets, scores, each), targets, each)
    for k in range(2):
        v10, v01, _ = components(targets[:, k], scores[:, k])
        expected = v10.var(ddof=1) / len(v10) + v01.var(ddof=1) / len(v01)
        assert result[k] == pytest.approx(expected, rel=RELATIVE)


def test_variance_of_images_in_patients_is_obuchowskis():
    targets, scores, patient = made()
    result = delong.variance(delong.influence(targets, scores, patient), targets, patient)
    for k in range(2):
        v10, v01, area = components(targets[:, k], scores[:, k])
        with_, without = patient[targets[:, k] == 1], patient[targets[:, k] == 0]
        s10 = s01 = s11 = 0.0
        for one in np.unique(patient):
            a = v10[with_ == one].sum() - (with_ == one).sum() * area
            b = v01[without == one].sum() - (without == one).sum() * area
            s10, s01, s11 = s10 + a * a, s01 + b * b, s11 + a * b
        i10, i01, i = (len(np.unique(part)) for part in (with_, without, patient))
        m, n = len(with_), len(without)
        expected = (
            i10 / ((i10 - 1) * m) * s10 / m
            + i01 / ((i01 - 1) * n) * s01 / n
            + 2 * i / (i - 1) * s11 / (m * n)
        )
        assert result[k] == pytest.approx(expected, rel=RELATIVE)


def test_difference_of_two_models_is_delongs_paired_test():
    targets, scores, _ = made()
    other = scores + np.random.default_rng(1).normal(size=scores.shape)
    each = np.arange(len(targets))
    apart = delong.influence(targets, scores, each) - delong.influence(targets, other, each)
    result = delong.variance(apart, targets, each)
    for k in range(2):
        a, b = components(targets[:, k], scores[:, k]), components(targets[:, k], other[:, k])
        expected = sum((x - y).var(ddof=1) / len(x) for x, y in zip(a[:2], b[:2], strict=True))
        assert result[k] == pytest.approx(expected, rel=RELATIVE)
        assert apart.area[k] == pytest.approx(a[2] - b[2])


def test_variance_agrees_with_the_patient_bootstrap():
    targets, scores, patient = made(3, n=1500, patients=400)
    analytic = delong.variance(delong.influence(targets, scores, patient), targets, patient)
    sample = Sample(targets, patient, np.ones(1500), np.zeros((1500, 1), np.int16), 2000)
    drawn = sample.measure(scores).metrics[1:, ROC_AREA, :, 0].var(axis=0)
    # A variance of 2,000 replicates has a standard error of sqrt(2 / 2,000) = 3 %.
    np.testing.assert_allclose(drawn, analytic, rtol=0.12)
    each = np.arange(1500)
    assert (
        delong.variance(delong.influence(targets, scores, each), targets, each) < analytic
    ).all()


def test_mean_of_the_same_model_twice_is_itself():
    targets, scores, patient = made()
    one = delong.influence(targets, scores, patient)
    for a, b in zip(delong.mean([one, one]), one, strict=True):
        np.testing.assert_allclose(a, b)


def test_one_class_or_one_patient_has_no_variance():
    targets, scores, patient = made()
    targets[:, 0] = 1
    result = delong.variance(delong.influence(targets, scores, patient), targets, patient)
    assert np.isnan(result[0])
    assert result[1] > 0
    alone = np.zeros(len(targets))
    assert np.isnan(delong.variance(delong.influence(targets, scores, alone), targets, alone)).all()


@pytest.mark.slow
def test_p_values_of_equal_models_are_uniform():
    ps = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        targets, _, patient = made(seed)
        a, b = (
            targets + rng.normal(size=(80, 2))[patient] + rng.normal(size=targets.shape)
            for _ in "ab"
        )
        apart = delong.influence(targets, a, patient) - delong.influence(targets, b, patient)
        z = apart.area / np.sqrt(delong.variance(apart, targets, patient))
        ps.append(2 * stats.norm.sf(np.abs(z[0])))
    assert stats.kstest(ps, "uniform").pvalue > 0.01
