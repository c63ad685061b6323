"""Two-sample tests by name: the thesis's, and others of its code (method, section 7.2)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy import stats

from cxrfmkd.bias.ks import ks_2samp, ks_tests, sort_scores

PERMUTATIONS, BLOCK, SEED = 10_000, 500, 42


def scipy_test(name: str, a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Statistic and two-sided p-value of a test of scipy.stats with its defaults."""
    result = getattr(stats, name)(a, b)
    return float(result.statistic), float(result.pvalue)


def anderson_darling(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The normalised statistic and its p-value from scipy's table, which ends at 0.001 and 0.25."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="p-value")
        result = stats.anderson_ksamp([a, b], variant="midrank")
    return float(result.statistic), float(result.pvalue)


def permutation_ks(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """D and its p-value by 10,000 random permutations, always with seed 42."""
    both = np.concatenate([a, b])
    labels = (np.arange(len(both)) >= len(a)).astype(np.int8)
    scores, pair = sort_scores(both[:, None]), np.array([[0, 0, 1]])
    observed = ks_tests(scores, labels[None], pair).numerators.item()
    rng, reached = np.random.default_rng(SEED), 0
    for _ in range(0, PERMUTATIONS, BLOCK):
        shuffled = rng.permuted(np.tile(labels, (BLOCK, 1)), axis=1)[:, None]
        reached += int((ks_tests(scores, shuffled, pair).numerators >= observed).sum())
    return observed / (len(a) * len(b)), (reached + 1) / (PERMUTATIONS + 1)


TESTS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[float, float]]] = {
    "ks": ks_2samp,
    "mann-whitney": partial(scipy_test, "mannwhitneyu"),
    "cramer-von-mises": partial(scipy_test, "cramervonmises_2samp"),
    "anderson-darling": anderson_darling,
    "permutation-ks": permutation_ks,
}
