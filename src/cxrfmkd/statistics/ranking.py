"""Images ranked by score, and what can be read off one pass over the ranking.

A ranking is made once per finding and model. For any weights of the images, running sums over it
give every threshold-free metric at once; the sums and the reading are compiled, without a branch
that depends on a label.

Compiled functions call those of their own file alone: numba keeps them until their own file
changes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

POSITIVE, TIED = 1, 2
# What is measured of a finding in a group: nothing, rates at thresholds, also the areas and maximum
# J, everything.
NOTHING, RATES, AREAS, EVERYTHING = range(4)


class Ranking(NamedTuple):
    """One finding's images by falling score; images whose truth is NaN are left out.

    rows: shape (n,), int32, the image at each place. flags: shape (n,), uint8, POSITIVE if its
    label is 1 and TIED if the next place has the same score. scores: shape (n,), float64.
    hits: shape (p,), int32, the rows with label 1, in order.
    begin, end, last: shape (q,), int32, for each distinct score with a label 1: its first place,
    the place after its last, and the number of hits up to there.
    """

    rows: np.ndarray
    flags: np.ndarray
    scores: np.ndarray
    hits: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    last: np.ndarray


def ranking(truth: np.ndarray, scores: np.ndarray) -> Ranking:
    """Rank one finding. truth: shape (n,), 0, 1 or NaN; scores: shape (n,), finite."""
    known = np.flatnonzero(~np.isnan(truth))
    order = known[np.argsort(-scores[known], kind="stable")]
    return ranked(order, truth, scores)


def ranked(order: np.ndarray, truth: np.ndarray, scores: np.ndarray) -> Ranking:
    """The ranking of images that are in order already, such as a subgroup of ranked ones."""
    sorted_scores, positive = np.asarray(scores[order], np.float64), truth[order] > 0
    end = np.flatnonzero(np.diff(sorted_scores, append=-np.inf)) + 1
    begin = np.r_[0, end[:-1]]
    hits_until = np.cumsum(positive)[end - 1] if len(end) else end
    with_hit = np.diff(hits_until, prepend=0) > 0
    flags = positive.astype(np.uint8) * np.uint8(POSITIVE) | np.uint8(TIED)
    flags[end - 1] &= POSITIVE
    places = (part.astype(np.int32) for part in (begin, end, hits_until))
    return Ranking(
        order.astype(np.int32),
        flags,
        sorted_scores,
        order[positive].astype(np.int32),
        *(part[with_hit] for part in places),
    )


@njit(nogil=True, cache=True)
def accumulate(rows, hits, weights, below, below_hits):
    """Running sums: weight of the first i rows in below[i], of the first i hits in below_hits[i]."""
    total = 0.0
    below[0] = below_hits[0] = 0.0
    for i in range(len(rows)):
        total += weights[rows[i]]
        below[i + 1] = total
    total = 0.0
    for i in range(len(hits)):
        total += weights[hits[i]]
        below_hits[i + 1] = total


@njit(nogil=True, cache=True, error_model="numpy")
def areas(begin, end, last, below, below_hits, positives, negatives):
    """Average precision, area under the ROC curve, maximum of Youden's J.

    All three change at scores with a label 1 alone: between them the ROC curve is horizontal.
    """
    precision = area = best = tp = 0.0
    for q in range(len(last)):
        before, tp = tp, below_hits[last[q]]
        fp = below[end[q]] - tp
        precision += (tp - before) * (tp / max(below[end[q]], 1e-300))
        area += (tp - before) * (negatives - 0.5 * (fp + below[begin[q]] - before))
        best = max(best, tp / positives - fp / negatives)
    return precision / positives, area / positives / negatives, best


@njit(nogil=True, cache=True)
def counts_above(place, end, last, below, below_hits):
    """Weight of label 1 and of label 0 among the first `place` rows; no tie is cut in two."""
    low, high = 0, len(end)
    while low < high:
        middle = (low + high) // 2
        if end[middle] <= place:
            low = middle + 1
        else:
            high = middle
    tp = below_hits[last[low - 1]] if low else 0.0
    return tp, below[place] - tp


@njit(nogil=True, cache=True)
def place_of(threshold, scores):
    """Number of rows that score at least `threshold`."""
    low, high = 0, len(scores)
    while low < high:
        middle = (low + high) // 2
        if scores[middle] >= threshold:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True, cache=True)
def _last_hit_within(limit, end, last, below, below_hits):
    """The place after the last tie with a hit that has at most `limit` weight of label 0 before its end; else 0."""
    low, high = 0, len(end)
    while low < high:
        middle = (low + high) // 2
        if below[end[middle]] - below_hits[last[middle]] <= limit:
            low = middle + 1
        else:
            high = middle
    return end[low - 1] if low else 0


@njit(nogil=True, cache=True)
def _last_corner(place, rows, flags, weights):
    """The last place before `place` where the ROC curve turns after a step to the right; else the origin."""
    end = place
    up = right = 0.0
    next_up = next_right = -1.0
    for i in range(place - 1, -1, -1):
        if flags[i] & POSITIVE:
            up += weights[rows[i]]
        else:
            right += weights[rows[i]]
        if i > 0 and flags[i - 1] & TIED:
            continue
        if up + right > 0.0:
            if next_up >= 0.0 and right > 0.0 and (up != next_up or right != next_right):
                return end
            next_up, next_right = up, right
        up = right = 0.0
        end = i
    return 0


@njit(nogil=True, cache=True, error_model="numpy")
def nearest_vertex(
    rows, flags, end, last, weights, below, below_hits, positives, negatives, target
):
    """The ROC vertex whose false-positive rate is nearest to `target`; the first of several.

    Vertices are those that scikit-learn's `roc_curve` keeps: one per distinct score with a positive
    weight, less each one whose two neighbouring steps are equal, and the origin. The walk begins at
    the last one that is surely kept and below the target, and ends with the first above it. Returns
    J = TPR - FPR at the vertex, and the number of rows that score at least its threshold.
    """
    place = _last_hit_within(target * negatives, end, last, below, below_hits)
    begin = _last_corner(place, rows, flags, weights)
    tp, fp = counts_above(begin, end, last, below, below_hits)
    best, best_j, best_place = abs(fp / negatives - target), tp / positives - fp / negatives, begin
    up = right = last_up = last_right = 0.0
    first, waiting, place = begin == 0, False, begin
    for i in range(begin, len(rows)):
        if flags[i] & POSITIVE:
            up += weights[rows[i]]
        else:
            right += weights[rows[i]]
        if flags[i] & TIED or up + right == 0.0:
            continue
        if waiting and (first or up != last_up or right != last_right):
            fpr = fp / negatives
            if abs(fpr - target) < best:
                best, best_j, best_place = abs(fpr - target), tp / positives - fpr, place
            if fpr > target:
                return best_j, best_place
            first = False
        tp += up
        fp += right
        waiting, place, last_up, last_right = True, i + 1, up, right
        up = right = 0.0
    if waiting and abs(fp / negatives - target) < best:
        best_j, best_place = tp / positives - fp / negatives, place
    return best_j, best_place


@njit(nogil=True, cache=True, error_model="numpy")
def read_off(out, drawn, rows, flags, scores, hits, begin, end, last, starts, cuts, target, detail):
    """Fill out[measure, finding, group] with everything that one weighting of the images says.

    Measures: average precision, area, maximum J, J nearest to `target`, prevalence, then true- and
    false-positive rate at each of the finding's cuts and at the threshold nearest to `target` among
    everyone, who are group 0.
    drawn: weights, shape (1, n) or (f, n). rows … last: rankings of every finding and group, one
    after the other;
    starts: shape (f, groups + 1, 3), where each begins in rows, hits and ties. cuts: shape (f, c),
    NaN for none.
    detail: shape (f, groups), from NOTHING to EVERYTHING.
    """
    test, n = cuts.shape[1], drawn.shape[1]
    below, below_hits = np.empty(n + 1), np.empty(n + 1)
    for finding in range(out.shape[1]):
        weights = drawn[min(finding, len(drawn) - 1)]
        test_cut = np.nan
        for group in range(out.shape[2]):
            if detail[finding, group] == NOTHING:
                continue
            result = out[:, finding, group]
            r, h, q = starts[finding, group]
            r1, h1, q1 = starts[finding, group + 1]
            accumulate(rows[r:r1], hits[h:h1], weights, below, below_hits)
            positives = below_hits[h1 - h]
            negatives = below[r1 - r] - positives
            defined = positives > 0 and negatives > 0
            if defined and detail[finding, group] >= AREAS:
                result[0], result[1], result[2] = areas(
                    begin[q:q1], end[q:q1], last[q:q1], below, below_hits, positives, negatives
                )
            if defined and detail[finding, group] == EVERYTHING:
                result[3], place = nearest_vertex(
                    rows[r:r1],
                    flags[r:r1],
                    end[q:q1],
                    last[q:q1],
                    weights,
                    below[: r1 - r + 1],
                    below_hits,
                    positives,
                    negatives,
                    target,
                )
                if group == 0:
                    test_cut = scores[r + place - 1] if place else np.inf
            if positives + negatives > 0:
                result[4] = positives / (positives + negatives)
            for cut in range(test + 1):
                limit = cuts[finding, cut] if cut < test else test_cut
                if not np.isnan(limit):
                    tp, fp = counts_above(
                        place_of(limit, scores[r:r1]), end[q:q1], last[q:q1], below, below_hits
                    )
                    if positives > 0:
                        result[5 + 2 * cut] = tp / positives
                    if negatives > 0:
                        result[6 + 2 * cut] = fp / negatives
