"""The law of D: exact p-values of two-sample Kolmogorov-Smirnov tests, each computed once.

Equal to `scipy.stats.ks_2samp` with its defaults, including its change to the asymptotic law above
10,000 images a group. A p-value is kept for every (n_a, n_b, n_a * n_b * D) that was ever asked
for, three whole numbers.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cxrfmkd.runtime.threads import parallel_for

LARGEST_EXACT = 10_000  # scipy.stats.ks_2samp's MAX_AUTO_N
TINY = (
    1e-12  # smaller p-values need every step: halfway, what has left is told by differences from 1
)

_known: dict[int, float] = {}


def p_values(numerators: np.ndarray, n_a: np.ndarray, n_b: np.ndarray) -> np.ndarray:
    """Two-sided p-values of the integers n_a * n_b * D, of any shapes that broadcast; 1 for an empty group."""
    given = (np.asarray(part, np.int64) for part in (numerators, n_a, n_b))
    numerators, n_a, n_b = np.broadcast_arrays(*given)
    small, large = np.minimum(n_a, n_b).ravel(), np.maximum(n_a, n_b).ravel()
    steps, result = numerators.ravel(), np.ones(numerators.size)
    asked, far = (small > 0) & (steps > 0), large > LARGEST_EXACT
    if (asked & far).any():
        result[asked & far] = _asymptotic(*(part[asked & far] for part in (small, large, steps)))
    near = np.flatnonzero(asked & ~far)
    # Sizes below 2^14 and their product below 2^27 make one number, whose order keeps equal sizes
    # together.
    keys, where = np.unique(
        small[near] << 41 | large[near] << 27 | steps[near], return_inverse=True
    )
    distinct = np.array([_known.get(key, np.nan) for key in keys.tolist()])
    new = keys[np.isnan(distinct)]
    exact = np.empty(len(new))
    parts = new >> 41, new >> 27 & (1 << 14) - 1, new & (1 << 27) - 1
    parallel_for(
        lambda start, stop: _exact(*(part[start:stop] for part in parts), exact[start:stop]),
        len(new),
        32,
    )
    distinct[np.isnan(distinct)] = exact
    _known.update(zip(new.tolist(), exact.tolist(), strict=True))
    result[near] = distinct[where]
    return result.reshape(numerators.shape)


def _asymptotic(small: np.ndarray, large: np.ndarray, numerators: np.ndarray) -> np.ndarray:
    """Smirnov's approximation as scipy has it: the one-sample law at the rounded effective size."""
    from scipy.stats import kstwo

    product = small.astype(float) * large
    return np.clip(kstwo.sf(numerators / product, np.round(product / (small + large))), 0, 1)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _exact(small, large, numerators, out):
    """P(max |i m - j n| >= numerator) over all orders of n and m values, by the mass that leaves a
    walk's band.

    An order is a walk from (0, 0) to (n, m). Followed is a free walk, whose steps are the same
    everywhere: to i + 1 with probability n / (n + m), else to j + 1; so the inner loop is two
    products a place. An order is a free walk that ends at (n, m), so what leaves at an edge counts
    `from_high` or `from_low` times: the probability of ending there from that edge, over the one
    from the start. What leaves is summed, so that tiny p-values keep their digits (Hodges 1958,
    section 3).

    Orders read the same from both ends, so that half of the steps is enough, unless the p-value is
    tiny: P(leaves) = 2 P(leaves in the first half) - P(leaves in both).

    mass: probability of each i, at slot i + 1, after an even (first row) or odd number of steps k;
    above, below: i m - j n at the highest and lowest i.
    """
    width = (small.max() if len(small) else 0) + 4
    mass, free = np.zeros((2, width)), np.empty(width)
    order, left = np.empty(width), np.ones(width)
    for test in range(len(out)):
        n, m, bound = small[test], large[test], numerators[test]
        total, half = n + m, (n + m) // 2
        p, q = n / total, m / total
        if test == 0 or n != small[test - 1] or m != large[test - 1]:
            _halfway(n, m, free, order)
        mass[0, 1] = from_low = from_high = 1.0
        low = high = above = below = 0
        outside = 0.0
        for k in range(total):
            now, then = np.uintp(k & 1), np.uintp(1 - (k & 1))
            if k == half and outside > TINY:
                outside = 2 * outside - _twice(n, m, mass[now], low, high, free, order, left)
                break
            mass[now, low] = mass[now, high + 2] = 0.0
            rest = total - k
            if above + m >= bound or high == n:
                outside += mass[now, high + 1] * from_high * (n - high) / rest
                from_high *= (m - k + high) / (rest * q)
                above -= n
            else:
                from_high *= (n - high) / (rest * p)
                high, above = high + 1, above + m
            if n - below >= bound:
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
                mass[then, slot] = mass[now, slot - np.uintp(1)] * p + mass[now, slot] * q
        out[test] = min(outside, 1.0)


@njit(cache=True, nogil=True)
def _halfway(n, m, free, order):
    """Fill in P(i after half of the steps), for i = 0, ..., n, of the free walk and of an order."""
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
def _twice(n, m, inside, low, high, free, order, left):
    """P(an order leaves in both halves), from what is inside halfway; left: scratch, P(left before | i) at i + 1."""
    left[: n + 2] = 1.0
    for i in range(low, high + 1):
        if free[i] > 0:
            left[i + 1] = 1.0 - inside[i + 1] / free[i]
    rest = n + m - (n + m) // 2
    both = 0.0
    for i in range(n + 1):
        after = left[n - i + 1]  # the second half, read from its end
        if (n + m) & 1:  # begins a step later
            after += (n - i) / rest * (left[n - i] - after)
        both += order[i] * left[i + 1] * after
    return both
