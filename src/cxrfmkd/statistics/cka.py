"""Linear centred kernel alignment of two representations of the same images."""

from __future__ import annotations

import numpy as np


def linear_cka(x: np.ndarray, y: np.ndarray, debiased: bool = False) -> float:
    """Alignment of x, (n, p), and y, (n, q), of the same images; 0 where one is constant.

    1 for representations that are equal up to rotation, shift and scale (Kornblith et al. 2019).
    `debiased` uses the unbiased estimate of HSIC (Song et al. 2012), whose expectation is 0 for
    unrelated representations however many dimensions they have; it needs n > 3 and can be negative.
    """
    x, y = (np.asarray(a, np.float64) - np.mean(a, 0, dtype=np.float64) for a in (x, y))
    n = len(x)

    def hsic(a: np.ndarray, b: np.ndarray) -> float:
        product = np.square(a.T @ b).sum()
        if not debiased:
            return product
        lengths_a, lengths_b = (np.square(rows).sum(1) for rows in (a, b))
        product -= n / (n - 2) * (lengths_a @ lengths_b)
        return product + lengths_a.sum() * lengths_b.sum() / ((n - 1) * (n - 2))

    scale = hsic(x, x) * hsic(y, y)
    return float(hsic(x, y) / np.sqrt(scale)) if scale > 0 else 0.0
