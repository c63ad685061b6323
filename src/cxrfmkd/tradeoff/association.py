"""Rank correlation over models that come in families and kinds, which are crossed.

Models of one family (all that one student feeds, say) share their embedding, and models of one kind
(all fine-tunes, say) share how they were trained; neither is evidence for a relation of two
measures. So models are ranked within their kind, ranks are averaged within families, and families
are exchanged. The statistic is divided by its standard error for every exchange, so that families
of one model, whose means scatter more, do not upset the level (DiCiccio and Romano 2017).
"""

from __future__ import annotations

from itertools import permutations
from math import factorial
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

PERMUTATIONS = 10_000
FEWEST_FAMILIES = 5  # of four, the smallest two-sided p-value is 2 / 24
CONFIDENCE = 0.95


class Association(NamedTuple):
    """Rank correlation within kinds and between families, interval and two-sided p-value."""

    correlation: float
    low: float
    high: float
    p: float


NONE = Association(np.nan, np.nan, np.nan, np.nan)


def ranks_within(values: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Centred ranks within each kind, as shares of its size, (n,); NaN for a model alone there."""
    ranks = np.full(len(values), np.nan)
    for kind in np.unique(kinds):
        members = np.flatnonzero(kinds == kind)
        if len(members) > 1:
            centre = (len(members) + 1) / 2
            ranks[members] = (rankdata(values[members]) - centre) / len(members)
    return ranks


def family_ranks(values: np.ndarray, families: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Mean rank of each family, centred over the families, (families,).

    Families are in the order of their names; those whose models are all alone in their kind are
    left out.
    """
    ranks = ranks_within(values, kinds)
    ranked = ~np.isnan(ranks)
    _, members = np.unique(families[ranked], return_inverse=True)
    means = np.bincount(members, ranks[ranked]) / np.bincount(members)
    return means - means.mean() if len(means) else means


def association(
    pairs: list[tuple[np.ndarray, np.ndarray]], families: np.ndarray, kinds: np.ndarray, seed: int
) -> Association:
    """The mean of the correlations of several pairs of measures of the same models.

    pairs: x and y of each pair, (n,) each, without NaN; families, kinds: (n,). The interval has the
    values that lie as near as exchanged families come in 95 % of exchanges, on Fisher's scale; it
    excludes 0 where p is below 0.05. NaN where a side does not vary; no interval and no p with
    fewer than FEWEST_FAMILIES.
    """
    sides = [tuple(family_ranks(side, families, kinds) for side in pair) for pair in pairs]
    count = len(sides[0][0])
    if any(len(side) < 2 or np.ptp(side) < 1e-9 for pair in sides for side in pair):
        return NONE
    orders = _orders(count, seed) if count >= FEWEST_FAMILIES else np.arange(count)[None]
    correlation, error = np.zeros((2, len(orders)))
    for x, y in sides:
        products = x * y[orders]
        scale = np.sqrt((x**2).sum() * (y**2).sum()) * len(sides)
        correlation += products.sum(1) / scale
        error += np.sqrt((products**2).sum(1)) / scale
    if count < FEWEST_FAMILIES:
        return NONE._replace(correlation=float(correlation[0]))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.nan_to_num(np.abs(correlation) / error)
    p = np.mean(statistic >= statistic[0] - 1e-9)
    reach = np.quantile(statistic, CONFIDENCE, method="higher") * error[0]
    low, high = _within_reach(correlation[0], reach)
    return Association(float(correlation[0]), low, high, float(p))


def _orders(count: int, seed: int) -> np.ndarray:
    """Exchanges of families, the first of them none: all, or a random sample of many."""
    if factorial(count) <= PERMUTATIONS:
        return np.array(list(permutations(range(count))))
    rng = np.random.default_rng(seed)
    random = rng.permuted(np.tile(np.arange(count), (PERMUTATIONS - 1, 1)), axis=1)
    return np.vstack([np.arange(count), random])


def _within_reach(correlation: float, reach: float) -> tuple[float, float]:
    """Correlations as far from `correlation` as `reach` is from 0, on Fisher's scale."""
    if reach >= 1:
        return -1.0, 1.0
    centre = np.arctanh(np.clip(correlation, -1 + 1e-9, 1 - 1e-9))
    low, high = np.tanh(centre + np.array([-1, 1]) * np.arctanh(reach))
    return float(low), float(high)
