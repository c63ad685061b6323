"""Performance against bias, where the two have no relation but families and kinds of models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from cases import COVERAGE, ERRORS, Case, Hits

from cxrfmkd.tradeoff.association import association

# Families and kinds as in the study: teacher, ImageNet networks, students of every kind.
BASELINES = [(0, 0), (1, 1), (1, 2), (2, 2), (3, 2)]
PERMUTED = "p of exchanged families"


def grid(losses: int, baselines: int = len(BASELINES)) -> tuple[np.ndarray, np.ndarray]:
    """Family and kind of every model of a study."""
    students = [(4 + loss, kind) for loss in range(losses) for kind in range(4)]
    families, kinds = np.array(BASELINES[:baselines] + students).T
    return families, kinds


def measure(
    rng: np.random.Generator, families: np.ndarray, kinds: np.ndarray, alike: float, kind: float
) -> np.ndarray:
    """A measure of every model. alike: correlation within families; kind: SD of kinds' effects."""
    shared = np.sqrt(alike) * rng.normal(size=families.max() + 1)[families]
    alone = np.sqrt(1 - alike) * rng.normal(size=len(families))
    return shared + alone + kind * rng.normal(size=4)[kinds]


def unrelated(
    losses: int, baselines: int, alike: float, kind: float
) -> Callable[[np.random.Generator], Hits]:
    """A simulation of two measures without any relation."""

    def simulate(rng: np.random.Generator) -> Hits:
        families, kinds = grid(losses, baselines)
        pair = tuple(measure(rng, families, kinds, alike, kind) for _ in range(2))
        found = association([pair], families, kinds, int(rng.integers(2**31)))
        return {PERMUTED: bool(found.p <= 0.05), "interval": bool(found.low <= 0 <= found.high)}

    return simulate


CASES = [
    Case(
        topic="Performance against bias",
        world=f"{families} families, correlation within {alike:g}, effect of kinds {kind:g} SD",
        simulate=unrelated(losses, baselines, alike, kind),
        kind=COVERAGE,
        kinds={PERMUTED: ERRORS},
    )
    for losses, baselines, families in ((3, 3, 5), (7, 5, 11))
    for alike, kind in ((0.8, 0.0), (0.0, 2.0), (0.8, 2.0))
]
