"""The rule of intervals and p-values itself: a mean over few seeds, with normal errors."""

from __future__ import annotations

import numpy as np
from cases import ERRORS, Case, Hits
from worlds import covers

from cxrfmkd.statistics.uncertainty import errors, plain_interval, seed_variance

REPLICATES = 200


def of_ratio(seeds: int, ratio: float):
    """A world whose variance over seeds is `ratio` times that over patients."""

    def simulate(rng: np.random.Generator) -> Hits:
        by_seed = rng.normal() + np.sqrt(ratio * seeds) * rng.normal(size=(seeds, 1))
        estimate = by_seed.mean(axis=0)
        values = np.vstack([estimate, estimate + rng.normal(size=(REPLICATES, 1))])
        error = errors(values, seed_variance(by_seed))
        low, high = plain_interval(estimate, error, 0.95)
        significant = error.p_values(estimate)[0] < 0.05
        if significant != (low[0] > 0 or high[0] < 0):
            raise AssertionError("p-value and interval disagree")
        return {"interval": covers(low[0], 0.0, high[0]), "test": bool(significant)}

    return simulate


CASES = [
    Case(
        "A mean over seeds",
        f"{seeds} seeds, whose variance is {ratio:g} times that of patients",
        of_ratio(seeds, ratio),
        kinds={"test": ERRORS},
    )
    for seeds in (2, 3, 5)
    for ratio in (0.1, 1.0, 10.0)
]
