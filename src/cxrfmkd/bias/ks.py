"""Exact two-sample Kolmogorov-Smirnov tests in bulk.

The scores of a mode are sorted once. A sample's statistic is then one walk along that order for
every comparison, kept as the integer n_a * n_b * D, of which `statistics.smirnov` gives the exact
p-value.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from cxrfmkd.runtime.threads import parallel_for
from cxrfmkd.statistics.multiple import adjusted
from cxrfmkd.statistics.smirnov import p_values

TRUE, TRUE_PLUS = 0.05, 0.001  # bounds of the thesis's bands (method, section 7.1)
BANDS = ("FALSE", "TRUE", "TRUE+")


@dataclass(frozen=True)
class KSResult:
    """Tests of many samples.

    numerators: int64 (samples, modes, comparisons), n_a * n_b * D; sizes: int64 (samples,
    comparisons, 2), n_a and n_b.
    """

    numerators: np.ndarray
    sizes: np.ndarray

    @property
    def d(self) -> np.ndarray:
        """D, float64 (samples, modes, comparisons); 0 where a group is empty."""
        return self.numerators / np.maximum(self.sizes.prod(-1), 1)[:, None]

    @cached_property
    def p(self) -> np.ndarray:
        """Two-sided p-values, float64 (samples, modes, comparisons); 1 where a group is empty."""
        return p_values(self.numerators, self.sizes[:, None, :, 0], self.sizes[:, None, :, 1])

    @cached_property
    def p_adjusted(self) -> np.ndarray:
        """`p` adjusted by Benjamini and Yekutieli; the tests of a sample are one family."""
        families = [adjusted(family.ravel(), "fdr_by") for family in self.p]
        return np.reshape(families, self.p.shape)


@dataclass(frozen=True)
class SortedScores:
    """Images in the order of their scores, int32 (modes, n) each.

    images: the image at each position; places: each image's position; ranks: each position's
    rank, tied scores share one.
    """

    images: np.ndarray
    places: np.ndarray
    ranks: np.ndarray


def sort_scores(scores: np.ndarray) -> SortedScores:
    """The order of `scores`, shape (n, modes), any float type without NaN, in every mode."""
    columns = np.ascontiguousarray(scores.T)
    images = np.argsort(columns, axis=1, kind="stable")
    values = np.take_along_axis(columns, images, 1)
    ranks, places = np.zeros(images.shape, np.int32), np.empty(images.shape, np.int32)
    ranks[:, 1:] = np.cumsum(values[:, 1:] != values[:, :-1], 1)
    np.put_along_axis(places, images, np.arange(len(scores), dtype=np.int32)[None], 1)
    return SortedScores(images.astype(np.int32), places, ranks)


def ks_tests(
    scores: SortedScores, codes: np.ndarray, pairs: np.ndarray, samples: np.ndarray | None = None
) -> KSResult:
    """Tests of `samples`, each a set of images, grouped by `codes`.

    codes: int8 (attributes, n), or (samples, attributes, n) for a grouping of each sample's own;
    pairs: int64 (comparisons, 3) of attribute, group a, group b; samples: int (samples, size) of
    distinct images, or (1, size) for the same images under every grouping, by default all.
    """
    codes = np.ascontiguousarray(codes if codes.ndim == 3 else codes[None])
    if samples is None:
        samples = np.arange(scores.images.shape[1])[None]
    count = max(len(codes), len(samples))
    numerators = np.empty((count, len(scores.images), len(pairs)), np.int64)
    sizes = np.empty((count, len(pairs), 2), np.int64)

    def work(start: int, stop: int) -> None:
        block = slice(start, stop)
        rows = samples if len(samples) == 1 else samples[block]
        places = np.sort(np.take(scores.places, rows, axis=1), axis=-1)
        groups = codes if len(codes) == 1 else codes[block]
        _walks(scores.images, scores.ranks, places, groups, pairs, numerators[block], sizes[block])

    parallel_for(work, count, 16)
    return KSResult(numerators, sizes)


@njit(cache=True, nogil=True)
def _walks(images, ranks, places, codes, pairs, numerators, sizes):
    """Fill `numerators` and `sizes` of a KSResult.

    places: int32 (modes, samples, size), those of each sample ascending.
    """
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
            filled = -1
            for c in range(len(pairs)):
                attribute, a, b = pairs[c]
                if attribute != filled:
                    for t in range(size):
                        group[t] = code[attribute, image[t]]
                    filled = attribute
                if mode == 0:
                    sizes[sample, c, 0], sizes[sample, c, 1] = _count(group, a), _count(group, b)
                step[a], step[b] = sizes[sample, c, 1], -sizes[sample, c, 0]
                numerators[sample, mode, c] = _farthest(group, step, last, tied)
                step[a] = step[b] = 0


@njit(cache=True, nogil=True)
def _last_of_ties(ranks, place, last):
    """Whether any scores are tied; if so, `last` marks the places whose next is not tied."""
    if ranks[-1] + 1 == len(ranks):
        return False
    tied = False
    for t in range(len(last) - 1):
        last[t] = ranks[place[t]] != ranks[place[t + 1]]
        tied |= not last[t]
    return tied


@njit(cache=True, nogil=True)
def _count(group, code):
    count = 0
    for t in range(len(group)):
        count += group[t] == code
    return count


@njit(cache=True, nogil=True)
def _farthest(group, step, last, tied):
    """Farthest from 0 that a walk with the step of each place's group gets; ties are one step."""
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
    """D and the two-sided p-value of two samples, shapes (n_a,) and (n_b,), not empty, no NaN."""
    both = np.concatenate([a, b])
    codes = (np.arange(len(both)) >= len(a)).astype(np.int8)[None]
    result = ks_tests(sort_scores(both[:, None]), codes, np.array([[0, 0, 1]]))
    return float(result.d.item()), float(result.p.item())


def bands(p_adjusted: np.ndarray) -> np.ndarray:
    """Position in BANDS: FALSE from 0.05 and for NaN, TRUE from 0.001, TRUE+ below; int8."""
    return (p_adjusted < TRUE).astype(np.int8) + (p_adjusted < TRUE_PLUS)
