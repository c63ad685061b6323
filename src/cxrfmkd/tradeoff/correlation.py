"""Performance against bias: the thesis's line through one point a model, and rank correlation.

Source: thesis method, section 8. Points are means over seeds. Models that share a backbone (a
student, the teacher, an ImageNet network) are not independent, so intervals draw whole families of
models.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from cxrfmkd.datasets.halves import HALVES
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.statistics.draws import multinomial_counts
from cxrfmkd.statistics.intervals import central_interval
from cxrfmkd.vocabulary.findings import AVERAGE_OF_SEVEN, MACRO
from cxrfmkd.vocabulary.models import MODELS, join_model, network_of

MODEL = ["dataset", "model", "loss"]
KEYS = ["dataset", "population", "finding", "metric"]
FINDINGS = (AVERAGE_OF_SEVEN, MACRO)
# Columns of `scores.csv` for each measure of bias: value, low, high.
BIAS_COLUMNS = {
    "score": ("score", "simulation_low", "simulation_high"),
    "D": ("d_combined", "d_combined_low", "d_combined_high"),
}
REPLICATES, PERMUTATIONS = 2000, 10_000
FEWEST = 3  # points, or families of models, that a correlation or its interval needs


def backbone_family(model: str, loss: str) -> str:
    """What a model's backbone comes from: a student of `loss`, the teacher, or initial weights."""
    return f"student {loss}" if MODELS[model].student else network_of(join_model(model, loss))


def read_tables(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Tables one below the other; a blank loss is the empty string."""
    if not paths:
        raise InputError("performance_vs_bias: there are no tables to compare.")
    table = pd.concat([pd.read_csv(path, dtype={"loss": str}) for path in paths], ignore_index=True)
    return table.assign(loss=table.loss.fillna(""))


def model_points(summaries: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """A row for each model, population, average of findings, metric and measure of bias.

    summaries: evaluation's `summary.csv` and `halves.csv`, of which the models trained on the
    dataset itself are taken; scores: `scores.csv`. The measures of bias are the score and D over
    all modes. Columns: docs/bias.md.
    """
    rows = summaries[(summaries.strategy == "own") & summaries.finding.isin(FINDINGS)]
    names = {"mean": "performance", "low": "performance_low", "high": "performance_high"}
    performance = rows.rename(columns=names)[[*KEYS, *MODEL[1:], *names.values()]]
    tables = []
    for measure, columns in BIAS_COLUMNS.items():
        bias = scores[[*MODEL, *columns]].dropna(subset=columns[0])
        bias = bias.set_axis([*MODEL, "bias", "bias_low", "bias_high"], axis=1)
        tables.append(performance.merge(bias, on=MODEL).assign(measure=measure))
    table = pd.concat(tables, ignore_index=True).dropna(subset=["performance"])
    if table.empty:
        raise InputError(
            "performance_vs_bias: no model has both a performance in the summaries and a bias "
            "score. Give it tables of the same datasets."
        )
    families = [backbone_family(m, loss) for m, loss in zip(table.model, table.loss, strict=True)]
    return table.assign(family=families)


def is_half(population: str) -> bool:
    """Whether a population is one half of the patients of another."""
    return population.endswith(HALVES)


def correlations(points: pd.DataFrame, scores: pd.DataFrame, seed: int = 42) -> pd.DataFrame:
    """Line and rank correlation of every population, average, metric and measure of bias.

    points: from `model_points`. Where it has halves of the patients (populations such as `resampled
    half 1`), `spearman_split` is the mean correlation of performance in one half with the score in
    the other. Columns: docs/bias.md.
    """
    lines = []
    for key, models in points.groupby([*KEYS, "measure"], sort=False):
        selection = dict(zip([*KEYS, "measure"], key, strict=True))
        if is_half(selection["population"]):
            continue
        x, y = models.bias.to_numpy(float), models.performance.to_numpy(float)
        line = selection | {"models": len(models), "families": models.family.nunique()}
        if len(models) >= FEWEST and np.ptp(x) > 0 and np.ptp(y) > 0:
            line["slope"], line["intercept"] = np.polyfit(x, y, 1)
            line["spearman"] = float(weighted_spearman(x, y))
            line["low"], line["high"] = family_interval(x, y, models.family.to_numpy(), seed)
            line["p"] = permutation_p(x, y, seed)
            if selection["measure"] == "score":
                line["spearman_split"] = _split_correlation(points, scores, selection)
        lines.append(line)
    columns = "models families slope intercept spearman low high p spearman_split".split()
    return pd.DataFrame(lines).reindex(columns=[*KEYS, "measure", *columns])


def weighted_spearman(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Rank correlation of x and y, (n,), each pair counted by `weights`, (..., n).

    NaN where one side is constant.
    """
    weights = np.ones(len(x)) if weights is None else weights
    deviations = []
    for values in (x, y):
        below = (values[:, None] < values[None]) + (values[:, None] == values[None]) / 2
        ranks = weights @ below
        mean = (weights * ranks).sum(-1, keepdims=True) / weights.sum(-1, keepdims=True)
        deviations.append(ranks - mean)
    a, b = deviations
    scale = np.sqrt((weights * a**2).sum(-1) * (weights * b**2).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(scale > 1e-9, (weights * a * b).sum(-1) / scale, np.nan)


def family_interval(
    x: np.ndarray, y: np.ndarray, families: np.ndarray, seed: int
) -> tuple[float, float]:
    """95 % percentile interval of the rank correlation over replicates that draw whole families.

    NaN with too few families, or if most replicates have no correlation.
    """
    names, members = np.unique(families, return_inverse=True)
    if len(names) < FEWEST:
        return np.nan, np.nan
    drawn = multinomial_counts(len(names), REPLICATES, seed)[:, members]
    replicates = weighted_spearman(x, y, drawn.astype(float))
    return (np.nan, np.nan) if np.isnan(replicates).mean() > 0.5 else central_interval(replicates)


def permutation_p(x: np.ndarray, y: np.ndarray, seed: int) -> float:
    """Two-sided p-value of no association, by random permutations of the models."""
    a, b = (rankdata(values) - (len(values) + 1) / 2 for values in (x, y))
    shuffled = np.random.default_rng(seed).permuted(np.tile(b, (PERMUTATIONS, 1)), axis=1)
    reached = np.count_nonzero(np.abs(shuffled @ a) >= abs(b @ a) - 1e-9)
    return (1 + reached) / (1 + PERMUTATIONS)


def _split_correlation(points: pd.DataFrame, scores: pd.DataFrame, selection: dict) -> float:
    """Mean rank correlation of performance in one half of the patients with the other's score."""
    results = []
    for half, other in zip(HALVES, reversed(HALVES), strict=True):
        of_half = selection | {"population": f"{selection['population']} {half}"}
        column = f"score_{other.replace(' ', '_')}"
        rows = points[(points[list(of_half)] == pd.Series(of_half)).all(axis=1)]
        models = rows.merge(scores[[*MODEL, column]].dropna())
        if len(models) < FEWEST:
            return np.nan
        x, y = models[column].to_numpy(), models.performance.to_numpy()
        results.append(float(weighted_spearman(x, y)))
    return float(np.mean(results))
