"""One pass over a ranking that measures many weightings of its images, and all their groups.

The weightings are those of LANES bootstrap replicates. Images are visited by falling score; each is
added to the running sums of every group that it belongs to, in all replicates at once, which a
processor does with a few instructions. At scores with a target 1 the threshold-free metrics take
their next step. What differs by replicate, the ROC vertex nearest to a target false-positive rate
and the rates at its score, is looked up afterwards, from sums that were noted on the way.

Compiled functions call those of their own file alone: numba keeps them until their own file
changes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cxrfmkd.statistics.searching import count_below

# Replicates that are measured together: with fewer, compilers unroll the loops over them instead
# of using vector instructions; with more, the running sums leave the processor's nearest cache.
LANES = 64
SPACING = 1024  # ranks between noted sums
POSITIVE, TIED = 1, 2  # bits of the flags of ranks
# What is measured of a finding in a group: nothing, rates at thresholds, also the area under the
# ROC curve, everything.
NOTHING, RATES, AREA, EVERYTHING = range(4)
AVERAGE_PRECISION, ROC_AREA, MAX_J, J_AT_TARGET = range(4)  # of the metrics

# Of a group in LANES replicates, one after the other, float64: sums towards the area and average
# precision, the largest J so far, and one over the weight of target 1 and of target 0.
_AREA, _PRECISION, _LARGEST, _PER_POSITIVE, _PER_NEGATIVE = range(0, 5 * LANES, LANES)
# In the type of the weights: the weight of target 0 that may lie above the vertex; and of the last
# target 1 with no more, the weights of target 1 and 0 up to there and the rank after it.
_LIMIT, _TP, _FP, _END = range(0, 4 * LANES, LANES)


class Drawn(NamedTuple):
    """How often LANES replicates draw each image.

    counts: shape (1, units, LANES) if all findings share them, else (f, units, LANES), uint16, how
    often each unit is drawn. units: shape (n,), int32, that of each image. weights: shape (n,), of
    the images; float32 where sums of them are whole numbers below 2 ** 24, else float64.
    """

    counts: np.ndarray
    units: np.ndarray
    weights: np.ndarray

    def of(self, lane: int) -> np.ndarray:
        """Weights of the images in one replicate, float64 (1, n) or (f, n)."""
        return self.counts[:, self.units, lane] * self.weights.astype(np.float64)


class Sums(NamedTuple):
    """Weights summed along a ranking by group and replicate, (groups, LANES); scratch.

    rows, hits: of all images, and of those with target 1, so far. rows_gained, hits_gained: of the
    images of one score. total, positives: of the whole ranking.
    """

    rows: np.ndarray
    hits: np.ndarray
    rows_gained: np.ndarray
    hits_gained: np.ndarray
    total: np.ndarray
    positives: np.ndarray


@njit(nogil=True, inline="always")
def _weigh(drawn, counts, image, weights):
    """Fill `weights` with an image's in every replicate."""
    unit, weight = drawn.units[image], drawn.weights[image]
    for lane in range(LANES):
        weights[lane] = np.float32(counts[unit, lane]) * weight


@njit(nogil=True, inline="always")
def _add(sums, group, weights):
    """Add an image's weights to a group's sums.

    Here and below arrays are indexed, not sliced: each slice would count a reference, which takes
    longer than the additions.
    """
    for lane in range(LANES):
        sums[group, lane] += weights[lane]


@njit(nogil=True, cache=True)
def _totals(drawn, counts, rows, groups, out, weights):
    """Fill `out`, (groups, LANES), with the weight of these images by group."""
    out[:] = 0
    for image in rows:
        _weigh(drawn, counts, image, weights)
        for group in groups[image]:
            if group >= 0:
                _add(out, group, weights)


@njit(nogil=True, inline="always", error_model="numpy")
def _step_area(state, negatives, group, rows_gained, gained, rows, hits):
    """Add a score's step to the area: its target 1 times the target 0 below, ties counting half."""
    for lane in range(LANES):
        step = np.float64(gained[lane])
        above = np.float64(rows[group, lane] - hits[group, lane])
        tied = np.float64(rows_gained[lane]) - step
        state[group, _AREA + lane] += step * (negatives[group, lane] - (above - 0.5 * tied))


@njit(nogil=True, inline="always", error_model="numpy")
def _step_precision(state, group, gained, rows, hits):
    """Add a score's step to average precision, and compare J at its vertex with the largest."""
    for lane in range(LANES):
        tp, above = np.float64(hits[group, lane]), np.float64(rows[group, lane])
        state[group, _PRECISION + lane] += gained[lane] * (tp / max(above, 1e-300))
        per_positive = state[group, _PER_POSITIVE + lane]
        j = tp * per_positive - (above - tp) * state[group, _PER_NEGATIVE + lane]
        state[group, _LARGEST + lane] = max(state[group, _LARGEST + lane], j)


@njit(nogil=True, inline="always")
def _step_vertex(last, group, end, rows, hits):
    """Note this score where its false-positive rate is still below that of the vertex."""
    for lane in range(LANES):
        tp, fp = hits[group, lane], rows[group, lane] - hits[group, lane]
        inside = fp <= last[group, _LIMIT + lane]
        last[group, _TP + lane] = tp if inside else last[group, _TP + lane]
        last[group, _FP + lane] = fp if inside else last[group, _FP + lane]
        last[group, _END + lane] = end if inside else last[group, _END + lane]


@njit(nogil=True, cache=True, error_model="numpy")
def _begin(sums, negatives, state, last, target):
    """Set everything to the beginning of a ranking whose totals are known."""
    sums.rows[:], sums.hits[:], state[:], last[:] = 0, 0, 0, 0
    for group in range(len(negatives)):
        for lane in range(LANES):
            of_positive = np.float64(sums.positives[group, lane])
            of_negative = np.float64(sums.total[group, lane]) - of_positive
            negatives[group, lane] = of_negative
            state[group, _PER_POSITIVE + lane] = 1 / of_positive
            state[group, _PER_NEGATIVE + lane] = 1 / of_negative
            # Rounded down: float32 would round whole numbers of images either way.
            limit = np.float64(target * of_negative)
            last[group, _LIMIT + lane] = np.floor(limit) if last.itemsize == 4 else limit


@njit(nogil=True, cache=True)
def _copy(target, source):
    """Fill one (groups, LANES) from another; numba is slow to compile a slice's assignment."""
    for group in range(len(source)):
        for lane in range(LANES):
            target[group, lane] = source[group, lane]


@njit(nogil=True, cache=True, error_model="numpy")
def _sweep(drawn, counts, ranking, groups, detail, sums, negatives, state, last, noted, note_ranks):
    """Visit a ranking from its first to its last image.

    ranking: rows and flags. noted: (ranks // SPACING + 1, 2, groups, LANES), filled with the sums
    before `note_ranks`, the first rank after every SPACING ranks that does not cut a tie.
    """
    rows, flags = ranking
    so_far, hits = sums.rows, sums.hits
    weights = np.empty(LANES, drawn.weights.dtype)
    touched = np.zeros((2, len(detail)), np.bool_)
    i = next_note = 0
    while True:
        if i >= next_note:
            _copy(noted[i // SPACING, 0], so_far)
            _copy(noted[i // SPACING, 1], hits)
            note_ranks[i // SPACING] = i
            next_note = (i // SPACING + 1) * SPACING
        if i == len(rows):
            return
        image, flag = rows[i], flags[i]
        i += 1
        if flag & TIED:
            i = _gain_ties(i - 1, drawn, counts, ranking, groups, sums, touched, weights)
            for group in range(len(detail)):
                if not touched[0, group]:
                    continue
                rows_gained, gained = sums.rows_gained[group], sums.hits_gained[group]
                _add(so_far, group, rows_gained)
                if touched[1, group]:
                    _add(hits, group, gained)
                    if detail[group] >= AREA:
                        _step_area(state, negatives, group, rows_gained, gained, so_far, hits)
                    if detail[group] == EVERYTHING:
                        _step_precision(state, group, gained, so_far, hits)
                        _step_vertex(last, group, i, so_far, hits)
            continue
        _weigh(drawn, counts, image, weights)
        for k in range(groups.shape[1]):
            group = groups[image, k]
            if group < 0:
                continue
            _add(so_far, group, weights)
            if flag & POSITIVE:
                _add(hits, group, weights)
                if detail[group] >= AREA:
                    _step_area(state, negatives, group, weights, weights, so_far, hits)
                if detail[group] == EVERYTHING:
                    _step_precision(state, group, weights, so_far, hits)
                    _step_vertex(last, group, i, so_far, hits)


@njit(nogil=True, cache=True)
def _gain_ties(first, drawn, counts, ranking, groups, sums, touched, weights):
    """Sum the images that tie with rank `first`; returns the rank after the last of them.

    touched: shape (2, groups), filled with whether any image, and any with target 1, is of a group.
    """
    rows, flags = ranking
    touched[:] = False
    for i in range(first, len(rows)):
        _weigh(drawn, counts, rows[i], weights)
        for group in groups[rows[i]]:
            if group < 0:
                continue
            if not touched[0, group]:
                sums.rows_gained[group], sums.hits_gained[group] = 0, 0
                touched[0, group] = True
            _add(sums.rows_gained, group, weights)
            if flags[i] & POSITIVE:
                _add(sums.hits_gained, group, weights)
                touched[1, group] = True
        if not flags[i] & TIED:
            return i + 1
    return len(rows)


@njit(nogil=True, cache=True)
def _last_corner(rank, members, drawn, counts, lane):
    """The last rank before `rank` where the ROC curve turns after a step to the right, else 0.

    Also the weights of target 1 and 0 between the two.
    """
    rows, flags, _ = members
    end = rank
    up = right = gone_up = gone_right = 0.0
    next_up = next_right = -1.0
    for i in range(rank - 1, -1, -1):
        weight = counts[drawn.units[rows[i]], lane] * np.float64(drawn.weights[rows[i]])
        if flags[i] & POSITIVE:
            up += weight
        else:
            right += weight
        if i > 0 and flags[i - 1] & TIED:
            continue
        if up + right > 0.0:
            if next_up >= 0.0 and right > 0.0 and (up != next_up or right != next_right):
                return end, gone_up, gone_right
            next_up, next_right = up, right
        gone_up += up
        gone_right += right
        up = right = 0.0
        end = i
    return 0, gone_up, gone_right


@njit(nogil=True, cache=True, error_model="numpy")
def _nearest_vertex(last, positives, negatives, members, drawn, counts, lane, target):
    """The ROC vertex whose false-positive rate is nearest to `target`. Ties: the first.

    last: of one group; members: its rows, flags and ranks among everyone. Vertices are those that
    scikit-learn's `roc_curve` keeps: one per distinct score with a positive weight, less each one
    whose two neighbouring steps are equal, and the origin. The walk begins at the last one that is
    surely kept and below the target, and ends with the first above it. Returns J = TPR - FPR at the
    vertex, and how many members are at and above it.
    """
    rows, flags, ranks = members
    noted = count_below(ranks, np.int64(last[_END + lane]), False)
    begin, gone_up, gone_right = _last_corner(noted, members, drawn, counts, lane)
    tp = fp = 0.0
    if begin:
        tp, fp = last[_TP + lane] - gone_up, last[_FP + lane] - gone_right
    fpr = fp / negatives
    nearest, best_j, best_rank = abs(fpr - target), tp / positives - fpr, begin
    up = right = last_up = last_right = 0.0
    first, waiting, rank = begin == 0, False, begin
    for i in range(begin, len(rows)):
        weight = counts[drawn.units[rows[i]], lane] * np.float64(drawn.weights[rows[i]])
        if flags[i] & POSITIVE:
            up += weight
        else:
            right += weight
        if flags[i] & TIED or up + right == 0.0:
            continue
        if waiting and (first or up != last_up or right != last_right):
            fpr = fp / negatives
            if abs(fpr - target) < nearest:
                nearest, best_j, best_rank = abs(fpr - target), tp / positives - fpr, rank
            if fpr > target:
                waiting = False
                break
            first = False
        tp += up
        fp += right
        waiting, rank, last_up, last_right = True, i + 1, up, right
        up = right = 0.0
    if waiting and abs(fp / negatives - target) < nearest:
        best_j, best_rank = tp / positives - fp / negatives, rank
    return best_j, best_rank


@njit(nogil=True, cache=True)
def _recall(rank, drawn, counts, ranking, groups, sums, noted, note_ranks):
    """Set the sums to what they were before `rank`, from those noted before it."""
    near = rank // SPACING
    _copy(sums.rows, noted[near, 0])
    _copy(sums.hits, noted[near, 1])
    return _go_on(note_ranks[near], rank, drawn, counts, ranking, groups, sums)


@njit(nogil=True, cache=True)
def _go_on(start, stop, drawn, counts, ranking, groups, sums):
    """Add the ranks from `start` to `stop` to the sums; returns `stop`."""
    rows, flags = ranking
    weights = np.empty(LANES, drawn.weights.dtype)
    for i in range(start, stop):
        _weigh(drawn, counts, rows[i], weights)
        for group in groups[rows[i]]:
            if group >= 0:
                _add(sums.rows, group, weights)
                if flags[i] & POSITIVE:
                    _add(sums.hits, group, weights)
    return stop


@njit(nogil=True, cache=True, error_model="numpy")
def _rates(tpr, fpr, detail, sums, negatives, lane):
    """Fill one replicate's rates by group, (groups,), at the rank where the sums are."""
    for group in range(len(detail)):
        if detail[group] >= RATES:
            positives, hits = np.float64(sums.positives[group, lane]), sums.hits[group, lane]
            if positives > 0:
                tpr[group] = hits / positives
            if negatives[group, lane] > 0:
                fpr[group] = (sums.rows[group, lane] - hits) / negatives[group, lane]


@njit(nogil=True, cache=True, error_model="numpy")
def _write_metrics(metrics, prevalence, detail, sums, negatives, state, lane):
    """Fill one replicate's metrics, (4, groups), and prevalence, (groups,)."""
    for group in range(len(detail)):
        positives, negative = np.float64(sums.positives[group, lane]), negatives[group, lane]
        if detail[group] >= RATES and positives + negative > 0:
            prevalence[group] = positives / (positives + negative)
        if positives > 0 and negative > 0:
            if detail[group] >= AREA:
                metrics[ROC_AREA, group] = state[group, _AREA + lane] / positives / negative
            if detail[group] == EVERYTHING:
                precision = state[group, _PRECISION + lane] / positives
                metrics[AVERAGE_PRECISION, group] = precision
                metrics[MAX_J, group] = state[group, _LARGEST + lane]


@njit(nogil=True, cache=True)
def _members(rankings, finding, group):
    """Rows and flags of a group, and their ranks in the ranking of everyone."""
    start, stop = rankings.member_starts[finding, group : group + 2]
    ranks = rankings.members[start:stop]
    rows = np.empty(len(ranks), rankings.rows.dtype)
    for i in range(len(ranks)):
        rows[i] = rankings.rows[rankings.starts[finding] + ranks[i]]
    return rows, rankings.member_flags[start:stop], ranks


@njit(nogil=True, cache=True)
def _longest(starts):
    """The most ranks of any ranking."""
    longest = 0
    for finding in range(len(starts) - 1):
        longest = max(longest, starts[finding + 1] - starts[finding])
    return longest


@njit(nogil=True, cache=True)
def _positive(ranking):
    """The rows of a ranking with target 1."""
    rows, flags = ranking
    hits, found = np.empty_like(rows), 0
    for i in range(len(rows)):
        if flags[i] & POSITIVE:
            hits[found] = rows[i]
            found += 1
    return hits[:found]


@njit(nogil=True, cache=True)
def _rising(values):
    """The positions of a few values in rising order."""
    order = np.arange(len(values))
    for i in range(1, len(values)):
        k = i
        while k and values[order[k - 1]] > values[order[k]]:
            order[k - 1], order[k] = order[k], order[k - 1]
            k -= 1
    return order


@njit(nogil=True, cache=True, error_model="numpy")
def sweep(out, vertices, drawn, rankings, groups, cut_ranks, target, detail):
    """Measure up to LANES replicates.

    out: Measures of these replicates, NaN, filled. vertices: shape (replicates, f), int64, filled
    with the number of ranks at and above the vertex of everyone, -1 where there is none. rankings:
    `Rankings`. groups: shape (n, k), as of `Sample`. cut_ranks: shape (f, c), the number of ranks
    that score at least each threshold, -1 for none. target: of the false-positive rate. detail:
    shape (f, groups), from NOTHING to EVERYTHING; group 0 is everyone.
    """
    n_lanes, n_cuts = len(out.prevalence), cut_ranks.shape[1]
    n_groups, kind = detail.shape[1], drawn.weights.dtype
    scratch = np.empty((6, n_groups, LANES), kind)
    sums = Sums(scratch[0], scratch[1], scratch[2], scratch[3], scratch[4], scratch[5])
    weights = np.empty(LANES, kind)
    negatives, state = np.empty((n_groups, LANES)), np.empty((n_groups, 5 * LANES))
    last = np.empty((n_groups, 4 * LANES), kind)
    noted = np.empty((_longest(rankings.starts) // SPACING + 1, 2, n_groups, LANES), kind)
    note_ranks = np.zeros(len(noted), np.int64)
    for finding in range(len(detail)):
        counts, level = drawn.counts[min(finding, len(drawn.counts) - 1)], detail[finding]
        start, stop = rankings.starts[finding], rankings.starts[finding + 1]
        ranking = rankings.rows[start:stop], rankings.flags[start:stop]
        if finding == 0 or len(drawn.counts) > 1 or not rankings.same_images[finding]:
            _totals(drawn, counts, ranking[0], groups, sums.total, weights)
        hits = _positive(ranking)
        _totals(drawn, counts, hits, groups, sums.positives, weights)
        _begin(sums, negatives, state, last, target)
        plan = drawn, counts, ranking, groups, level
        _sweep(*plan, sums, negatives, state, last, noted, note_ranks)
        for lane in range(n_lanes):
            metrics, prevalence = out.metrics[lane, :, finding], out.prevalence[lane, finding]
            _write_metrics(metrics, prevalence, level, sums, negatives, state, lane)
        for group in range(n_groups):
            if level[group] < EVERYTHING:
                continue
            members = _members(rankings, finding, group)
            for lane in range(n_lanes):
                positives, negative = sums.positives[group, lane], negatives[group, lane]
                if positives > 0 and negative > 0:
                    j, vertex = _nearest_vertex(
                        last[group], positives, negative, members, drawn, counts, lane, target
                    )
                    out.metrics[lane, J_AT_TARGET, finding, group] = j
                    if group == 0:
                        vertices[lane, finding] = vertex
        from_notes = drawn, counts, ranking, groups, sums, noted, note_ranks
        for k in range(n_cuts):
            if cut_ranks[finding, k] >= 0:
                _recall(cut_ranks[finding, k], *from_notes)
                for lane in range(n_lanes):
                    tpr, fpr = out.tpr[lane, k, finding], out.fpr[lane, k, finding]
                    _rates(tpr, fpr, level, sums, negatives, lane)
        rank = -1
        for lane in _rising(vertices[:, finding]):
            wanted = vertices[lane, finding]
            if wanted < 0:
                continue
            if rank < 0 or wanted - rank > SPACING:
                rank = _recall(wanted, *from_notes)
            rank = _go_on(rank, wanted, drawn, counts, ranking, groups, sums)
            tpr, fpr = out.tpr[lane, n_cuts, finding], out.fpr[lane, n_cuts, finding]
            _rates(tpr, fpr, level, sums, negatives, lane)
