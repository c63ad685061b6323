"""The four metrics against scikit-learn on duplicated rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from cxrfmkd.evaluation.metrics import curve, metrics_of, with_averages
from cxrfmkd.evaluation.operating_points import thresholds_at_fpr
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.statistics.intervals import skipped_share
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.findings import AVERAGES, FINDINGS

# float64: a sum of n terms up to 1 is off by n x 1.1e-16 at most, and n is below 2,000 here.
ROUNDING = 1e-12


def by_sklearn(targets, scores, target=0.2):
    """The four metrics as the thesis computed them."""
    fpr, tpr, _ = roc_curve(targets, scores)
    j = tpr - fpr
    return [
        average_precision_score(targets, scores),
        roc_auc_score(targets, scores),
        j.max(),
        j[np.abs(fpr - target).argmin()],
    ]


@st.composite
def weighted_rows(draw):
    """Few distinct scores and small whole weights with zeros: many ties and vanishing vertices."""
    n = draw(st.integers(1, 60))
    rows = st.tuples(st.integers(0, 1), st.integers(0, draw(st.integers(0, 40))), st.integers(0, 3))
    targets, scores, weights = np.array(draw(st.lists(rows, min_size=n, max_size=n))).T
    return targets.astype(float), scores / 7, weights


@settings(max_examples=200, deadline=None)
@given(weighted_rows(), st.sampled_from([0.2, 0.0, 0.1, 0.25, 0.5, 1.0]))
def test_weighted_metrics_equal_metrics_on_duplicated_rows(rows, target):
    targets, scores, weights = rows
    many = np.repeat(targets, weights), np.repeat(scores, weights)
    result = metrics_of(targets, scores, weights, target)[0]
    if len(set(many[0])) < 2:
        assert np.isnan(result).all()
    else:
        np.testing.assert_allclose(result, by_sklearn(*many, target), rtol=0, atol=ROUNDING)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000))
def test_single_precision_scores_of_a_large_sample_agree(seed):
    rng = np.random.default_rng(seed)
    targets = (rng.random(500) < 0.1).astype(float)
    targets[0] = 1
    scores = (rng.normal(size=500) + targets).astype(np.float32)
    np.testing.assert_allclose(
        metrics_of(targets, scores)[0], by_sklearn(targets, scores), atol=ROUNDING
    )


@settings(max_examples=100, deadline=None)
@given(weighted_rows(), st.integers(0, 1000))
def test_metrics_do_not_depend_on_the_scale_of_scores_or_the_order_of_rows(rows, seed):
    targets, scores, weights = rows
    order = np.random.default_rng(seed).permutation(len(targets))
    transformed = metrics_of(targets[order], np.exp(3 * scores[order] - 2), weights[order])
    np.testing.assert_allclose(transformed, metrics_of(targets, scores, weights), atol=ROUNDING)


def test_fractional_weights_agree_with_sample_weight():
    rng = np.random.default_rng(0)
    targets, scores = (rng.random(300) < 0.3).astype(float), rng.integers(0, 50, 300) / 9
    weights = rng.random(300) * (rng.random(300) < 0.8)
    fpr, tpr, _ = roc_curve(targets, scores, sample_weight=weights)
    expected = [
        average_precision_score(targets, scores, sample_weight=weights),
        roc_auc_score(targets, scores, sample_weight=weights),
        (tpr - fpr).max(),
    ]
    np.testing.assert_allclose(metrics_of(targets, scores, weights)[0, :3], expected, atol=ROUNDING)


def test_constant_scores_are_worth_nothing():
    targets = np.array([0, 1, 0, 0, 1.0])
    np.testing.assert_allclose(metrics_of(targets, np.ones(5))[0], [0.4, 0.5, 0, 0])


def test_first_of_two_equally_near_vertices_counts():
    targets = np.array([0, 1, 0, 1, 0, 0, 0, 1, 0.0, 0.0])
    scores = -np.arange(10.0)
    fpr, tpr, _ = roc_curve(targets, scores)
    target = (fpr[2] + fpr[4]) / 2
    expected = (tpr - fpr)[np.abs(fpr - target).argmin()]
    assert metrics_of(targets, scores, None, target)[0, 3] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("targets", [[0, 0, 0], [1, 1, 1], [np.nan] * 3, [1, np.nan, np.nan]])
def test_finding_with_one_class_only_is_blank(targets):
    assert np.isnan(metrics_of(targets, [0.1, 0.2, 0.3])).all()


def test_no_images_at_all_are_blank():
    assert np.isnan(metrics_of(np.empty((0, 2)), np.empty((0, 2)))).all()


def test_left_out_labels_count_for_nothing():
    rng = np.random.default_rng(1)
    targets, scores = rng.integers(0, 2, (80, 3)).astype(float), rng.normal(size=(80, 3))
    out = rng.random((80, 3)) < 0.3
    result = metrics_of(np.where(out, np.nan, targets), scores)
    for k in range(3):
        remaining = ~out[:, k]
        np.testing.assert_allclose(
            result[k], by_sklearn(targets[remaining, k], scores[remaining, k])
        )


def test_groups_are_means_over_the_findings_that_have_a_value():
    values = np.random.default_rng(2).random((14, 4))
    values[FINDINGS.index("Edema")] = np.nan
    result = with_averages(values)
    assert THESIS.rows[14:] == tuple(AVERAGES)
    assert result.shape == (17, 4)
    for row, members in zip(result[14:], AVERAGES.values(), strict=True):
        selected = [FINDINGS.index(name) for name in members if name != "Edema"]
        np.testing.assert_allclose(row, values[selected].mean(axis=0))
    assert np.isnan(with_averages(np.full((14, 4), np.nan))).all()


def test_a_replicate_averages_the_findings_of_the_sample_or_nothing():
    random = np.random.default_rng(3)
    values = random.random((50, 14, 4))
    values[:, FINDINGS.index("Fracture")] = np.nan  # undefined in the sample: no member
    skipped = np.arange(1, 50, 3)
    values[skipped, FINDINGS.index("Edema")] = np.nan  # undefined in some replicates
    macro = with_averages(values, values[0])[:, THESIS.rows.index("Macro")]
    members = [i for i, name in enumerate(FINDINGS) if name != "Fracture"]
    np.testing.assert_allclose(macro, values[:, members].mean(axis=1))
    assert np.isnan(macro[skipped]).all()
    share = skipped_share(macro)
    np.testing.assert_allclose(share, len(skipped) / 49)
    assert np.isnan(skipped_share(macro[:1])).all()


@settings(max_examples=100, deadline=None)
@given(weighted_rows(), st.sampled_from([0.2, 0.5]))
def test_threshold_is_that_of_the_nearest_vertex(rows, target):
    targets, scores, weights = rows
    many = np.repeat(targets, weights), np.repeat(scores, weights)
    result = thresholds_at_fpr(targets, scores, weights, target)[0]
    if len(set(many[0])) < 2:
        assert np.isnan(result)
    else:
        fpr, _, thresholds = roc_curve(*many)
        assert result == thresholds[np.abs(fpr - target).argmin()]


@settings(max_examples=100, deadline=None)
@given(weighted_rows())
def test_curve_has_a_vertex_for_every_score_that_counts(rows):
    targets, scores, weights = rows
    many = np.repeat(targets, weights), np.repeat(scores, weights)
    thresholds, tp, fp = curve(targets, scores, weights)
    if len(set(many[0])) == 2:
        fpr, tpr, expected = roc_curve(*many, drop_intermediate=False)
        np.testing.assert_array_equal(thresholds, expected)
        np.testing.assert_allclose(tp / tp[-1], tpr)
        np.testing.assert_allclose(fp / fp[-1], fpr)


@pytest.mark.parametrize(
    ("targets", "scores", "weights", "message"),
    [
        ([0, 1], [0.1, 0.2, 0.3], None, "same rows"),
        ([0, 1], [0.1, 0.2], [1], "same rows"),
        ([0, -1], [0.1, 0.2], None, "found \\[-1.0\\]"),
        ([0, 1], [0.1, np.nan], None, "1 scores are not finite"),
        ([0, 1], [0.1, np.inf], None, "1 scores are not finite"),
        ([0, 1], [0.1, 0.2], [1, -1], "1 weights are negative"),
    ],
)
def test_unusable_input_is_an_error(targets, scores, weights, message):
    with pytest.raises(InputError, match=message):
        metrics_of(targets, scores, weights)
