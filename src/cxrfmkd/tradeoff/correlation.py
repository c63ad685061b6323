"""Performance against bias: the thesis's line through one point a model, and a rank correlation
beside it.

Source: thesis method, section 8. Points are means over seeds. Models that share a backbone (a
student, the teacher, an ImageNet network) are no independent witnesses, so intervals draw whole
families of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from cxrfmkd.datasets.halves import HALVES
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.vocabulary.findings import AVERAGE_OF_SEVEN, MACRO
from cxrfmkd.vocabulary.models import MODELS

KEYS = ["dataset", "population", "finding", "metric"]
FINDINGS = (AVERAGE_OF_SEVEN, MACRO)
MEASURES = {
    "score": ("score", "simulation_low", "simulation_high"),
    "D": ("d_combined", "d_combined_low", "d_combined_high"),
}
REPLICATES, PERMUTATIONS, FEWEST = 2000, 10_000, 3


def family(model: str, loss: str) -> str:
    """What a model's backbone comes from: a student of `loss`, the teacher, or a network's initial weights."""
    return f"student {loss}" if MODELS[model].student else MODELS[model].backbone


def read(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Tables one below the other; a blank loss is the empty string."""
    if not paths:
        raise InputError("performance_vs_bias: there are no tables to compare.")
    table = pd.concat([pd.read_csv(path, dtype={"loss": str}) for path in paths], ignore_index=True)
    return table.assign(loss=table.loss.fillna(""))


def points(summaries: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """One row a model, population, finding group, metric and measure of bias (`score`, or `D` over
    all modes).

    summaries: evaluation's `summary.csv` and `halves.csv`, of which the models trained on the
    dataset itself are taken; scores: `scores.csv`. Columns: docs/bias.md.
    """
    own = summaries[(summaries.strategy == "own") & summaries.finding.isin(FINDINGS)]
    own = own.rename(
        columns={"mean": "performance", "low": "performance_low", "high": "performance_high"}
    )
    columns = ["model", "loss", "performance", "performance_low", "performance_high"]
    tables = []
    for measure, names in MEASURES.items():
        bias = scores[["dataset", "model", "loss", *names]].dropna(subset=names[0])
        bias = bias.set_axis(["dataset", "model", "loss", "bias", "bias_low", "bias_high"], axis=1)
        joined = own[[*KEYS, *columns]].merge(bias, on=["dataset", "model", "loss"])
        tables.append(joined.assign(measure=measure))
    table = pd.concat(tables, ignore_index=True).dropna(subset=["performance"])
    if table.empty:
        raise InputError(
            "performance_vs_bias: no model has both a performance in the summaries and a bias "
            "score. "
            "Give it tables of the same datasets."
        )
    names = [family(m, loss) for m, loss in zip(table.model, table.loss, strict=True)]
    return table.assign(family=names)


def of_half(population: str) -> bool:
    """Whether a population is one half of the patients of another."""
    return population.endswith(HALVES)


def correlations(table: pd.DataFrame, scores: pd.DataFrame, seed: int = 42) -> pd.DataFrame:
    """Line and rank correlation of every population, finding group, metric and measure (columns:
    docs/bias.md).

    table: from `points`. Where it has halves of the patients (populations such as `resampled half
    1`),
    `spearman_split` is the mean correlation of performance in one half with score in the other.
    """
    lines = []
    for key, own in table.groupby([*KEYS, "measure"], sort=False):
        named = dict(zip([*KEYS, "measure"], key, strict=True))
        if of_half(named["population"]):
            continue
        x, y = own.bias.to_numpy(float), own.performance.to_numpy(float)
        line = named | {"models": len(own), "families": own.family.nunique()}
        if len(own) >= FEWEST and np.ptp(x) > 0 and np.ptp(y) > 0:
            slope, intercept = np.polyfit(x, y, 1)
            low, high = clustered(x, y, own.family.to_numpy(), seed)
            line |= {"slope": slope, "intercept": intercept, "spearman": float(spearman(x, y))}
            line |= {"low": low, "high": high, "p": permuted(x, y, seed)}
            if named["measure"] == "score":
                line["spearman_split"] = _split(table, scores, named)
        lines.append(line)
    columns = ["slope", "intercept", "spearman", "low", "high", "p", "spearman_split"]
    return pd.DataFrame(lines).reindex(columns=[*KEYS, "measure", "models", "families", *columns])


def spearman(x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Rank correlation of x and y, (n,), each pair counted by `weights`, (..., n); NaN where one side is constant."""
    weights = np.ones(len(x)) if weights is None else weights
    sides = []
    for values in (x, y):
        before = (values[:, None] < values[None]) + (values[:, None] == values[None]) / 2
        ranks = weights @ before
        mean = (weights * ranks).sum(-1, keepdims=True) / weights.sum(-1, keepdims=True)
        sides.append(ranks - mean)
    a, b = sides
    scale = np.sqrt((weights * a**2).sum(-1) * (weights * b**2).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(scale > 1e-9, (weights * a * b).sum(-1) / scale, np.nan)


def clustered(x: np.ndarray, y: np.ndarray, families: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % percentile interval of the rank correlation over replicates that draw whole families."""
    names, members = np.unique(families, return_inverse=True)
    if len(names) < FEWEST:
        return np.nan, np.nan
    drawn = np.random.default_rng(seed).multinomial(
        len(names), [1 / len(names)] * len(names), REPLICATES
    )
    found = spearman(x, y, drawn[:, members].astype(float))
    if np.isnan(found).mean() > 0.5:
        return np.nan, np.nan
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(low), float(high)


def permuted(x: np.ndarray, y: np.ndarray, seed: int) -> float:
    """Two-sided p-value of no association, by random permutations of the models."""
    a, b = (rankdata(values) - (len(values) + 1) / 2 for values in (x, y))
    shuffled = np.random.default_rng(seed).permuted(np.tile(b, (PERMUTATIONS, 1)), axis=1)
    reached = np.count_nonzero(np.abs(shuffled @ a) >= abs(b @ a) - 1e-9)
    return (1 + reached) / (1 + PERMUTATIONS)


def _split(table: pd.DataFrame, scores: pd.DataFrame, named: dict) -> float:
    """Mean rank correlation between performance in one half of the patients and score in the other."""
    found = []
    for half, other in zip(HALVES, reversed(HALVES), strict=True):
        column = f"score_{other.replace(' ', '_')}"
        wanted = named | {"population": f"{named['population']} {half}"}
        own = table[np.logical_and.reduce([table[name] == value for name, value in wanted.items()])]
        joined = own.merge(scores[["dataset", "model", "loss", column]].dropna())
        if len(joined) < FEWEST:
            return np.nan
        found.append(float(spearman(joined[column].to_numpy(), joined.performance.to_numpy())))
    return float(np.mean(found))
