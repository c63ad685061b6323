"""Tests of paired differences, and their adjustment for having made many."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests


def standard_error(replicates: np.ndarray) -> np.ndarray:
    """Standard deviation over replicates (first axis) that are defined; NaN with fewer than two."""
    count = (~np.isnan(replicates)).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.nansum(replicates, axis=0) / count
        squares = np.nansum((replicates - mean) ** 2, axis=0)
        return np.where(count > 1, np.sqrt(squares / (count - 1)), np.nan)


def wald(difference: np.ndarray, error: np.ndarray, *seed_values: np.ndarray) -> np.ndarray:
    """Two-sided p-values of differences with bootstrap standard errors, by Student's t.

    difference, error: shape (...). seed_values: for each model of the difference, its value per
    seed, shape (seeds, ...). The degrees of freedom are Satterthwaite's: few seeds say little about
    the variance between seeds, many patients much about that between patients. NaN where the error
    is 0 or unknown.
    """
    lost = np.zeros(np.shape(difference))
    for values in seed_values:
        seeds = len(values)
        if seeds > 1:
            lost += (values.var(axis=0, ddof=1) / seeds) ** 2 / (seeds - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(difference) / error
        freedom = np.where(lost > 0, np.maximum(error**4 / lost, 1.0), np.inf)
    p = np.where(np.isinf(freedom), 2 * stats.norm.sf(ratio), 2 * stats.t.sf(ratio, freedom))
    return np.where(error > 0, p, np.nan)


def adjusted(p: np.ndarray, method: str) -> np.ndarray:
    """p-values adjusted by a procedure of statsmodels' `multipletests`, or as they are for "none".

    NaN stays NaN and does not count as a test.
    """
    p = np.asarray(p, float)
    defined = ~np.isnan(p)
    result = np.full(p.shape, np.nan)
    if method == "none" or not defined.any():
        return p.copy()
    result[defined] = multipletests(p[defined], method=method)[1]
    return result


def adjust_by_family(table: pd.DataFrame, families: list[str], method: str) -> pd.DataFrame:
    """`table` with a column p_adjusted: p adjusted within each combination of `families`."""
    result = table.groupby(families, sort=False, dropna=False).p.transform(
        lambda p: adjusted(p.to_numpy(), method)
    )
    return table.assign(p_adjusted=result)
