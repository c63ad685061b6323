"""Bootstrap replicates: what they draw, what they measure, and whether their intervals cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.evaluation.metrics import metrics_of
from cxrfmkd.evaluation.operating_points import thresholds_at_fpr
from cxrfmkd.statistics.intervals import percentile_interval
from cxrfmkd.statistics.sweep import AREA, EVERYTHING, NOTHING, RATES, ROC_AREA
from cxrfmkd.statistics.uncertainty import errors

# float64: a sum of n terms up to 1 is off by n x 1.1e-16 at most, and n is below 2,000 here.
ROUNDING = 1e-12


def made(n=300, patients=90, findings=3, seed=0):
    rng = np.random.default_rng(seed)
    targets = (rng.random((n, findings)) < [0.1, 0.3, 0.5][:findings]).astype(float)
    targets[rng.random(targets.shape) < 0.05] = np.nan
    scores = np.round(rng.normal(size=targets.shape) + np.nan_to_num(targets), 1)
    codes = rng.integers(0, patients, n)
    weights = rng.integers(0, 4, n).astype(float)
    groups = np.stack([np.zeros(n), rng.integers(1, 3, n), rng.choice([-1, 3, 4, 5], n)], axis=1)
    return targets, scores, codes, weights, groups.astype(np.int16)


def drawn(sample: Sample) -> np.ndarray:
    """Weights of the images, shape (1 + replicates, f, n)."""
    findings, n = sample.targets.shape[::-1]
    result = np.empty((1 + sample.replicates, findings, n))

    def keep(start, stop, drawn):
        for replicate in range(start, stop):
            result[replicate] = drawn.of(replicate - start)

    sample.for_each_block(keep)
    return result


def areas(sample: Sample, scores: np.ndarray) -> np.ndarray:
    """AUC-ROC on everyone, shape (1 + replicates, f)."""
    return sample.measure(scores).metrics[:, ROC_AREA, :, 0]


@pytest.mark.parametrize("unit", ["patient", "row"])
def test_every_replicate_is_measured_as_its_rows_would_be(unit):
    targets, scores, codes, weights, groups = made()
    sample = Sample(targets, codes, weights, groups, 20, unit)
    measures, weights = sample.measure(scores), drawn(sample)
    for replicate in range(21):
        for k in range(targets.shape[1]):
            counts = weights[replicate, k]
            for group in range(sample.n_groups):
                member = (groups == group).any(axis=1)
                expected = metrics_of(targets[member, k], scores[member, k], counts[member])[0]
                metrics = measures.metrics[replicate, :, k, group]
                np.testing.assert_allclose(metrics, expected, atol=ROUNDING)


@pytest.mark.parametrize("unit", ["patient", "row"])
def test_rates_are_shares_of_images_above_the_threshold_of_everyone(unit):
    targets, scores, codes, weights, groups = made()
    cuts = np.array([[0.3, np.inf], [0.0, np.nan], [-0.5, -9.0]])
    sample = Sample(targets, codes, weights, groups, 5, unit)
    measures, weights = sample.measure(scores, cuts), drawn(sample)
    for replicate in range(6):
        for k in range(targets.shape[1]):
            counts = weights[replicate, k]
            nearest = thresholds_at_fpr(targets[:, k], scores[:, k], counts)[0]
            for i, cut in enumerate((*cuts[k], nearest)):
                for group in range(sample.n_groups):
                    member = (groups == group).any(axis=1)
                    for rates, label in ((measures.tpr, 1), (measures.fpr, 0)):
                        selected = member & (targets[:, k] == label)
                        total = counts[selected].sum()
                        called = counts[selected & (scores[:, k] >= cut)].sum()
                        expected = called / total if total and not np.isnan(cut) else np.nan
                        value = rates[replicate, i, k, group]
                        np.testing.assert_allclose(value, expected, atol=ROUNDING)


def test_patients_are_drawn_with_replacement_and_all_their_images_with_them():
    _, _, codes, _, groups = made(patients=40)
    sample = Sample(np.zeros((300, 1)), codes, np.ones(300), groups, 2000)
    patients = np.unique(codes, return_index=True)[1]
    counts = drawn(sample)[1:, 0]
    assert (counts == counts[:, patients][:, sample.patient_codes[0]]).all()
    counts = counts[:, patients]
    assert (counts.sum(axis=1) == len(patients)).all()
    share = 1 - 1 / len(patients)
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=5 * np.sqrt(share / 2000))
    # A variance of 2,000 draws has a standard error of about 4 %, a correlation of 0.022.
    np.testing.assert_allclose(counts.var(axis=0), share, rtol=0.25)
    first_two = np.corrcoef(counts[:, 0], counts[:, 1])[0, 1]
    assert abs(first_two) < 0.1


def test_rows_are_drawn_within_label_strata_in_proportion_to_their_weights():
    targets, _, codes, _, groups = made()
    weights = np.random.default_rng(5).random(300) * 3 * (np.arange(300) % 4 > 0)
    sample = Sample(targets, codes, weights, groups, 3000, "row")
    every = drawn(sample)[1:]
    for k in (0, 2):
        counts = every[:, k]
        assert (counts[:, np.isnan(targets[:, k])] == 0).all()
        for label in (0, 1):
            stratum = targets[:, k] == label
            rows = round(weights[stratum].sum())
            assert (counts[:, stratum].sum(axis=1) == rows).all()
            expected = weights[stratum] / weights[stratum].sum() * rows * 3000
            remaining = expected > 0
            assert (counts[:, stratum].sum(axis=0)[~remaining] == 0).all()
            p = stats.chisquare(
                counts[:, stratum].sum(axis=0)[remaining], expected[remaining]
            ).pvalue
            assert p > 1e-4


def test_replicates_depend_neither_on_threads_nor_on_the_model(monkeypatch):
    targets, scores, codes, weights, groups = made()
    sample = Sample(targets, codes, weights, groups, 30)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    alone = sample.measure(scores)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    for part, expected in zip(sample.measure(scores), alone, strict=True):
        np.testing.assert_array_equal(part, expected)
    better = sample.measure(scores + np.nan_to_num(targets))
    np.testing.assert_array_equal(better.prevalence, alone.prevalence)
    other = Sample(targets, codes, weights, groups, 30, seed=43).measure(scores)
    assert not np.array_equal(other.metrics[1:], alone.metrics[1:], equal_nan=True)


def test_detail_leaves_out_what_is_not_wanted():
    targets, scores, codes, weights, groups = made()
    whole = Sample(targets, codes, weights, groups, 3).measure(scores)
    detail = np.full((3, 6), EVERYTHING)
    detail[:, 1], detail[:, 2], detail[:, 3] = NOTHING, RATES, AREA
    part = Sample(targets, codes, weights, groups, 3, detail=detail).measure(scores)
    assert all(np.isnan(numbers[..., 1]).all() for numbers in part)
    assert np.isnan(part.metrics[..., 2]).all()
    others = [metric for metric in range(4) if metric != ROC_AREA]
    assert np.isnan(part.metrics[:, others, :, 3]).all()
    np.testing.assert_array_equal(part.metrics[..., 0], whole.metrics[..., 0])
    np.testing.assert_array_equal(part.metrics[:, ROC_AREA, :, 3], whole.metrics[:, ROC_AREA, :, 3])
    for numbers, expected in zip(part[1:], whole[1:], strict=True):
        np.testing.assert_array_equal(numbers[..., [0, 2, 3]], expected[..., [0, 2, 3]])


def test_one_patient_has_an_interval_of_no_width():
    targets, scores, *_ = made()
    sample = Sample(targets, np.zeros(300), np.ones(300), np.zeros((300, 1), np.int16), 50)
    metrics = sample.measure(scores).metrics
    for bound in percentile_interval(metrics[1:], 0.95):
        np.testing.assert_allclose(bound, metrics[0], atol=ROUNDING)


def test_empty_groups_and_absent_weights_are_blank():
    targets, scores, codes, _, groups = made()
    groups[:, 1] = 2
    for numbers in Sample(targets, codes, np.ones(300), groups, 4).measure(scores):
        assert np.isnan(numbers[..., 1]).all()
        assert not np.isnan(numbers[..., 2]).any()
    nothing = Sample(targets, codes, np.zeros(300), groups, 4).measure(scores)
    assert all(np.isnan(numbers).all() for numbers in nothing)


@pytest.mark.slow
def test_patient_intervals_cover_where_row_intervals_do_not():
    """1,200 studies of 250 patients, whose up to six images share labels and most of a score."""
    rng = np.random.default_rng(11)
    studies, patients, shift = 1200, 250, 1.2
    patient = np.repeat(np.arange(patients), rng.integers(1, 7, patients))
    sick = rng.random((patients, studies)) < 0.3
    own = rng.normal(size=(len(patient), studies))
    shared = rng.normal(size=(patients, studies))[patient]
    targets = sick[patient].astype(float)
    scores = shift * targets + np.sqrt(0.7) * shared + np.sqrt(0.3) * own
    true = stats.norm.cdf(shift / np.sqrt(2))
    covered = {}
    for unit in ("patient", "row"):
        everyone = np.zeros((len(patient), 1), np.int16)
        sample = Sample(targets, patient, np.ones(len(patient)), everyone, 300, unit)
        low, high = percentile_interval(areas(sample, scores)[1:], 0.95)
        covered[unit] = np.mean((low <= true) & (true <= high))
    assert 0.93 <= covered["patient"] <= 0.97
    assert covered["row"] < 0.85


@pytest.mark.slow
def test_equal_models_differ_in_one_study_of_twenty_unless_drawn_rows_count_as_independent():
    """250 pairs of equally good models on each of ten test sets of 600 patients, tripled."""
    rejected = {"patient": [], "row": []}
    for cohort in range(10):
        rng = np.random.default_rng(cohort)
        studies, patients = 250, 600
        patient = np.repeat(np.arange(patients), rng.integers(1, 7, patients))
        n = len(patient)
        targets = (rng.random((patients, studies)) < 0.3)[patient].astype(float)
        shared = np.sqrt(0.7) * rng.normal(size=(2, patients, studies))[:, patient]
        models = 1.2 * targets + shared + np.sqrt(0.3) * rng.normal(size=shared.shape)
        drawn = rng.multinomial(3 * n, np.full(n, 1 / n)).astype(float)
        for unit, some in (("patient", slice(None)), ("row", slice(20))):
            everyone = np.zeros((n, 1), np.int16)
            sample = Sample(targets[:, some], patient, drawn, everyone, 200, unit)
            a, b = (areas(sample, scores[:, some]) for scores in models)
            p = errors(a - b).p_values((a - b)[0])
            rejected[unit].append((p < 0.05).mean())
    assert np.mean(rejected["patient"]) == pytest.approx(0.05, abs=0.01)
    assert np.mean(rejected["row"]) > 0.4
