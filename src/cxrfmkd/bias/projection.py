"""Principal components and t-SNE of embeddings."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from cxrfmkd.runtime.errors import InputError

BLOCK = 4096


@dataclass(frozen=True)
class Components:
    """A fitted PCA, without whitening or scaling of features, as the thesis's (method, section
    7.1).

    mean: (features,); axes: (kept, features), orthonormal, signed so that each one's largest entry
    is positive;
    variances: (features or fewer,) all eigenvalues, descending, ddof 1; kept: components that reach
    the wanted share of variance, and no fewer than the modes that are tested. float64.
    """

    mean: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    wanted: int

    @property
    def ratios(self) -> np.ndarray:
        """Share of the variance of every kept component."""
        return self.variances[: len(self.axes)] / self.variances.sum()

    def scores(self, embeddings: np.ndarray, components: int | None = None) -> np.ndarray:
        """Coordinates of embeddings (n, features) on the first `components` axes, float64 (n, components)."""
        axes = self.axes[:components]
        result = np.empty((len(embeddings), len(axes)))
        for start in range(0, len(embeddings), BLOCK):
            block = np.asarray(embeddings[start : start + BLOCK], np.float64)
            result[start : start + BLOCK] = (block - self.mean) @ axes.T
        return result


def fit(
    embeddings: np.ndarray,
    variance: float,
    modes: int,
    counts: np.ndarray | None = None,
    name: str = "embeddings",
) -> Components:
    """PCA of embeddings (n, features) to a share of the variance in (0, 1], each row counted
    `counts` times.

    Equal to scikit-learn's full SVD of the rows repeated that often, by the eigenvectors of the
    covariance (or, with fewer rows than features, the singular vectors of the centred rows).
    """
    counts = np.ones(len(embeddings)) if counts is None else np.asarray(counts, np.float64)
    used = np.flatnonzero(counts)
    embeddings, counts = embeddings[used], counts[used]
    n, features = embeddings.shape
    total = counts.sum()
    if total < 2:
        raise InputError(f"{name}: PCA needs two images at the least, there is {n}.")
    mean = np.zeros(features)
    for start in range(0, n, BLOCK):
        mean += counts[start : start + BLOCK] @ np.asarray(
            embeddings[start : start + BLOCK], np.float64
        )
    mean /= total
    if n <= features:
        centred = (np.asarray(embeddings, np.float64) - mean) * np.sqrt(counts)[:, None]
        _, singular, axes = np.linalg.svd(centred, full_matrices=False)
        variances = singular**2 / (total - 1)
    else:
        covariance = np.zeros((features, features))
        for start in range(0, n, BLOCK):
            block = np.asarray(embeddings[start : start + BLOCK], np.float64) - mean
            covariance += (block * counts[start : start + BLOCK, None]).T @ block
        values, vectors = np.linalg.eigh(covariance / (total - 1))
        variances, axes = np.maximum(values[::-1], 0), vectors.T[::-1]
    if not np.isfinite(variances).all():
        raise InputError(f"{name}: the embeddings hold NaN or infinite numbers. Make them again.")
    if variances[0] <= 1e-24 * max(1.0, float(np.abs(mean).max()) ** 2):
        raise InputError(
            f"{name}: the embedding is the same for all {n} images, so there is nothing to "
            "analyse. "
            "The network has collapsed; train it again with another loss or rate."
        )
    shares = np.cumsum(variances / variances.sum())
    wanted = (
        int(np.searchsorted(shares, variance, side="right")) + 1 if variance < 1 else len(shares)
    )
    kept = min(max(wanted, modes), len(variances))
    axes = axes[:kept]
    largest = np.abs(axes).argmax(1)
    axes = axes * np.where(axes[np.arange(kept), largest] < 0, -1.0, 1.0)[:, None]
    return Components(mean, axes, variances, wanted)


def tsne(scores: np.ndarray, seed: int) -> np.ndarray:
    """Two coordinates for a picture, float64 (n, 2), from PCA scores (n, components); for looking,
    not testing.

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
