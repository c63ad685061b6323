"""Null distribution of the two-sample Kolmogorov-Smirnov statistic D: exact p-values, cached.

Equal to `scipy.stats.ks_2samp` with its defaults, including its change to the asymptotic
distribution above 10,000 images a group. A p-value is kept for every (n_a, n_b, n_a * n_b * D),
three whole numbers, that it was computed for.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy.stats import kstwo

from cxrfmkd.runtime.threads import parallel_for

LARGEST_EXACT = 10_000  # scipy.stats.ks_2samp's MAX_AUTO_N
# Smaller p-values are summed over every step: `_leaves_in_both_halves` subtracts from 1.
TINY = 1e-12

_cache: dict[int, float] = {}


def clear_cache() -> None:
    """Forget all p-values, as a benchmark must."""
    _cache.clear()


def p_values(numerators: np.ndarray, n_a: np.ndarray, n_b: np.ndarray) -> np.ndarray:
    """Two-sided p-values of the integers n_a * n_b * D; 1 where a group is empty.

    The arguments may have any shapes that broadcast to that of the result.
    """
    arguments = (np.asarray(values, np.int64) for values in (numerators, n_a, n_b))
    numerators, n_a, n_b = np.broadcast_arrays(*arguments)
    small, large = np.minimum(n_a, n_b).ravel(), np.maximum(n_a, n_b).ravel()
    steps, result = numerators.ravel(), np.ones(numerators.size)
    differs, many = (small > 0) & (steps > 0), large > LARGEST_EXACT
    if (differs & many).any():
        far = differs & many
        result[far] = _asymptotic(small[far], large[far], steps[far])
    near = np.flatnonzero(differs & ~many)
    # Sizes below 2^14 and their product below 2^27 make one number, whose order keeps equal sizes
    # together.
    packed = small[near] << 41 | large[near] << 27 | steps[near]
    keys, where = np.unique(packed, return_inverse=True)
    p = np.array([_cache.get(key, np.nan) for key in keys.tolist()])
    new = keys[np.isnan(p)]
    exact = np.empty(len(new))
    n, m, numerator = new >> 41, new >> 27 & (1 << 14) - 1, new & (1 << 27) - 1

    def work(start: int, stop: int) -> None:
        block = slice(start, stop)
        _exact(n[block], m[block], numerator[block], exact[block])

    parallel_for(work, len(new), 32)
    p[np.isnan(p)] = exact
    _cache.update(zip(new.tolist(), exact.tolist(), strict=True))
    result[near] = p[where]
    return result.reshape(numerators.shape)


def _asymptotic(small: np.ndarray, large: np.ndarray, numerators: np.ndarray) -> np.ndarray:
    """Smirnov's approximation as in scipy: the one-sample distribution at the effective size."""
    product = small.astype(float) * large
    return np.clip(kstwo.sf(numerators / product, np.round(product / (small + large))), 0, 1)


@njit(cache=True, nogil=True)
def _exact(small, large, numerators, out):
    """Fill `out` with P(max |i m - j n| >= numerator) over all orders of n and m values.

    An order of the values is a path of n steps of the first kind and m of the second; after k
    steps, i of the first kind, the distance of the distribution functions is |i m - j n| / (n m)
    with j = k - i. The p-value is the probability of the paths that leave the band in which it is
    below the bound (Hodges 1958, section 3). Equal sizes should stand together.
    """
    width = (small.max() if len(small) else 0) + 4
    mass, left = np.zeros((2, width)), np.ones(width)
    free, order = np.empty(width), np.empty(width)
    for test in range(len(out)):
        n, m = small[test], large[test]
        if test == 0 or n != small[test - 1] or m != large[test - 1]:
            _halfway(n, m, free, order)
        out[test] = min(_leaving(n, m, numerators[test], mass, free, order, left), 1.0)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _leaving(n, m, bound, mass, free, order, left):
    """Probability that a random order leaves the band |i m - j n| < bound.

    Followed is a free walk, whose every step is of the first kind with probability n / (n + m): the
    same everywhere, so that the inner loop is two products a place. An order is a free walk that
    ends at (n, m); what leaves the band at an edge therefore counts `from_high` or `from_low`
    times: the probability of ending there from that edge, over the one from the start. What leaves
    is summed, so that tiny p-values keep their digits.

    Orders read the same from both ends, so half of the steps are enough unless the p-value is tiny:
    P(leaves) = 2 P(leaves in the first half) - P(leaves in both).

    mass: scratch (2, n + 4), probability of each i, at slot i + 1, after an even (first row) or odd
    number of steps k; free, order: from `_halfway`; left: scratch (n + 4,). `low` to `high` are the
    i inside the band, `above` and `below` are i m - j n at the highest and the lowest.
    """
    total, half = n + m, (n + m) // 2
    p, q = n / total, m / total
    mass[0, 1] = from_low = from_high = 1.0
    low = high = above = below = 0
    outside = 0.0
    for k in range(total):
        now, after = np.uintp(k & 1), np.uintp(1 - (k & 1))
        if k == half and outside > TINY:
            both = _leaving_in_both_halves(n, m, mass[now], low, high, free, order, left)
            return 2 * outside - both
        mass[now, low] = mass[now, high + 2] = 0.0
        rest = total - k
        if above + m >= bound or high == n:  # a step of the first kind leaves at the upper edge
            outside += mass[now, high + 1] * from_high * (n - high) / rest
            from_high *= (m - k + high) / (rest * q)
            above -= n
        else:
            from_high *= (n - high) / (rest * p)
            high, above = high + 1, above + m
        if n - below >= bound:  # a step of the second kind leaves at the lower edge
            outside += mass[now, low + 1] * from_low * (m - k + low) / rest
            from_low *= (n - low) / (rest * p)
            low, below = low + 1, below + m
        else:
            from_low *= (m - k + low) / (rest * q)
            below -= n
        if high < low:
            break
        for offset in range(high - low + 1):
            # Unsigned, or the compiler would look for negative indices and not vectorise.
            slot = np.uintp(low + 1) + np.uintp(offset)
            mass[after, slot] = mass[now, slot - np.uintp(1)] * p + mass[now, slot] * q
    return outside


@njit(cache=True, nogil=True)
def _halfway(n, m, free, order):
    """Fill in P(i after half of the steps), i = 0, ..., n, of the free walk and a random order."""
    half, mode = (n + m) // 2, n // 2
    free[mode] = order[mode] = 1.0
    for i in range(mode, 0, -1):
        back = i / (half - i + 1)
        free[i - 1] = free[i] * back * m / n
        order[i - 1] = order[i] * back * (m - half + i) / (n - i + 1)
    for i in range(mode, n):
        on = (half - i) / (i + 1)
        free[i + 1] = free[i] * on * n / m
        order[i + 1] = order[i] * on * (n - i) / (m - half + i + 1)
    total, beyond, i = free[: n + 1].sum(), free[n], n
    while beyond > 1e-18 * total:
        beyond *= (half - i) / (i + 1) * n / m
        total += beyond
        i += 1
    free[: n + 1] /= total
    order[: n + 1] /= order[: n + 1].sum()


@njit(cache=True, nogil=True)
def _leaving_in_both_halves(n, m, mass, low, high, free, order, left):
    """P(a random order leaves in both halves), from the `mass` that is inside halfway.

    left: scratch, at slot i + 1 the probability of having left before, given i halfway.
    """
    left[: n + 2] = 1.0
    for i in range(low, high + 1):
        if free[i] > 0:
            left[i + 1] = 1.0 - mass[i + 1] / free[i]
    rest = n + m - (n + m) // 2
    both = 0.0
    for i in range(n + 1):
        after = left[n - i + 1]  # the second half, read from its end
        if (n + m) & 1:  # begins a step later
            after += (n - i) / rest * (left[n - i] - after)
        both += order[i] * left[i + 1] * after
    return both
