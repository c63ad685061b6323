"""Ridge regression with the penalty of the least generalised cross-validation error."""

from __future__ import annotations

import numpy as np


def ridge_slopes(
    gram: np.ndarray,
    products: np.ndarray,
    squares: np.ndarray,
    n: int,
    penalties: np.ndarray,
    shared: bool = False,
) -> np.ndarray:
    """Slopes, float64 (f, t), of ridge regressions of t targets on f features, all centred.

    gram: (f, f), sums or means over the n rows of the products of the features; products: (f, t),
    those of features and targets; squares: (t,), those of the targets; penalties: added to gram's
    diagonal. Each regression has the penalty that suits it best, or all have one if `shared`; ties:
    the first. The bias is one degree of freedom. Source: Golub, Heath and Wahba 1979.
    """
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 0)
    rotated = vectors.T @ products
    shrinkage = 1 / (values + penalties[:, None])
    residual = squares - (shrinkage * (2 - values * shrinkage)) @ rotated**2
    freedom = (values * shrinkage).sum(1) + 1
    if shared:
        residual = residual.sum(1, keepdims=True)
    error = residual / np.maximum(n - freedom, 1e-9)[:, None] ** 2
    return vectors @ (rotated / (values[:, None] + penalties[error.argmin(0)]))
