"""Exact two-sample Kolmogorov-Smirnov tests in bulk.

The scores of a mode are sorted once. A sample's statistic is then one walk along that order for
every comparison, kept as the integer n_a * n_b * D, of which `smirnov` knows the exact p-value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from cxrfmkd.runtime.threads import parallel_for
from cxrfmkd.statistics.smirnov import p_values

TRUE, TRUE_PLUS = 0.05, 0.001  # bounds of the thesis's bands (method, section 7.1)
BANDS = ("FALSE", "TRUE", "TRUE+")


@dataclass(frozen=True)
class Statistics:
    """Statistics of many samples.

    numerators: int64 (samples, modes, comparisons), n_a * n_b * D; sizes: int64 (samples,
    comparisons, 2).
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

    images: the image at each place; places: each image's place; ranks: each place's rank, tied
    scores share one.
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


def statistics(order: Order, codes: np.ndarray, pairs: np.ndarray, draws: np.ndarray) -> Statistics:
    """Statistics of `draws`, each a set of images, under `codes`.

    order: as `sort_once` returns it; codes: int8 (attributes, n), or (samples, attributes, n) for a
    labelling of each sample's own; pairs: int64 (comparisons, 3) of attribute, group a, group b;
    draws: int (samples, size) of distinct images, or (1, size) for the same images under every
    labelling.
    """
    codes = np.ascontiguousarray(codes if codes.ndim == 3 else codes[None])
    samples = max(len(codes), len(draws))
    numerators = np.empty((samples, len(order.images), len(pairs)), np.int64)
    sizes = np.empty((samples, len(pairs), 2), np.int64)

    def work(start: int, stop: int) -> None:
        places = np.take(order.places, draws if len(draws) == 1 else draws[start:stop], axis=1)
        places.sort(-1)
        own = codes if len(codes) == 1 else codes[start:stop]
        _walks(
            order.images, order.ranks, places, own, pairs, numerators[start:stop], sizes[start:stop]
        )

    parallel_for(work, samples, 16)
    return Statistics(numerators, sizes)


@njit(cache=True, nogil=True)
def _walks(images, ranks, places, codes, pairs, numerators, sizes):
    """Fill `numerators` and `sizes`; places: int32 (modes, samples, size), those of each sample in order."""
    size = places.shape[2]
    image, group, last = np.empty(size, np.int32), np.empty(size, np.uint8), np.ones(size, np.bool_)
    step = np.zeros(256, np.int64)
    for sample in range(len(sizes)):
        code = codes[sample if len(codes) > 1 else 0]
        for mode in range(len(images)):
            place = places[mode, sample if places.shape[1] > 1 else 0]
            tied = _last_of_ties(ranks[mode], place, last)
            for t in range(size):
                image[t] = images[mode, place[t]]
            seen = -1
            for c in range(len(pairs)):
                attribute, a, b = pairs[c]
                if attribute != seen:
                    for t in range(size):
                        group[t] = code[attribute, image[t]]
                    seen = attribute
                if mode == 0:
                    sizes[sample, c, 0], sizes[sample, c, 1] = _count(group, a), _count(group, b)
                step[a], step[b] = sizes[sample, c, 1], -sizes[sample, c, 0]
                numerators[sample, mode, c] = _farthest(group, step, last, tied)
                step[a] = step[b] = 0


@njit(cache=True, nogil=True)
def _last_of_ties(ranks, place, last):
    """Whether anything is tied; if so, mark the last place of every tie, and every untied one, in `last`."""
    if ranks[-1] + 1 == len(ranks):
        return False
    tied = False
    for t in range(len(last) - 1):
        last[t] = ranks[place[t]] != ranks[place[t + 1]]
        tied |= not last[t]
    return tied


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
