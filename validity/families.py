"""Families of tests: the chance of any false claim over models that are equally good."""

from __future__ import annotations

import numpy as np
from cases import AT_MOST, ERRORS, Case, Hits
from scipy.stats import norm

from cxrfmkd.statistics.multiple import adjusted, max_t, tost

TESTS, REPLICATES = 40, 500


def no_difference(alike: float):
    """Tests of true nulls whose statistics have this correlation, on shared replicates."""
    root = np.linalg.cholesky(alike + (1 - alike) * np.eye(TESTS)).T

    def simulate(rng: np.random.Generator) -> Hits:
        p = 2 * norm.sf(np.abs(rng.normal(size=TESTS) @ root))
        drawn = rng.normal(size=(REPLICATES, TESTS)) @ root
        return {
            "max-T": bool((max_t(p, drawn) < 0.05).any()),
            "Benjamini-Yekutieli": bool((adjusted(p, "fdr_by") < 0.05).any()),
        }

    return simulate


def at_the_margin(rng: np.random.Generator) -> Hits:
    """A model that is worse by just the margin, which is neither non-inferior nor equivalent."""
    error, margin = 0.004, 0.01
    estimate = np.array(rng.normal(-margin, error))
    above, within = tost(estimate, margin, lambda d: 2 * norm.sf(np.abs(d) / error))
    return {"non-inferiority": bool(above < 0.05), "equivalence": bool(within < 0.05)}


CASES = [
    Case(
        topic="Families of tests",
        world=f"{TESTS} true nulls, correlation {alike:g}",
        simulate=no_difference(alike),
        kind=ERRORS,
        kinds={"Benjamini-Yekutieli": AT_MOST},
    )
    for alike in (0.0, 0.6, 0.95)
] + [
    Case(
        topic="Equivalence",
        world="a difference of just the margin, 2.5 standard errors",
        simulate=at_the_margin,
        kind=ERRORS,
    )
]
