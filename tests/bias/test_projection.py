"""PCA against scikit-learn's full SVD, on repeated rows too, and reproducible t-SNE."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from cxrfmkd.bias import projection
from cxrfmkd.runtime.errors import InputError


def _data(n: int, features: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, features)) @ rng.normal(size=(features, features)) + 3).astype(
        np.float32
    )


def _bounds(variances: np.ndarray, kept: int) -> tuple[float, float]:
    """How far rounding in float64 can move the variances, and a coordinate of an axis.

    A covariance and its eigenvalues are off by some hundred units of rounding of its norm, an
    eigenvector by that over the gap to the next eigenvalue (Davis and Kahan 1970).
    """
    error = 100 * np.finfo(float).eps * variances.sum()
    gaps = -np.diff(variances[: kept + 1])
    return error, error / gaps.min()


@pytest.mark.parametrize(("n", "features"), [(400, 30), (40, 120), (30, 30)])
@pytest.mark.parametrize("counted", [False, True])
def test_equals_scikit_learns_full_svd_of_the_repeated_rows(n, features, counted):
    x = _data(n, features)
    counts = np.random.default_rng(1).integers(0, 4, n) if counted else None
    rows = (x if counts is None else np.repeat(x, counts, axis=0)).astype(np.float64)
    expected = PCA(0.99, svd_solver="full").fit(rows)
    result = projection.fit_pca(x, 0.99, 4, counts)
    kept = expected.n_components_
    assert result.sufficient == kept
    error, turn = _bounds(result.variances, kept)
    assert turn < 1e-9  # not so wide that it would say nothing
    shares, variances = expected.explained_variance_ratio_, expected.explained_variance_
    total = result.variances.sum()
    np.testing.assert_allclose(result.ratios[:kept], shares, rtol=0, atol=2 * error / total)
    np.testing.assert_allclose(result.variances[:kept], variances, rtol=0, atol=error)
    np.testing.assert_allclose(result.axes[:kept], expected.components_, rtol=0, atol=turn)
    scores, size = expected.transform(x.astype(float)), np.linalg.norm(x - x.mean(0), axis=1).max()
    np.testing.assert_allclose(result.scores(x)[:, :kept], scores, rtol=0, atol=2 * turn * size)


def test_keeps_the_tested_modes_even_if_one_holds_all_variance():
    x = np.random.default_rng(0).normal(size=(100, 6)) * np.array([1000, 1, 1, 1, 1, 1])
    result = projection.fit_pca(x, 0.99, 4)
    assert result.sufficient == 1
    assert result.scores(x).shape == (100, 4)


def test_blocks_do_not_change_the_result(monkeypatch):
    x = _data(300, 20)
    whole = projection.fit_pca(x, 0.9, 4)
    monkeypatch.setattr(projection, "BLOCK", 7)
    parts = projection.fit_pca(x, 0.9, 4)
    atol = 2 * _bounds(whole.variances, len(whole.axes))[1] * np.linalg.norm(x, axis=1).max()
    assert atol < 1e-7
    np.testing.assert_allclose(parts.scores(x), whole.scores(x), rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((20, 5), np.float32), "the same for all 20 images"),
        (np.full((20, 5), 0.1, np.float32), "the same for all 20 images"),
        (np.ones((1, 5)), "at least two images"),
    ],
)
def test_collapsed_embeddings_are_named(x, message):
    with pytest.raises(InputError, match=message):
        projection.fit_pca(x, 0.99, 4, name="model")


def test_tsne_is_the_same_for_the_same_seed_and_small_sets_have_a_picture():
    x = np.random.default_rng(0).normal(size=(40, 5))
    first = projection.tsne(x, 42)
    assert first.shape == (40, 2)
    assert np.array_equal(first, projection.tsne(x, 42))
    assert not np.array_equal(first, projection.tsne(x, 43))
    assert np.isnan(projection.tsne(x[:3], 42)).all()


def test_tsne_keeps_far_clusters_apart():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(40, 5)), rng.normal(50, size=(40, 5))])
    result = projection.tsne(x, 1)
    centres = result[:40].mean(0), result[40:].mean(0)
    spread = max(result[:40].std(), result[40:].std())
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread


def test_deviations_are_those_of_the_repeated_rows_and_1_where_nothing_varies():
    values = np.random.default_rng(5).normal(size=(30, 4)) * [1, 5, 0, 2]
    counts = np.random.default_rng(6).integers(1, 4, 30)
    repeated = np.repeat(values, counts, axis=0).std(axis=0)
    expected = np.where(repeated > 0, repeated, 1)
    np.testing.assert_allclose(projection.deviations(values, counts), expected)
