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


@dataclass(frozen=True)
class Order:
    """Images in the order of their scores, int32 (modes, n) each.

    images: the image at each place; places: each image's place; ranks: each place's rank, tied scores share one.
    """

    images: np.ndarray
    places: np.ndarray
    ranks: np.ndarray


def sort_once(scores: np.ndarray) -> Order:
    """The order of `scores`, shape (n, modes), any float type without NaN, in every mode."""
    columns = np.ascontiguousarray(scores.T)
    images = np.argsort(columns, axis=1, kind="stable")
    values = np.take_along_axis(columns, images, 1)
    ranks, places = np.zeros(images.shape, np.int32), np.empty(images.shape, np.int32)
    ranks[:, 1:] = np.cumsum(values[:, 1:] != values[:, :-1], 1)
    np.put_along_axis(places, images, np.arange(len(scores), dtype=np.int32)[None], 1)
    return Order(images.astype(np.int32), places, ranks)


def statistics(
    order: Order, codes: np.ndarray, pairs: np.ndarray, draws: np.ndarray
) -> Statistics:
    """Statistics of `draws`, each a set of images, under `codes`.

    order: as `sort_once` returns it; codes: int8 (attributes, n), or (samples, attributes, n) for a labelling of
    each sample's own; pairs: int64 (comparisons, 3) of attribute, group a, group b; draws: int (samples, size) of
    distinct images, or (1, size) for the same images under every labelling.
    """
    codes = np.ascontiguousarray(codes if codes.ndim == 3 else codes[None])
    samples = max(len(codes), len(draws))
    numerators = np.empty((samples, len(order.images), len(pairs)), np.int64)
    sizes = np.empty((samples, len(pairs), 2), np.int64)

    def work(start: int, stop: int) -> None:
        places = np.take(order.places, draws if len(draws) == 1 else draws[start:stop], axis=1)
        places.sort(-1)
        own = codes if len(codes) == 1 else codes[start:stop]
        _walks(order.images, order.ranks, places, own, pairs, numerators[start:stop], sizes[start:stop])

    share(work, samples, 16)
    return Statistics(numerators, sizes)


@njit(cache=True, nogil=True)
def _walks(images, ranks, places, codes, pairs, numerators, sizes):
    """Fill `numerators` and `sizes`; places: int32 (modes, samples, size), those of each sample in order."""
    size = places.shape[2]
    group, last = np.empty(size, np.uint8), np.empty(size, np.bool_)
    step = np.zeros(256, np.int64)
    for sample in range(len(sizes)):
        code = codes[sample if len(codes) > 1 else 0]
        for mode in range(len(images)):
            place = places[mode, sample if places.shape[1] > 1 else 0]
            tied = _last_of_ties(ranks[mode], place, last)
            seen = -1
            for c in range(len(pairs)):
                attribute, a, b = pairs[c]
                if attribute != seen:
                    _groups(code[attribute], images[mode], place, group)
                    seen = attribute
                if mode == 0:
                    sizes[sample, c, 0], sizes[sample, c, 1] = _count(group, a), _count(group, b)
                step[a], step[b] = sizes[sample, c, 1], -sizes[sample, c, 0]
                numerators[sample, mode, c] = _farthest(group, step, last, tied)
                step[a] = step[b] = 0


@njit(cache=True, nogil=True)
def _last_of_ties(ranks, place, last):
    """Mark the last place of every tie in `last`, all of them where nothing is tied; whether anything is."""
    tied = False
    for t in range(len(last) - 1):
        last[t] = ranks[place[t]] != ranks[place[t + 1]]
        tied |= not last[t]
    last[-1:] = True
    return tied


@njit(cache=True, nogil=True)
def _groups(code, images, place, group):
    for t in range(len(group)):
        group[t] = code[images[place[t]]]


@njit(cache=True, nogil=True)
def _count(group, wanted):
    found = 0
    for t in range(len(group)):
        found += group[t] == wanted
    return found


@njit(cache=True, nogil=True)
def _farthest(group, step, last, tied):
    """How far a walk that takes its group's step at each place gets from 0; ties are taken at one go."""
    running = top = bottom = 0
    if tied:
        for t in range(len(group)):
            running += step[group[t]]
            if last[t]:
                top, bottom = max(top, running), min(bottom, running)
    else:
        for t in range(len(group)):
            running += step[group[t]]
            top, bottom = max(top, running), min(bottom, running)
    return max(top, -bottom)


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


@njit(cache=True, nogil=True, fastmath={"contract"})
def _exact(small, large, numerators, out):
    """P(max |i m - j n| >= numerator) over all orders of n and m values, as the mass that leaves a walk.

    An order is a walk from (0, 0) to (n, m). Followed is a free walk, whose steps do not depend on where it is (so
    that the inner loop is two products a place): to i + 1 with probability n / (n + m), else to j + 1. What leaves
    the band at its edge counts as often as an order would be there: `from_high` and `from_low` are the probability
    of ending at (n, m) from the band's highest and lowest i after k steps, over that from the start. What leaves is
    summed, so that tiny p-values keep their digits (Hodges 1958, section 3).

    `even` and `odd` hold the probability of each i, at slot i + 1, for even and odd k; above and below: i m - j n at
    the highest and lowest i.
    """
    width = (small.max() if len(small) else 0) + 4
    even, odd = np.zeros(width), np.zeros(width)
    for test in range(len(out)):
        n, m, bound = small[test], large[test], numerators[test]
        p, q = n / (n + m), m / (n + m)
        even[1] = from_low = from_high = 1.0
        low = high = above = below = 0
        outside = 0.0
        for k in range(n + m):
            into, source = (even, odd) if k & 1 else (odd, even)
            source[low] = source[high + 2] = 0.0
            left = n + m - k
            if above + m >= bound or high == n:
                outside += source[high + 1] * from_high * (n - high) / left
                from_high *= (m - k + high) / (left * q)
                above -= n
            else:
                from_high *= (n - high) / (left * p)
                high, above = high + 1, above + m
            if n - below >= bound:
                outside += source[low + 1] * from_low * (m - k + low) / left
                from_low *= (n - low) / (left * p)
                low, below = low + 1, below + m
            else:
                from_low *= (m - k + low) / (left * q)
                below -= n
            if high < low:
                break
            for offset in range(high - low + 1):
                # Unsigned, or the compiler would look for negative indices and not vectorise.
                slot = np.uintp(low + 1) + np.uintp(offset)
                into[slot] = source[slot - np.uintp(1)] * p + source[slot] * q
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
