"""Tests of equivalence, and the adjustment of tests for having made many."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from cxrfmkd.statistics.uncertainty import standard_error


def tost(
    difference: np.ndarray, margin: float, p_values: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """One-sided p-values that a difference is above -margin, and that it is within +-margin.

    The first tests non-inferiority, the second equivalence: two one-sided tests, of which the
    larger p counts (Schuirmann 1987). p_values: two-sided, of differences with the error of these,
    so that intervals, tests of a difference and tests of none follow one rule.
    """
    sides = []
    for distance in (difference + margin, margin - difference):
        p = p_values(distance) / 2
        sides.append(np.where(distance > 0, p, 1 - p))
    above, below = sides
    return above, np.maximum(above, below)


def deviations(replicates: np.ndarray) -> np.ndarray:
    """How far each replicate is from their mean, in standard errors, float32 (replicates, ...)."""
    if not len(replicates):
        return replicates.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        # A replicate without a value leaves the others theirs, as in the standard error.
        mean = np.nansum(replicates, axis=0) / (~np.isnan(replicates)).sum(axis=0)
        apart = (replicates - mean) / standard_error(replicates)
    return apart.astype(np.float32)


def max_t(p: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """p-values adjusted by the largest of many dependent deviations, stepping down.

    p: (tests,), two-sided. deviations: (replicates, tests), how far each replicate of what was
    tested is off, in standard errors: all tests on the same replicates. Each test is compared with
    the replicates' largest deviation among those that are not more significant (Westfall and Young
    1993), so that tests that say the same cost little. NaN stays NaN.
    """
    result = np.full(len(p), np.nan)
    tests = np.flatnonzero(~np.isnan(p))
    tests = tests[np.argsort(p[tests], kind="stable")]
    size = np.abs(np.nan_to_num(deviations[:, tests]))
    largest = np.maximum.accumulate(size[:, ::-1], axis=1)[:, ::-1]
    reached = (largest >= stats.norm.isf(p[tests] / 2)).sum(axis=0)
    stepped = np.maximum.accumulate((1 + reached) / (1 + len(deviations)))
    result[tests] = np.maximum(stepped, p[tests])
    return result


def max_t_by_family(table: pd.DataFrame, drawn: np.ndarray) -> pd.DataFrame:
    """`table` with a column p_max_t, its p adjusted by `max_t` within each `family`.

    drawn: the tests' deviations, (rows, replicates), as from `deviations`; NaN without replicates.
    """
    result = np.full(len(table), np.nan)
    if drawn.shape[1]:
        for rows in table.groupby("family", sort=False).indices.values():
            result[rows] = max_t(table.p.to_numpy()[rows], drawn[rows].T)
    return table.assign(p_max_t=result)


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
