"""Two-sample tests by name: the thesis's choice, and others that its code knew (method, section 7.2)."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from cxrfmkd.bias.ks import ks_2samp, sort_once, statistics

PERMUTATIONS, BLOCK, SEED = 10_000, 500, 42


def mann_whitney(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """U of the first sample and its two-sided p-value, scipy's defaults."""
    from scipy.stats import mannwhitneyu

    found = mannwhitneyu(a, b)
    return float(found.statistic), float(found.pvalue)


def cramer_von_mises(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """T and its p-value, scipy's defaults."""
    from scipy.stats import cramervonmises_2samp

    found = cramervonmises_2samp(a, b)
    return float(found.statistic), float(found.pvalue)


def anderson_darling(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The normalised statistic and its p-value from scipy's table, which ends at 0.001 and 0.25."""
    from scipy.stats import anderson_ksamp

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="p-value")
        found = anderson_ksamp([a, b], variant="midrank")
    return float(found.statistic), float(found.pvalue)


def permutation_ks(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """D and its p-value by random permutations: (reached + 1) / (10,000 + 1), seed 42 in every call."""
    both = np.concatenate([a, b])
    labels = (np.arange(len(both)) >= len(a)).astype(np.int8)
    order, pair, everyone = sort_once(both[:, None]), np.array([[0, 0, 1]]), np.arange(len(both))
    observed = statistics(order, labels[None], pair, everyone[None]).numerators.item()
    rng, reached = np.random.default_rng(SEED), 0
    for _ in range(0, PERMUTATIONS, BLOCK):
        shuffled = rng.permuted(np.tile(labels, (BLOCK, 1)), axis=1)[:, None]
        found = statistics(order, shuffled, pair, everyone[None])
        reached += int(np.count_nonzero(found.numerators >= observed))
    return observed / (len(a) * len(b)), (reached + 1) / (PERMUTATIONS + 1)


TESTS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[float, float]]] = {
    "ks": ks_2samp,
    "mann-whitney": mann_whitney,
    "cramer-von-mises": cramer_von_mises,
    "anderson-darling": anderson_darling,
    "permutation-ks": permutation_ks,
}
