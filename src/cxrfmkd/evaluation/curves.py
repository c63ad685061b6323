"""ROC and precision-recall curves on a fixed grid, averaged over seeds, as a figure needs them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrfmkd.evaluation.metrics import curve
from cxrfmkd.runtime.longform import long
from cxrfmkd.statistics.intervals import deviation
from cxrfmkd.vocabulary.findings import FINDINGS

GRID = np.linspace(0, 1, 51)
CURVES = ("roc", "pr")


def curves_on_grid(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The curves of every finding, shape (f, 2, 51); NaN with one class only.

    targets, scores: shape (n, f); weights: (n,).
    """
    columns = zip(targets.T, scores.T, strict=True)
    return np.stack([_on_grid(*column, weights) for column in columns])


def _on_grid(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """True-positive rate at each false-positive rate of GRID, and precision at each recall.

    The ROC curve is interpolated along its edges, at a vertical edge to its top; precision is that
    of the highest threshold that reaches the recall, the step of average precision.
    """
    _, tp, fp = curve(targets, scores, weights)
    if tp[-1] == 0 or fp[-1] == 0:
        return np.full((2, len(GRID)), np.nan)
    tpr, fpr = tp / tp[-1], fp / fp[-1]
    last = np.flatnonzero(np.diff(fpr, append=np.inf))
    roc = np.interp(GRID, fpr[last], tpr[last])
    reached = np.searchsorted(tpr[1:], GRID - 1e-12) + 1
    precision = (tp[1:] / (tp[1:] + fp[1:]))[np.minimum(reached, len(tpr) - 1) - 1]
    return np.stack([roc, precision])


def curve_table(values: np.ndarray, findings: Sequence[str] = FINDINGS) -> pd.DataFrame:
    """Mean and SD over seeds, without findings of one class only. values: (seeds, f, 2, 51)."""
    table = long(
        {"finding": findings, "curve": CURVES, "x": GRID.round(2).tolist()},
        y=values.mean(axis=0).round(5),
        sd=deviation(values).round(5),
    )
    return table[table.y.notna()]
