"""Principal components and t-SNE of embeddings."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from cxrfmkd.runtime.errors import InputError

BLOCK = 4096


@dataclass(frozen=True)
class PrincipalComponents:
    """A fitted PCA, without whitening or scaling of features (thesis method, section 7.1).

    mean: (features,); axes: (kept, features), orthonormal, signed so that each one's largest entry
    is positive; variances: (features or fewer,) all eigenvalues, descending, ddof 1; sufficient:
    how many components reach the requested share of variance. At least as many are kept as modes
    are tested. float64.
    """

    mean: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    sufficient: int

    @property
    def ratios(self) -> np.ndarray:
        """Share of the variance of every kept component."""
        return self.variances[: len(self.axes)] / self.variances.sum()

    def scores(self, embeddings: np.ndarray, components: int | None = None) -> np.ndarray:
        """Coordinates of embeddings (n, features) on the first axes, float64 (n, components)."""
        axes = self.axes[:components]
        result = np.empty((len(embeddings), len(axes)))
        for rows in _blocks(len(embeddings)):
            block = np.asarray(embeddings[rows], np.float64)
            result[rows] = (block - self.mean) @ axes.T
        return result


def _blocks(n: int) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, n, BLOCK)]


def fit_pca(
    embeddings: np.ndarray,
    variance: float,
    modes: int,
    counts: np.ndarray | None = None,
    name: str = "embeddings",
) -> PrincipalComponents:
    """PCA of embeddings (n, features) to a share of the variance in (0, 1].

    counts: (n,), how often each row counts. Equal to scikit-learn's full SVD of the rows repeated
    that often, by the eigenvectors of the covariance (or, with fewer rows than features, the
    singular vectors of the centred rows). Raises InputError, which says `name`, where the
    embeddings do not vary or are not finite.
    """
    counts = np.ones(len(embeddings)) if counts is None else np.asarray(counts, np.float64)
    used = np.flatnonzero(counts)
    embeddings, counts = embeddings[used], counts[used]
    n, features = embeddings.shape
    total = counts.sum()
    if total < 2:
        raise InputError(f"{name}: PCA needs at least two images, there is {n}.")
    mean = np.zeros(features)
    for rows in _blocks(n):
        mean += counts[rows] @ np.asarray(embeddings[rows], np.float64)
    mean /= total
    if n <= features:
        centred = (np.asarray(embeddings, np.float64) - mean) * np.sqrt(counts)[:, None]
        _, singular, axes = np.linalg.svd(centred, full_matrices=False)
        variances = singular**2 / (total - 1)
    else:
        covariance = np.zeros((features, features))
        for rows in _blocks(n):
            block = np.asarray(embeddings[rows], np.float64) - mean
            covariance += (block * counts[rows, None]).T @ block
        values, vectors = np.linalg.eigh(covariance / (total - 1))
        variances, axes = np.maximum(values[::-1], 0), vectors.T[::-1]
    if not np.isfinite(variances).all():
        raise InputError(f"{name}: the embeddings hold NaN or infinite numbers. Make them again.")
    if variances[0] <= 1e-24 * max(1.0, float(np.abs(mean).max()) ** 2):
        raise InputError(
            f"{name}: the embedding is the same for all {n} images, so there is nothing to "
            "analyse. The network has collapsed; train it again with another loss or rate."
        )
    shares = np.cumsum(variances / variances.sum())
    sufficient = int(np.searchsorted(shares, variance, side="right")) + 1
    if variance >= 1:
        sufficient = len(shares)
    axes = axes[: min(max(sufficient, modes), len(variances))]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1)
    return PrincipalComponents(mean, axes * np.where(largest < 0, -1.0, 1.0), variances, sufficient)


def deviations(embeddings: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """Standard deviation of every dimension of embeddings (n, features); 1 where there is none.

    counts: (n,), how often each row counts.
    """
    mean = np.average(embeddings, axis=0, weights=counts)
    variance = np.average((embeddings - mean) ** 2, axis=0, weights=counts)
    return np.where(variance > 0, np.sqrt(variance), 1.0)


def tsne(scores: np.ndarray, seed: int) -> np.ndarray:
    """Two coordinates for a picture, float64 (n, 2), from PCA scores (n, components).

    openTSNE with the thesis's settings: random start, perplexity 30 (less for fewer than 100
    images, which have not enough neighbours), automatic rate. The same seed gives the same picture,
    bit by bit.
    """
    from openTSNE import TSNE

    logging.getLogger("openTSNE").setLevel(logging.WARNING)
    n = len(scores)
    if n < 5:
        return np.full((n, 2), np.nan)
    embedding = TSNE(
        perplexity=min(30.0, (n - 1) / 3),
        initialization="random",
        neighbors="exact" if n <= 10_000 else "annoy",
        negative_gradient_method="bh" if n <= 10_000 else "fft",
        random_state=seed,
        n_jobs=1,
    ).fit(np.ascontiguousarray(scores))
    return np.asarray(embedding, np.float64)
