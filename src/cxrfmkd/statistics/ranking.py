"""Images ranked by score, and what one pass over the ranking measures.

A ranking is made once per finding and model. For any weights of the images, running sums over it
give every threshold-free metric at once; the sums and the measures are compiled, without a branch
that depends on a label.

Compiled functions call those of their own file alone: numba keeps them until their own file
changes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

POSITIVE, TIED = 1, 2  # bits of Ranking.flags
# What is measured of a finding in a group: nothing, rates at thresholds, also the areas and maximum
# J, everything.
NOTHING, RATES, AREAS, EVERYTHING = range(4)
AVERAGE_PRECISION, ROC_AREA, MAX_J, J_AT_TARGET = range(4)  # of Measures.metrics


class Ranking(NamedTuple):
    """One finding's images by falling score; images whose target is NaN are left out.

    rows: shape (n,), int32, the image at each rank. flags: shape (n,), uint8, POSITIVE if its
    target is 1 and TIED if the next rank has the same score. scores: shape (n,), float64.
    positives: shape (p,), int32, the rows with target 1, in order.
    begin, end, above: shape (q,), int32, for each distinct score with a target 1: its first rank,
    the rank after its last, and the number of positives up to there.
    """

    rows: np.ndarray
    flags: np.ndarray
    scores: np.ndarray
    positives: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    above: np.ndarray


class Sums(NamedTuple):
    """Weights summed along a ranking.

    rows[i], hits[i]: weight of its first i rows, and of its first i positives. positives,
    negatives: weight of all images with target 1, and with target 0.
    """

    rows: np.ndarray
    hits: np.ndarray
    positives: float
    negatives: float


class Measures(NamedTuple):
    """Everything that is measured of a model; float64, NaN where undefined. f: findings.

    metrics: shape (..., 4, f, groups): average precision, area under the ROC curve, maximum of
    Youden's J, J at the ROC vertex nearest to a target false-positive rate.
    prevalence: shape (..., f, groups).
    tpr, fpr: shape (..., cuts + 1, f, groups), rates at given thresholds, and last at that of the
    said vertex among everyone.
    """

    metrics: np.ndarray
    prevalence: np.ndarray
    tpr: np.ndarray
    fpr: np.ndarray


def rank(targets: np.ndarray, scores: np.ndarray) -> Ranking:
    """Rank one finding. targets: shape (n,), 0, 1 or NaN; scores: shape (n,), finite."""
    labelled = np.flatnonzero(~np.isnan(targets))
    order = labelled[np.argsort(-scores[labelled], kind="stable")]
    return ranking_of(order, targets, scores)


def ranking_of(order: np.ndarray, targets: np.ndarray, scores: np.ndarray) -> Ranking:
    """The ranking of images that are in order already, such as a subgroup of ranked ones."""
    sorted_scores, positive = np.asarray(scores[order], np.float64), targets[order] > 0
    end = np.flatnonzero(np.diff(sorted_scores, append=-np.inf)) + 1
    begin = np.r_[0, end[:-1]]
    above = np.cumsum(positive)[end - 1] if len(end) else end
    with_hit = np.diff(above, prepend=0) > 0
    flags = positive.astype(np.uint8) * np.uint8(POSITIVE) | np.uint8(TIED)
    flags[end - 1] &= POSITIVE
    ties = (array[with_hit].astype(np.int32) for array in (begin, end, above))
    rows = order.astype(np.int32)
    return Ranking(rows, flags, sorted_scores, rows[positive], *ties)


class Rankings(NamedTuple):
    """The rankings of every finding and group, one after the other.

    joined: their arrays. starts: shape (f, groups + 1, 3), where each begins in the rows, the
    positives and the scores with a positive.
    """

    joined: Ranking
    starts: np.ndarray


def join_rankings(rankings: list[list[Ranking]]) -> Rankings:
    """Join rankings, one list a finding, one ranking a group."""
    starts = np.zeros((len(rankings), len(rankings[0]) + 1, 3), np.int64)
    end = np.zeros(3, np.int64)
    for k, groups in enumerate(rankings):
        starts[k, 0] = end
        for group, ranking in enumerate(groups):
            end += len(ranking.rows), len(ranking.positives), len(ranking.end)
            starts[k, group + 1] = end
    flat = [ranking for groups in rankings for ranking in groups]
    return Rankings(Ranking(*map(np.concatenate, zip(*flat, strict=True))), starts)


@njit(nogil=True, cache=True)
def running_sums(ranking, weights, rows, hits):
    """The Sums of a ranking. weights: of all images; rows, hits: scratch, longer than it."""
    total = 0.0
    rows[0] = hits[0] = 0.0
    for i in range(len(ranking.rows)):
        total += weights[ranking.rows[i]]
        rows[i + 1] = total
    positives = 0.0
    for i in range(len(ranking.positives)):
        positives += weights[ranking.positives[i]]
        hits[i + 1] = positives
    return Sums(rows, hits, positives, total - positives)


@njit(nogil=True, cache=True, error_model="numpy")
def areas(ranking, sums):
    """Average precision, area under the ROC curve, maximum of Youden's J.

    All three change at scores with a target 1 alone: between them the ROC curve is horizontal.
    """
    precision = area = best = tp = 0.0
    for q in range(len(ranking.above)):
        above, tp_before = sums.rows[ranking.end[q]], tp
        tp = sums.hits[ranking.above[q]]
        fp = above - tp
        precision += (tp - tp_before) * (tp / max(above, 1e-300))
        width = fp + sums.rows[ranking.begin[q]] - tp_before
        area += (tp - tp_before) * (sums.negatives - 0.5 * width)
        best = max(best, tp / sums.positives - fp / sums.negatives)
    return precision / sums.positives, area / sums.positives / sums.negatives, best


@njit(nogil=True, cache=True)
def _counts_within(n_rows, ranking, sums):
    """Weight of target 1 and of target 0 among the first rows, whose number cuts no tie in two."""
    low, high = 0, len(ranking.end)
    while low < high:
        middle = (low + high) // 2
        if ranking.end[middle] <= n_rows:
            low = middle + 1
        else:
            high = middle
    tp = sums.hits[ranking.above[low - 1]] if low else 0.0
    return tp, sums.rows[n_rows] - tp


@njit(nogil=True, cache=True)
def counts_above(threshold, ranking, sums):
    """Weight of target 1 and of target 0 among rows that score at least `threshold`."""
    low, high = 0, len(ranking.scores)
    while low < high:
        middle = (low + high) // 2
        if ranking.scores[middle] >= threshold:
            low = middle + 1
        else:
            high = middle
    return _counts_within(low, ranking, sums)


@njit(nogil=True, cache=True)
def _last_hit_within(limit, ranking, sums):
    """Rank after the last positive's ties that have at most `limit` negatives above; else 0."""
    low, high = 0, len(ranking.end)
    while low < high:
        middle = (low + high) // 2
        if sums.rows[ranking.end[middle]] - sums.hits[ranking.above[middle]] <= limit:
            low = middle + 1
        else:
            high = middle
    return ranking.end[low - 1] if low else 0


@njit(nogil=True, cache=True)
def _last_corner(rank, ranking, weights):
    """The last rank before `rank` where the ROC curve turns after a step to the right, else 0."""
    end = rank
    up = right = 0.0
    next_up = next_right = -1.0
    for i in range(rank - 1, -1, -1):
        if ranking.flags[i] & POSITIVE:
            up += weights[ranking.rows[i]]
        else:
            right += weights[ranking.rows[i]]
        if i > 0 and ranking.flags[i - 1] & TIED:
            continue
        if up + right > 0.0:
            if next_up >= 0.0 and right > 0.0 and (up != next_up or right != next_right):
                return end
            next_up, next_right = up, right
        up = right = 0.0
        end = i
    return 0


@njit(nogil=True, cache=True, error_model="numpy")
def nearest_vertex(ranking, weights, sums, target):
    """The ROC vertex whose false-positive rate is nearest to `target`. Ties: the first.

    Vertices are those that scikit-learn's `roc_curve` keeps: one per distinct score with a positive
    weight, less each one whose two neighbouring steps are equal, and the origin. The walk begins at
    the last one that is surely kept and below the target, and ends with the first above it. Returns
    J = TPR - FPR at the vertex, and the threshold, infinity at the origin.
    """
    begin = _last_corner(_last_hit_within(target * sums.negatives, ranking, sums), ranking, weights)
    tp, fp = _counts_within(begin, ranking, sums)
    fpr = fp / sums.negatives
    nearest, best_j, best_rank = abs(fpr - target), tp / sums.positives - fpr, begin
    up = right = last_up = last_right = 0.0
    first, waiting, rank = begin == 0, False, begin
    for i in range(begin, len(ranking.rows)):
        if ranking.flags[i] & POSITIVE:
            up += weights[ranking.rows[i]]
        else:
            right += weights[ranking.rows[i]]
        if ranking.flags[i] & TIED or up + right == 0.0:
            continue
        if waiting and (first or up != last_up or right != last_right):
            fpr = fp / sums.negatives
            if abs(fpr - target) < nearest:
                nearest, best_j, best_rank = abs(fpr - target), tp / sums.positives - fpr, rank
            if fpr > target:
                waiting = False
                break
            first = False
        tp += up
        fp += right
        waiting, rank, last_up, last_right = True, i + 1, up, right
        up = right = 0.0
    if waiting and abs(fp / sums.negatives - target) < nearest:
        best_j, best_rank = tp / sums.positives - fp / sums.negatives, rank
    return best_j, ranking.scores[best_rank - 1] if best_rank else np.inf


@njit(nogil=True, cache=True)
def _one_ranking(rankings, finding, group):
    """The ranking of one finding and group."""
    joined = rankings.joined
    row, hit, tie = rankings.starts[finding, group]
    row_end, hit_end, tie_end = rankings.starts[finding, group + 1]
    return Ranking(
        joined.rows[row:row_end],
        joined.flags[row:row_end],
        joined.scores[row:row_end],
        joined.positives[hit:hit_end],
        joined.begin[tie:tie_end],
        joined.end[tie:tie_end],
        joined.above[tie:tie_end],
    )


@njit(nogil=True, cache=True, error_model="numpy")
def measure_rankings(out, weights, rankings, cuts, target, detail):
    """Fill `out`, Measures of shapes (4, f, groups) and so on, for one weighting of the images.

    weights: shape (1, n) or (f, n). cuts: shape (f, c), thresholds, NaN for none. target: of the
    false-positive rate. detail: shape (f, groups), from NOTHING to EVERYTHING; group 0 is everyone.
    """
    n_findings, n_groups = detail.shape
    n_cuts = cuts.shape[1]
    scratch = np.empty((2, weights.shape[1] + 1))
    for finding in range(n_findings):
        image_weights = weights[min(finding, len(weights) - 1)]
        nearest_cut = np.nan
        for group in range(n_groups):
            level = detail[finding, group]
            if level == NOTHING:
                continue
            ranking = _one_ranking(rankings, finding, group)
            sums = running_sums(ranking, image_weights, scratch[0], scratch[1])
            positives, negatives = sums.positives, sums.negatives
            metrics = out.metrics[:, finding, group]
            if positives > 0 and negatives > 0:
                if level >= AREAS:
                    precision, area, largest_j = areas(ranking, sums)
                    metrics[AVERAGE_PRECISION] = precision
                    metrics[ROC_AREA], metrics[MAX_J] = area, largest_j
                if level == EVERYTHING:
                    metrics[J_AT_TARGET], cut = nearest_vertex(ranking, image_weights, sums, target)
                    if group == 0:
                        nearest_cut = cut
            if positives + negatives > 0:
                out.prevalence[finding, group] = positives / (positives + negatives)
            for k in range(n_cuts + 1):
                cut = cuts[finding, k] if k < n_cuts else nearest_cut
                if not np.isnan(cut):
                    tp, fp = counts_above(cut, ranking, sums)
                    if positives > 0:
                        out.tpr[k, finding, group] = tp / positives
                    if negatives > 0:
                        out.fpr[k, finding, group] = fp / negatives
