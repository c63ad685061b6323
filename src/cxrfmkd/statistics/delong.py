"""Analytic variance of areas under ROC curves, for images that are independent or in patients.

A check on the bootstrap that shares nothing with it. With every image a patient of its own it is
DeLong's variance (DeLong 1988, by midranks as in Sun and Xu 2014); with several images a patient it
is Obuchowski's (1997).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import norm, rankdata


class Influence(NamedTuple):
    """What each patient's images of a finding add to the area's error.

    area: shape (f,). positive, negative: shape (patients, f), from images with and without the
    finding; zero for a patient who has none. Linear: the influence of a mean or difference is the
    mean or difference of influences.
    """

    area: np.ndarray
    positive: np.ndarray
    negative: np.ndarray

    def __sub__(self, other: Influence) -> Influence:
        return Influence(*(a - b for a, b in zip(self, other, strict=True)))


def influence(targets: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> Influence:
    """Areas and influences, NaN for a finding with one class only.

    targets: shape (n, f), 0, 1 or NaN; scores: (n, f); patients: (n,), any labels.
    """
    codes = np.unique(patients, return_inverse=True)[1]
    size = codes.max(initial=-1) + 1
    area = np.full(targets.shape[1], np.nan)
    influences = np.full((2, size, targets.shape[1]), np.nan)
    for k in range(targets.shape[1]):
        labelled = ~np.isnan(targets[:, k])
        positive, negative = targets[:, k] > 0, targets[:, k] == 0
        m, n = positive.sum(), negative.sum()
        if not m or not n:
            continue
        ranks = np.empty(len(targets))
        ranks[labelled] = rankdata(scores[labelled, k])
        above = (ranks[positive] - rankdata(scores[positive, k])) / n
        below = 1 - (ranks[negative] - rankdata(scores[negative, k])) / m
        area[k] = above.mean()
        influences[0, :, k] = np.bincount(codes[positive], (above - area[k]) / m, size)
        influences[1, :, k] = np.bincount(codes[negative], (below - area[k]) / n, size)
    return Influence(area, *influences)


def mean(influences: list[Influence]) -> Influence:
    """Of the mean area, such as that of several seeds."""
    return Influence(*(np.mean(parts, axis=0) for parts in zip(*influences, strict=True)))


def variance(influence: Influence, targets: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Variance of the areas, shape (f,); NaN with fewer than two patients with or without.

    targets, patients: as given to `influence`.
    """
    codes = np.unique(patients, return_inverse=True)[1]
    result = np.full(targets.shape[1], np.nan)
    for k in range(targets.shape[1]):
        labels = targets[:, k]
        masks = labels > 0, labels == 0, ~np.isnan(labels)
        n_positive, n_negative, n_all = (len(np.unique(codes[mask])) for mask in masks)
        if min(n_positive, n_negative) < 2:
            continue
        positive, negative = influence.positive[:, k], influence.negative[:, k]
        result[k] = (
            n_positive / (n_positive - 1) * (positive**2).sum()
            + n_negative / (n_negative - 1) * (negative**2).sum()
            + 2 * n_all / (n_all - 1) * (positive * negative).sum()
        )
    return result


def p_value(apart: Influence, targets: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Two-sided p-value of each difference of two areas, shape (f,).

    apart: one influence minus the other. NaN where its variance is unknown.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return 2 * norm.sf(np.abs(apart.area) / np.sqrt(variance(apart, targets, patients)))
