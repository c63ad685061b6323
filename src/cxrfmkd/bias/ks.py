"""Exact two-sample Kolmogorov-Smirnov tests in bulk.

The scores of a mode are sorted once. A sample's statistic is then one walk along that order for all comparisons
at a time, kept as the integer n_a * n_b * D, and its exact p-value is computed once for every distinct
(n_a, n_b, n_a * n_b * D). Equal to `scipy.stats.ks_2samp` with its defaults, including its change to the
asymptotic distribution above 10,000 images a group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from cxrfmkd.threads import share

LARGEST_EXACT = 10_000  # scipy.stats.ks_2samp's MAX_AUTO_N
TRUE, TRUE_PLUS = 0.05, 0.001  # bounds of the thesis's bands (method, section 7.1)
BANDS = ("FALSE", "TRUE", "TRUE+")

_known: dict[tuple[int, int, int], float] = {}


@dataclass(frozen=True)
class Statistics:
    """Statistics of many samples.

    numerators: int64 (samples, modes, comparisons), n_a * n_b * D; sizes: int64 (samples, comparisons, 2).
    """

    numerators: np.ndarray
    sizes: np.ndarray

    @property
    def d(self) -> np.ndarray:
        """D, float64 (samples, modes, comparisons); 0 where a group is empty."""
        return self.numerators / np.maximum(self.sizes.prod(-1), 1)[:, None]

    def p_values(self) -> np.ndarray:
        """Two-sided p-values, float64 (samples, modes, comparisons); 1 where a group is empty."""
        return p_values(self.numerators, self.sizes[:, None, :, 0], self.sizes[:, None, :, 1])

    def adjusted(self) -> np.ndarray:
        """The p-values adjusted by Benjamini and Yekutieli, each sample's tests being one family."""
        p = self.p_values()
        return benjamini_yekutieli(p.reshape(len(p), -1)).reshape(p.shape)


def sort_once(scores: np.ndarray) -> np.ndarray:
    """Ranks of `scores`, shape (n, modes), any float type without NaN: int64 (modes, n), tied values share one."""
    columns = np.ascontiguousarray(scores.T)
    order = np.argsort(columns, axis=1, kind="stable")
    values = np.take_along_axis(columns, order, 1)
    new = np.zeros(order.shape, np.int64)
    new[:, 1:] = values[:, 1:] != values[:, :-1]
    ranks = np.empty_like(new)
    np.put_along_axis(ranks, order, np.cumsum(new, 1), 1)
    return ranks


def statistics(
    ranks: np.ndarray, codes: np.ndarray, pairs: np.ndarray, draws: np.ndarray
) -> Statistics:
    """Statistics of `draws`, each a set of images, under `codes`.

    ranks: as `sort_once` returns them; codes: int8 (attributes, n), or (samples, attributes, n) for a labelling of
    each sample's own; pairs: int64 (comparisons, 3) of attribute, group a, group b; draws: int (samples, size) of
    distinct images, or (1, size) for the same images under every labelling.
    """
    codes = np.ascontiguousarray(codes if codes.ndim == 3 else codes[None])
    samples, size = max(len(codes), len(draws)), draws.shape[1]
    numerators = np.empty((samples, len(ranks), len(pairs)), np.int64)
    sizes = np.empty((samples, len(pairs), 2), np.int64)
    bits = size.bit_length()

    def ordered(rows: np.ndarray) -> np.ndarray:
        """Rank and position in the sample as one number, sorted: (samples, modes, size)."""
        keys = np.moveaxis(ranks[:, rows], 0, 1) << bits
        keys |= np.arange(size)
        keys.sort(-1)
        return keys

    fixed = ordered(draws) if len(draws) == 1 else None

    def work(start: int, stop: int) -> None:
        rows = draws if fixed is not None else draws[start:stop]
        keys = fixed if fixed is not None else ordered(rows)
        own = codes if len(codes) == 1 else codes[start:stop]
        _walk(keys, bits, own, pairs, rows, numerators[start:stop], sizes[start:stop])

    share(work, samples, 16)
    return Statistics(numerators, sizes)


@njit(cache=True, nogil=True)
def _walk(keys, bits, codes, pairs, draws, numerators, sizes):
    size, comparisons = draws.shape[1], len(pairs)
    steps = np.empty((comparisons, size), np.int64)
    order, last = np.empty(size, np.int64), np.empty(size, np.bool_)
    for sample in range(len(sizes)):
        code = codes[sample if len(codes) > 1 else 0]
        rows = draws[sample if len(draws) > 1 else 0]
        key = keys[sample if len(keys) > 1 else 0]
        for c in range(comparisons):
            attribute, a, b = pairs[c]
            n_a = n_b = 0
            for j in range(size):
                own = code[attribute, rows[j]]
                n_a += own == a
                n_b += own == b
            sizes[sample, c, 0], sizes[sample, c, 1] = n_a, n_b
            for j in range(size):
                own = code[attribute, rows[j]]
                steps[c, j] = n_b * (own == a) - n_a * (own == b)
        for mode in range(key.shape[0]):
            tied = False
            for t in range(size):
                order[t] = key[mode, t] & ((1 << bits) - 1)
                last[t] = t + 1 == size or key[mode, t + 1] >> bits != key[mode, t] >> bits
                tied |= not last[t]
            for c in range(comparisons):
                running = top = bottom = 0
                if tied:
                    for t in range(size):
                        running += steps[c, order[t]]
                        if last[t]:
                            top, bottom = max(top, running), min(bottom, running)
                else:
                    for t in range(size):
                        running += steps[c, order[t]]
                        top, bottom = max(top, running), min(bottom, running)
                numerators[sample, mode, c] = max(top, -bottom)


def p_values(numerators: np.ndarray, n_a: np.ndarray, n_b: np.ndarray) -> np.ndarray:
    """Two-sided p-values of the integers n_a * n_b * D, of any shapes that broadcast; 1 for an empty group."""
    numerators, n_a, n_b = np.broadcast_arrays(numerators, n_a, n_b)
    small, large = np.minimum(n_a, n_b).ravel(), np.maximum(n_a, n_b).ravel()
    _, sizes = np.unique(small * (1 << 31) + large, return_inverse=True)
    steps = numerators.ravel()
    _, first, where = np.unique(
        sizes * (int(steps.max(initial=0)) + 1) + steps, return_index=True, return_inverse=True
    )
    distinct = np.stack([small[first], large[first], steps[first]], 1)
    result = np.ones(len(distinct))
    for position, triple in enumerate(map(tuple, distinct.tolist())):
        result[position] = _known.get(triple, np.nan)
    small, large, steps = distinct.T
    result[(small == 0) | (steps == 0)] = 1.0
    rest = np.isnan(result) & (large > LARGEST_EXACT)
    if rest.any():
        result[rest] = _asymptotic(small[rest], large[rest], steps[rest])
    todo = np.flatnonzero(np.isnan(result))
    exact = np.empty(len(todo))
    arguments = [np.ascontiguousarray(column[todo]) for column in (small, large, steps)]
    share(
        lambda start, stop: _exact(*(a[start:stop] for a in arguments), exact[start:stop]),
        len(todo),
        32,
    )
    result[todo] = exact
    _known.update(zip(map(tuple, distinct[todo].tolist()), exact.tolist(), strict=True))
    return result[where].reshape(numerators.shape)


def _asymptotic(small: np.ndarray, large: np.ndarray, numerators: np.ndarray) -> np.ndarray:
    """Smirnov's approximation as scipy has it: the one-sample law at the rounded effective size."""
    from scipy.stats import kstwo

    product = small.astype(float) * large
    return np.clip(kstwo.sf(numerators / product, np.round(product / (small + large))), 0, 1)


@njit(cache=True, nogil=True)
def _exact(small, large, numerators, out):
    """P(max |i m - j n| >= numerator) over all orders of n and m values, by the walk's absorbed mass.

    After k values, i of them from the small group, the walk is at i (n + m) - k n; `even` and `odd` hold the
    probability of each i that has stayed inside, at slot i + 1, for even and odd k. What leaves is summed, so
    that tiny p-values keep their digits (Hodges 1958, section 3).
    """
    width = (small.max() if len(small) else 0) + 4
    even, odd = np.zeros(width), np.zeros(width)
    for test in range(len(out)):
        n, m, bound = small[test], large[test], numerators[test]
        total = n + m
        even[:], odd[:] = 0.0, 0.0
        even[1] = 1.0
        low = high = above = below = 0
        outside = 0.0
        for k in range(total):
            into, source = (even, odd) if k & 1 else (odd, even)
            scale = 1.0 / (total - k)
            rise, stay = (n + 1) * scale, (m - k) * scale
            for offset in range(high - low + 2):
                # Unsigned, or the compiler would look for negative indices and not vectorise.
                slot = np.uintp(low + 1) + np.uintp(offset)
                i = (low + offset) * scale
                into[slot] = source[slot - np.uintp(1)] * (rise - i) + source[slot] * (stay + i)
            high, above, below = high + 1, above + m, below - n
            if above >= bound:
                outside += into[high + 1]
                into[high + 1] = 0.0
                high, above = high - 1, above - total
            if -below >= bound:
                outside += into[low + 1]
                into[low + 1] = 0.0
                low, below = low + 1, below + total
            if high < low:
                break
            if high > n:
                high, above = high - 1, above - total
            source[high + 2] = source[low] = into[low] = 0.0
        out[test] = min(outside, 1.0)


def ks_2samp(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """D and the two-sided p-value of two samples, shapes (n_a,) and (n_b,), neither empty, no NaN."""
    both = np.concatenate([a, b])
    codes = (np.arange(len(both)) >= len(a)).astype(np.int8)[None]
    everything = np.arange(len(both))[None]
    result = statistics(sort_once(both[:, None]), codes, np.array([[0, 0, 1]]), everything)
    return float(result.d.item()), float(result.p_values().item())


def benjamini_yekutieli(p: np.ndarray) -> np.ndarray:
    """Adjusted p-values of families of tests: the last axis of `p` is one family. NaN is no test.

    Benjamini and Yekutieli (2001); equal to statsmodels' `multipletests(method="fdr_by")`.
    """
    tests = np.count_nonzero(~np.isnan(p), axis=-1, keepdims=True)
    order = np.argsort(p, axis=-1)
    rank = np.arange(1, p.shape[-1] + 1)
    harmonic = np.cumsum(1 / rank)[np.maximum(tests, 1) - 1]
    ordered = np.take_along_axis(p, order, -1)
    raw = np.where(rank <= tests, ordered / (rank / np.maximum(tests, 1) / harmonic), np.inf)
    stepped = np.minimum(np.minimum.accumulate(raw[..., ::-1], -1)[..., ::-1], 1)
    adjusted = np.empty_like(ordered)
    np.put_along_axis(adjusted, order, np.where(rank <= tests, stepped, np.nan), -1)
    return adjusted


def bands(adjusted: np.ndarray) -> np.ndarray:
    """Position in BANDS of adjusted p-values: FALSE from 0.05, TRUE from 0.001, TRUE+ below; NaN is FALSE."""
    return (adjusted < TRUE).astype(np.int8) + (adjusted < TRUE_PLUS)
