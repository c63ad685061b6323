"""Bootstrap replicates: what they draw, what they measure, and whether their intervals cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cxrfmkd.evaluation.bootstrap import Sample, measure_names, seed_shares
from cxrfmkd.evaluation.metrics import measures, threshold_at_fpr
from cxrfmkd.statistics.draws import strata
from cxrfmkd.statistics.intervals import percentile_interval
from cxrfmkd.statistics.multiple import standard_error, wald
from cxrfmkd.statistics.ranking import AREAS, EVERYTHING, NOTHING, RATES


def made(n=300, patients=90, findings=3, seed=0):
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, findings)) < [0.1, 0.3, 0.5][:findings]).astype(float)
    truth[rng.random(truth.shape) < 0.05] = np.nan
    scores = np.round(rng.normal(size=truth.shape) + np.nan_to_num(truth), 1)
    codes = rng.integers(0, patients, n)
    weights = rng.integers(0, 4, n).astype(float)
    groups = np.stack([np.zeros(n), rng.integers(1, 3, n), rng.choice([-1, 3, 4, 5], n)], axis=1)
    return truth, scores, codes, weights, groups.astype(np.int16)


def drawn(sample: Sample) -> np.ndarray:
    """Weights of the images, shape (1 + replicates, f, n)."""
    findings, n = sample.truth.shape[::-1]
    found = np.empty((1 + sample.replicates, findings, n))
    sample.each(lambda replicate, weights: np.copyto(found[replicate], weights))
    return found


@pytest.mark.parametrize("unit", ["patient", "row"])
def test_every_replicate_is_measured_as_its_rows_would_be(unit):
    truth, scores, codes, weights, groups = made()
    sample = Sample(truth, codes, weights, groups, 20, unit)
    found, weights = sample.replicate(scores), drawn(sample)
    for replicate in range(21):
        for k in range(truth.shape[1]):
            counts = weights[replicate, k]
            for group in range(sample.n_groups):
                member = (groups == group).any(axis=1)
                expected = measures(truth[member, k], scores[member, k], counts[member])[0]
                np.testing.assert_allclose(found[:4, replicate, k, group], expected, atol=1e-12)


@pytest.mark.parametrize("unit", ["patient", "row"])
def test_rates_are_shares_of_images_above_the_threshold_of_everyone(unit):
    truth, scores, codes, weights, groups = made()
    cuts = np.array([[0.3, np.inf], [0.0, np.nan], [-0.5, -9.0]])
    sample = Sample(truth, codes, weights, groups, 5, unit)
    found = dict(zip(measure_names(2), sample.replicate(scores, cuts), strict=True))
    weights = drawn(sample)
    for replicate in range(6):
        for k in range(truth.shape[1]):
            counts = weights[replicate, k]
            own = threshold_at_fpr(truth[:, k], scores[:, k], counts)
            for name, cut in (("0", cuts[k, 0]), ("1", cuts[k, 1]), ("test", own)):
                for group in range(sample.n_groups):
                    member = (groups == group).any(axis=1)
                    for rate, label in (("tpr", 1), ("fpr", 0)):
                        chosen = member & (truth[:, k] == label)
                        total = counts[chosen].sum()
                        called = counts[chosen & (scores[:, k] >= cut)].sum()
                        expected = called / total if total and not np.isnan(cut) else np.nan
                        value = found[f"{rate}_{name}"][replicate, k, group]
                        np.testing.assert_allclose(value, expected, atol=1e-12)


def test_patients_are_drawn_with_replacement_and_all_their_images_with_them():
    _, _, codes, _, groups = made(patients=40)
    sample = Sample(np.zeros((300, 1)), codes, np.ones(300), groups, 2000)
    patients = np.unique(codes, return_index=True)[1]
    counts = drawn(sample)[1:, 0]
    assert (counts == counts[:, patients][:, sample.codes[0]]).all()
    counts = counts[:, patients]
    assert (counts.sum(axis=1) == len(patients)).all()
    share = 1 - 1 / len(patients)
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=5 * np.sqrt(share / 2000))
    np.testing.assert_allclose(counts.var(axis=0), share, rtol=0.25)
    first_two = np.corrcoef(counts[:, 0], counts[:, 1])[0, 1]
    assert abs(first_two) < 0.1


def test_rows_are_drawn_within_label_strata_in_proportion_to_their_weights():
    truth, _, codes, _, groups = made()
    weights = np.random.default_rng(5).random(300) * 3 * (np.arange(300) % 4 > 0)
    sample = Sample(truth, codes, weights, groups, 3000, "row")
    every = drawn(sample)[1:]
    for k in (0, 2):
        counts = every[:, k]
        assert (counts[:, np.isnan(truth[:, k])] == 0).all()
        for label in (0, 1):
            stratum = truth[:, k] == label
            rows = round(weights[stratum].sum())
            assert (counts[:, stratum].sum(axis=1) == rows).all()
            expected = weights[stratum] / weights[stratum].sum() * rows * 3000
            kept = expected > 0
            assert (counts[:, stratum].sum(axis=0)[~kept] == 0).all()
            p = stats.chisquare(counts[:, stratum].sum(axis=0)[kept], expected[kept]).pvalue
            assert p > 1e-4


def test_replicates_depend_neither_on_threads_nor_on_the_model(monkeypatch):
    truth, scores, codes, weights, groups = made()
    sample = Sample(truth, codes, weights, groups, 30)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    alone = sample.replicate(scores)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    np.testing.assert_array_equal(sample.replicate(scores), alone)
    better = sample.replicate(scores + np.nan_to_num(truth))
    prevalence = measure_names(0).index("prevalence")
    np.testing.assert_array_equal(better[prevalence], alone[prevalence])
    other = Sample(truth, codes, weights, groups, 30, seed=43).replicate(scores)
    assert not np.array_equal(other[:, 1:], alone[:, 1:], equal_nan=True)


def test_detail_leaves_out_what_is_not_wanted():
    truth, scores, codes, weights, groups = made()
    whole = Sample(truth, codes, weights, groups, 3).replicate(scores)
    detail = np.full((3, 6), EVERYTHING)
    detail[:, 1], detail[:, 2], detail[:, 3] = NOTHING, RATES, AREAS
    part = Sample(truth, codes, weights, groups, 3, detail=detail).replicate(scores)
    assert np.isnan(part[..., 1]).all()
    assert np.isnan(part[:4, ..., 2]).all()
    assert np.isnan(part[3, ..., 3]).all()
    for group, measured in ((0, slice(None)), (2, slice(4, None)), (3, [0, 1, 2, 4, 5, 6])):
        np.testing.assert_array_equal(part[measured][..., group], whole[measured][..., group])


def test_one_patient_has_an_interval_of_no_width():
    truth, scores, *_ = made()
    sample = Sample(truth, np.zeros(300), np.ones(300), np.zeros((300, 1), np.int16), 50)
    found = sample.replicate(scores)[:4, ..., 0]
    low, high = percentile_interval(np.moveaxis(found, 0, -1)[1:], 0.95)
    np.testing.assert_allclose(low, found[:, 0].T, atol=1e-12)
    np.testing.assert_allclose(high, found[:, 0].T, atol=1e-12)


def test_empty_groups_and_absent_weights_are_blank():
    truth, scores, codes, _, groups = made()
    groups[:, 1] = 2
    found = Sample(truth, codes, np.ones(300), groups, 4).replicate(scores)
    assert np.isnan(found[..., 1]).all()
    assert not np.isnan(found[..., 2]).any()
    assert np.isnan(Sample(truth, codes, np.zeros(300), groups, 4).replicate(scores)).all()


@pytest.mark.parametrize("seeds", [2, 5])
def test_shares_of_seeds_give_the_variance_of_their_mean(seeds):
    values = np.random.default_rng(seeds).normal(size=seeds)
    shares = seed_shares(seeds, 200_000, 1, "own/model@here")
    assert shares.shape == (seeds, 200_001)
    assert (shares[:, 0] == 1 / seeds).all()
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    means = values @ shares[:, 1:]
    assert means.mean() == pytest.approx(values.mean(), abs=0.01)
    assert means.var() == pytest.approx(values.var(ddof=1) / seeds, rel=0.02)
    assert not np.array_equal(shares, seed_shares(seeds, 200_000, 1, "own/other@here"))
    assert (seed_shares(1, 10, 1, "alone") == 1).all()


def test_strata_of_a_finding_without_labels_are_empty():
    table = strata(np.full((5, 1), np.nan), np.ones(5))
    assert table.ends.tolist() == [[0, 0]]
    assert table.rows.tolist() == [[0, 0]]


@pytest.mark.slow
def test_patient_intervals_cover_where_row_intervals_do_not():
    """1,200 studies of 250 patients, whose up to six images share labels and most of a score."""
    rng = np.random.default_rng(11)
    studies, patients, shift = 1200, 250, 1.2
    patient = np.repeat(np.arange(patients), rng.integers(1, 7, patients))
    sick = rng.random((patients, studies)) < 0.3
    own = rng.normal(size=(len(patient), studies))
    shared = rng.normal(size=(patients, studies))[patient]
    truth = sick[patient].astype(float)
    scores = shift * truth + np.sqrt(0.7) * shared + np.sqrt(0.3) * own
    true = stats.norm.cdf(shift / np.sqrt(2))
    covered = {}
    for unit in ("patient", "row"):
        everyone = np.zeros((len(patient), 1), np.int16)
        sample = Sample(truth, patient, np.ones(len(patient)), everyone, 300, unit)
        low, high = percentile_interval(sample.replicate(scores)[1, 1:, :, 0], 0.95)
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
        truth = (rng.random((patients, studies)) < 0.3)[patient].astype(float)
        shared = np.sqrt(0.7) * rng.normal(size=(2, patients, studies))[:, patient]
        models = 1.2 * truth + shared + np.sqrt(0.3) * rng.normal(size=shared.shape)
        drawn = rng.multinomial(3 * n, np.full(n, 1 / n)).astype(float)
        for unit, some in (("patient", slice(None)), ("row", slice(20))):
            everyone = np.zeros((n, 1), np.int16)
            sample = Sample(truth[:, some], patient, drawn, everyone, 200, unit)
            a, b = (sample.replicate(scores[:, some])[1, ..., 0] for scores in models)
            p = wald((a - b)[0], standard_error((a - b)[1:]))
            rejected[unit].append((p < 0.05).mean())
    assert np.mean(rejected["patient"]) == pytest.approx(0.05, abs=0.01)
    assert np.mean(rejected["row"]) > 0.4
