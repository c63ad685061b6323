"""Standard errors over patients and seeds, and the one rule of intervals and p-values.

An estimate is the mean over a few trained models (seeds), measured on the same patients. Its
variance has two parts: that over patients, from bootstrap replicates of the mean, and that over
seeds, from the spread of the seeds' own values. Two seeds say little about the latter, so its part
of the interval's width has Student's quantile; where it is small beside the former, that would be
far too wide, so the quantile falls to the normal one there. A p-value is the level at which the
interval touches the null, so that both always agree. What the rule is worth is measured in
`docs/validity.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

# Seeds' variance has Student's quantile where it is large beside this share of patients': the
# value with the coverage nearest to nominal over all ratios of the two, for 2, 3 and 5 seeds.
CLEAR = 0.15
FEWEST_PATIENTS = 15  # with fewer, of either class, a standard error says too little


class SeedVariance(NamedTuple):
    """Variance, over seeds, of a mean over seeds, shape (...), and its degrees of freedom."""

    variance: np.ndarray
    freedom: ArrayLike


def standard_error(replicates: np.ndarray) -> np.ndarray:
    """Standard deviation over replicates (first axis) that are defined; NaN with fewer than two."""
    count = (~np.isnan(replicates)).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.nansum(replicates, axis=0) / count
        squares = np.nansum((replicates - mean) ** 2, axis=0)
        return np.where(count > 1, np.sqrt(squares / (count - 1)), np.nan)


def seed_variance(
    by_seed: np.ndarray, over_patients: np.ndarray | None = None, within: np.ndarray | None = None
) -> SeedVariance:
    """Variance over seeds of the mean of `by_seed`, shape (seeds, ...); 0 for one seed.

    Seeds that are measured on the same patients also differ because patients do not suit them
    alike, which the variance over patients holds already. over_patients, within: shape (...), the
    variance over patients of the mean, and the mean over seeds of each one's, tell how much that
    is, and it is taken off; without them it counts twice.
    """
    seeds = len(by_seed)
    if seeds == 1:
        return SeedVariance(np.zeros(by_seed.shape[1:]), np.inf)
    spread = by_seed.var(axis=0, ddof=1)
    if over_patients is not None and within is not None:
        spread = np.maximum(spread - (within - over_patients) * seeds / (seeds - 1), 0)
    return SeedVariance(spread / seeds, seeds - 1)


def paired_seed_variance(values: np.ndarray) -> SeedVariance:
    """`seed_variance` of seeds that are measured on the same replicates of the patients.

    values: shape (seeds, 1 + replicates, ...), the sample first.
    """
    over_patients = standard_error(values[:, 1:].mean(axis=0)) ** 2
    within = np.mean([standard_error(one[1:]) ** 2 for one in values], axis=0)
    return seed_variance(values[:, 0], over_patients, within)


@dataclass(frozen=True)
class Errors:
    """How far estimates may be off. Arrays of shape (...).

    patients, freedom: variance over patients and its degrees of freedom; seeds: over seeds.
    """

    patients: np.ndarray
    freedom: ArrayLike
    seeds: SeedVariance

    @property
    def total(self) -> np.ndarray:
        """Standard errors over patients and seeds."""
        return np.sqrt(self.patients + self.seeds.variance)

    def half_width(self, confidence: ArrayLike) -> np.ndarray:
        """Half the width of intervals; NaN where the error is unknown."""
        tail = (1 - np.asarray(confidence)) / 2
        normal = -ndtri(tail)
        of_patients = _quantile(tail, self.freedom) ** 2
        of_seeds = _quantile(tail, self.seeds.freedom) ** 2 - normal**2
        spread = self.seeds.variance
        with np.errstate(invalid="ignore", divide="ignore"):
            clear = np.where(spread > 0, spread / (spread + CLEAR * self.patients), 0.0) ** 2
            seeds = np.where(spread > 0, spread * of_seeds * clear, 0.0)
            square = self.patients * of_patients + spread * normal**2 + seeds
        return np.sqrt(square)

    def p_values(self, estimate: np.ndarray) -> np.ndarray:
        """Two-sided p-values of no difference: the level at which the interval touches 0."""
        apart = np.abs(estimate)
        known = np.isfinite(apart) & (self.total > 0)
        low, high = np.full(apart.shape, np.log(1e-15)), np.zeros(apart.shape)
        for _ in range(45):  # halves the interval of log p: below the rounding of a p-value
            middle = (low + high) / 2
            wider = self.half_width(1 - np.exp(middle)) > apart
            low, high = np.where(wider, middle, low), np.where(wider, high, middle)
        return np.where(known, np.exp((low + high) / 2), np.nan)


def _quantile(tail: np.ndarray, freedom: ArrayLike) -> np.ndarray:
    """Upper quantile of Student's t, of the normal distribution for infinite freedom."""
    freedom = np.asarray(freedom, float)
    finite = np.isfinite(freedom)
    # Those of scipy.stats are the same functions, and take ten times as long to call.
    return -np.where(finite, stdtrit(np.where(finite, freedom, 1.0), tail), ndtri(tail))


def errors(values: np.ndarray, *seeds: SeedVariance, patients: ArrayLike = np.inf) -> Errors:
    """Errors of values[0], of which values[1:] are replicates over patients.

    values: shape (1 + replicates, ...). seeds: of the model, or of each of two independent ones
    whose difference is estimated. patients: shape (...), on how many an estimate rests, the fewer
    of those with and without the finding; below FEWEST_PATIENTS nothing is known.
    """
    count = np.asarray(patients, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        inflation = np.where(np.isinf(count), 1.0, count / (count - 1))
    variance = np.where(count < FEWEST_PATIENTS, np.nan, standard_error(values[1:]) ** 2)
    return Errors(variance * inflation, np.maximum(count - 1, 1), _joint(seeds, variance.shape))


def _joint(seeds: tuple[SeedVariance, ...], shape: tuple[int, ...]) -> SeedVariance:
    """Of a difference of independent means; degrees of freedom by Welch and Satterthwaite."""
    variance, lost = np.zeros(shape), np.zeros(shape)
    for one in seeds:
        variance = variance + one.variance
        lost = lost + one.variance**2 / np.asarray(one.freedom, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = np.where(lost > 0, np.maximum(variance**2 / lost, 1.0), np.inf)
    return SeedVariance(variance, freedom)


def plain_interval(
    estimate: np.ndarray, error: Errors, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """The estimate plus and minus its error, of a quantity without bounds."""
    half = error.half_width(confidence)
    return estimate - half, estimate + half


def bounded_interval(
    estimate: np.ndarray, error: Errors, confidence: float, low: float = 0.0, high: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """As `plain_interval` on the logit scale, for a quantity between `low` and `high`.

    NaN at the bounds themselves, where a standard error says nothing.
    """
    share = (estimate - low) / (high - low)
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = (share > 0) & (share < 1)
        logit = np.log(share / (1 - share))
        half = error.half_width(confidence) / (high - low) / (share * (1 - share))
        bounds = [1 / (1 + np.exp(-(logit + sign * half))) for sign in (-1, 1)]
    below, above = (np.where(inside, low + (high - low) * bound, np.nan) for bound in bounds)
    return below, above


def rate_interval(
    rate: np.ndarray, error: Errors, confidence: float, patients: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval of a share, with as many independent trials as its error is worth.

    patients: whom the share is of, the number of trials where the share is 0 or 1 and shows no
    error (Korn and Graubard 1998 for the effective number).
    """
    counts = np.broadcast_to(np.asarray(patients, float), np.shape(rate))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        half = error.half_width(confidence)
        worth = rate * (1 - rate) / half**2  # trials over the squared quantile
        quantile = _quantile(np.asarray((1 - confidence) / 2), error.freedom)
        at_bound = ~((rate > 0) & (rate < 1))
        least = counts / quantile**2
        worth = np.where(at_bound | ~(worth > 0), least, np.minimum(worth, 1e9))
        centre = (rate + 0.5 / worth) / (1 + 1 / worth)
        width = np.sqrt(rate * (1 - rate) / worth + 0.25 / worth**2) / (1 + 1 / worth)
    known = np.isfinite(rate) & (counts >= 1)
    return np.where(known, centre - width, np.nan), np.where(known, centre + width, np.nan)
