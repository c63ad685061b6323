"""Images ranked by score, and within the ranking those of every group of patients."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from cxrfmkd.statistics.sweep import POSITIVE, TIED


class Ranking(NamedTuple):
    """One finding's images by falling score; images whose target is NaN are left out.

    rows: shape (n,), int32, the image at each rank. flags: shape (n,), uint8, POSITIVE if its
    target is 1 and TIED if the next rank has the same score. scores: shape (n,), float64.
    """

    rows: np.ndarray
    flags: np.ndarray
    scores: np.ndarray


class Rankings(NamedTuple):
    """The rankings of every finding, one after the other, and those of its groups.

    rows, flags, scores: as of `Ranking`, joined. starts: shape (f + 1,), where each begins.
    same_images: shape (f,), whether a finding ranks the same images as the one before.
    members, member_flags: ranks and flags of every finding's groups, everyone first, joined.
    member_starts: shape (f, groups + 1), where each finding's groups begin, and the last ends.
    """

    rows: np.ndarray
    flags: np.ndarray
    scores: np.ndarray
    starts: np.ndarray
    same_images: np.ndarray
    members: np.ndarray
    member_flags: np.ndarray
    member_starts: np.ndarray

    def ranks_above(self, cuts: np.ndarray) -> np.ndarray:
        """How many ranks score at least each threshold, int64 (f, c), -1 for none (NaN).

        cuts: shape (f, c).
        """
        result = np.full(cuts.shape, -1, np.int64)
        for k, (start, stop) in enumerate(zip(self.starts, self.starts[1:], strict=False)):
            at_least = np.searchsorted(-self.scores[start:stop], -cuts[k], side="right")
            result[k] = np.where(np.isnan(cuts[k]), -1, at_least)
        return result


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
    sorted_scores = np.asarray(scores[order], np.float64)
    tied = np.diff(sorted_scores, append=-np.inf) == 0
    flags = (targets[order] > 0) * np.uint8(POSITIVE) | tied * np.uint8(TIED)
    return Ranking(order.astype(np.int32), flags, sorted_scores)


def rank_findings(
    targets: np.ndarray, scores: np.ndarray, groups: np.ndarray, ranked_groups: np.ndarray
) -> Rankings:
    """Rank every finding, and its images within groups.

    targets, scores: shape (n, f). groups: shape (n, k), whole numbers, as of `Sample`.
    ranked_groups: shape (f, groups), bool, which groups' images are ranked.
    """
    ranked = [rank(labels, score) for labels, score in zip(targets.T, scores.T, strict=True)]
    rows, flags, all_scores = map(np.concatenate, zip(*ranked, strict=True))
    starts = np.cumsum([0, *(len(one.rows) for one in ranked)])
    unlabelled = np.isnan(targets)
    same = np.r_[False, (unlabelled[:, 1:] == unlabelled[:, :-1]).all(axis=0)]
    n_groups = ranked_groups.shape[1]
    sizes = np.zeros((len(ranked), n_groups), np.int64)
    for k, one in enumerate(ranked):
        codes = groups[one.rows].ravel()
        sizes[k] = np.bincount(codes[codes >= 0], minlength=n_groups)
    sizes[~ranked_groups] = 0
    ends = np.cumsum(sizes.ravel()).reshape(sizes.shape)
    member_starts = np.concatenate([ends[:, :1] - sizes[:, :1], ends], axis=1)
    members, member_flags = np.empty(sizes.sum(), np.int32), np.zeros(sizes.sum(), np.uint8)
    for k, one in enumerate(ranked):
        wanted = ranked_groups[k]
        _divide(one.rows, one.flags, groups, wanted, member_starts[k], members, member_flags)
    return Rankings(rows, flags, all_scores, starts, same, members, member_flags, member_starts)


@njit(nogil=True, cache=True)
def _divide(rows, flags, groups, wanted, starts, members, member_flags):
    """Fill one finding's members and their flags, by rank."""
    ends = starts.copy()
    last_tie, tie = np.full(len(wanted), -1), 0
    for i in range(len(rows)):
        for group in groups[rows[i]]:
            if group >= 0 and wanted[group]:
                end = ends[group]
                if last_tie[group] == tie:
                    member_flags[end - 1] |= TIED
                members[end], member_flags[end] = i, flags[i] & POSITIVE
                last_tie[group] = tie
                ends[group] += 1
        if not flags[i] & TIED:
            tie += 1
