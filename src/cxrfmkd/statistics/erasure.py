"""Least-squares concept erasure: the smallest change after which nothing linear tells groups.

LEACE (Belrose et al. 2023, theorem 4.3): of all affine maps after which features and groups have
no covariance, so that no linear classifier does better than a constant, the one that moves the
features least. Features are whitened, what the whitened covariance with the groups spans is
projected out, and the whitening is undone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BLOCK = 8192
# Directions with less than this share of the largest variance hold rounding alone.
SMALLEST = 1e-10


class Moments(NamedTuple):
    """Mean (f,) and the principal axes of features: variances (k,), axes (f, k), float64."""

    mean: np.ndarray
    variances: np.ndarray
    axes: np.ndarray


class Eraser(NamedTuple):
    """x - ((x - mean) @ read.T) @ write.T. mean: (f,); read: (k, f); write: (f, k); float64."""

    mean: np.ndarray
    read: np.ndarray
    write: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Features (n, f) without what tells the groups, of the same type."""
        found = (np.asarray(features, np.float64) - self.mean) @ self.read.T
        return (features - found @ self.write.T).astype(features.dtype)


def moments(features: np.ndarray) -> Moments:
    """Mean and principal axes of features (n, f), of the axes along which they vary."""
    mean = features.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((len(mean), len(mean)))
    for start in range(0, len(features), BLOCK):
        block = features[start : start + BLOCK] - mean
        covariance += block.T @ block
    variances, axes = np.linalg.eigh(covariance / len(features))
    kept = variances > SMALLEST * variances[-1]
    return Moments(mean, variances[kept], axes[:, kept])


def fit_eraser(features: np.ndarray, codes: np.ndarray, of: Moments) -> Eraser:
    """The eraser of groups, fitted on features (n, f). of: their `moments`.

    codes: (n,), the group of each row, negative where it is unknown; such rows count for the
    moments alone. With fewer than two groups nothing is erased.
    """
    known = codes >= 0
    groups = np.unique(codes[known])
    covariance = np.zeros((len(of.mean), len(groups)))
    if len(groups) > 1:
        member = (codes[known][:, None] == groups).astype(np.float64)
        member -= member.mean(axis=0)
        rows = np.flatnonzero(known)
        for start in range(0, len(rows), BLOCK):
            part = slice(start, start + BLOCK)
            covariance += (features[rows[part]] - of.mean).T @ member[part]
        covariance /= len(rows)
    scale = np.sqrt(of.variances)
    whitened = (of.axes.T @ covariance) / scale[:, None]
    directions, sizes, _ = np.linalg.svd(whitened, full_matrices=False)
    directions = directions[:, sizes > 1e-9 * max(sizes.max(initial=0), 1e-30)]
    read = (directions / scale[:, None]).T @ of.axes.T
    return Eraser(of.mean, read, of.axes @ (directions * scale[:, None]))
