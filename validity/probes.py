"""How well a probe tells a group of patients, out of fold."""

from __future__ import annotations

from functools import cache

import numpy as np
from cases import AT_LEAST, Case, Hits
from effects import people
from worlds import clustered, covers

from cxrfmkd.bias.encoding import (
    assign_folds,
    mean_area,
    out_of_fold_scores,
    replicated_fold_areas,
)
from cxrfmkd.statistics.draws import patient_counts

REPLICATES = 200


def of_probes(patients: int, width: int, shift: float, seeds: int = 1):
    """Embeddings of some width, of which one direction tells the group; each seed has its own.

    The truth is the mean over such worlds: what a probe of four fifths of the patients tells.
    """

    def areas(rng: np.random.Generator, replicates: int) -> list[np.ndarray]:
        owner, group = people(rng, patients, 0.4)
        draws = patient_counts(patients, replicates, int(rng.integers(2**31)))
        folds, by_seed = assign_folds(owner, 0), []
        common = np.stack([clustered(rng, owner) for _ in range(width)], axis=1)
        for _ in range(seeds):
            x = np.sqrt(0.8) * common + np.sqrt(0.2) * rng.normal(size=common.shape)
            x[:, 0] += shift * group
            scores = out_of_fold_scores(x, group[:, None].astype(float), folds)[:, 0]
            by_seed.append(replicated_fold_areas(scores, group, ~group, folds, owner, draws))
        return by_seed

    @cache
    def true() -> float:
        if not shift:
            return 0.5
        worlds = [areas(np.random.default_rng([1, world]), 0) for world in range(400)]
        return float(np.mean(worlds))

    def simulate(rng: np.random.Generator) -> Hits:
        _, low, high = mean_area(areas(rng, REPLICATES), 0.95)
        return {"area of a probe for a group": covers(low, true(), high)}

    return simulate


CASES = [
    Case(
        "Attribute probes",
        f"{patients} patients, {width} dimensions, groups {shift:g} SD apart, {seeds} seed"
        + "s" * (seeds > 1),
        of_probes(patients, width, shift, seeds),
        worlds=1000,
        kind=AT_LEAST,
    )
    for patients, width, shift, seeds in (
        (150, 4, 0.0, 1),
        (150, 4, 0.8, 1),
        (150, 40, 0.0, 1),
        (400, 40, 0.0, 1),
        (400, 40, 0.3, 1),
        (400, 40, 0.8, 1),
        (150, 40, 0.0, 3),
    )
]
