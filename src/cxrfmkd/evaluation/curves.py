"""ROC and precision-recall curves on a fixed grid, averaged over seeds: what a figure needs, and no more."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.evaluation.metrics import curve
from cxrfmkd.runtime.longform import long
from cxrfmkd.vocabulary.findings import FINDINGS

GRID = np.linspace(0, 1, 51)
CURVES = ("roc", "pr")


def on_grid(truth, scores, weights) -> np.ndarray:
    """True-positive rate at each false-positive rate of GRID, and precision at each recall.

    truth, scores, weights: shape (n,). The ROC curve is interpolated along its edges, at a vertical
    edge to its top; precision is that of the highest threshold that reaches the recall, the step of
    average precision. Returns (2, 51), NaN with one class only.
    """
    _, tp, fp = curve(truth, scores, weights)
    if tp[-1] == 0 or fp[-1] == 0:
        return np.full((2, len(GRID)), np.nan)
    tpr, fpr = tp / tp[-1], fp / fp[-1]
    last = np.flatnonzero(np.diff(fpr, append=np.inf))
    roc = np.interp(GRID, fpr[last], tpr[last])
    reached = np.searchsorted(tpr[1:], GRID - 1e-12) + 1
    precision = (tp[1:] / (tp[1:] + fp[1:]))[np.minimum(reached, len(tpr) - 1) - 1]
    return np.stack([roc, precision])


def curves(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`on_grid` of every finding. truth, scores: shape (n, 14); weights: (n,). Returns (14, 2, 51)."""
    return np.stack([on_grid(truth[:, k], scores[:, k], weights) for k in range(truth.shape[1])])


def table(values: np.ndarray) -> pd.DataFrame:
    """Mean and SD over seeds. values: shape (seeds, 14, 2, 51). Findings with one class only are left out."""
    sd = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1:], np.nan)
    result = long(
        {"finding": list(FINDINGS), "curve": list(CURVES), "x": GRID.round(2).tolist()},
        y=values.mean(axis=0).round(5),
        sd=sd.round(5),
    )
    return result[result.y.notna()].reset_index(drop=True)
