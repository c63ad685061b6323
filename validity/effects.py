"""Effect sizes of the differences between groups that embeddings show."""

from __future__ import annotations

import numpy as np
from cases import AT_LEAST, Case, Hits
from scipy.stats import norm
from worlds import clustered, covers

from cxrfmkd.bias.effects import EFFECT_SIZES, effect_sizes
from cxrfmkd.bias.encoding import (
    energy_coefficients,
    energy_errors,
    pairwise_distances,
)
from cxrfmkd.statistics.draws import patient_counts
from cxrfmkd.statistics.intervals import error_interval

REPLICATES = 200


def people(rng: np.random.Generator, patients: int, share: float):
    """Patient of each image, and whether the patient belongs to the group."""
    of_image = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
    return of_image, (rng.random(patients) < share)[of_image]


def of_effects(shift: float, seeds: int, spread: float):
    """Groups whose scores differ by `shift` standard deviations, by seed more or less."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    shifts = shift + spread * nodes
    true = {
        "D": weights @ (2 * norm.cdf(abs(shifts) / 2) - 1) / weights.sum(),
        "W1": weights @ abs(shifts) / weights.sum(),
        "Cliff's delta": weights @ (2 * norm.cdf(shifts / np.sqrt(2)) - 1) / weights.sum(),
    }

    def simulate(rng: np.random.Generator) -> Hits:
        of_image, group = people(rng, 150, 0.4)
        draws = patient_counts(150, REPLICATES, int(rng.integers(2**31)))
        shared, results = clustered(rng, of_image), []
        for _ in range(seeds):
            moved = shared + (shift + spread * rng.normal()) * group
            results.append(effect_sizes(moved, group, ~group, of_image, draws))
        estimates = np.array([estimate for estimate, _ in results])
        off = np.mean([error for _, error in results], axis=0)
        return {
            name: covers(low, true[name], high)
            for k, (name, limits) in enumerate(EFFECT_SIZES.items())
            for low, high in [
                error_interval(estimates[:, k].mean(), off[:, k], *limits, by_seed=estimates[:, k])
            ]
        }

    return simulate


def of_energy(shift: float):
    """Embeddings of two groups, one moved by `shift` in one direction."""
    rng = np.random.default_rng(0)
    many = rng.normal(size=(4000, 4))
    many[:2000, 0] += shift
    codes, pairs = (np.arange(4000) >= 2000).astype(np.int8)[None], np.array([[0, 0, 1]])
    true = (
        energy_coefficients(pairwise_distances(many), codes[None], pairs).item() if shift else 0.0
    )

    def simulate(rng: np.random.Generator) -> Hits:
        of_image, group = people(rng, 120, 0.4)
        x = np.stack([clustered(rng, of_image) for _ in range(4)], axis=1)
        x[group, 0] += shift
        distances, codes = pairwise_distances(x), (~group).astype(np.int8)[None]
        estimate = energy_coefficients(distances, codes[None], pairs).item()
        draws = patient_counts(120, REPLICATES, int(rng.integers(2**31)))[:, of_image]
        off = energy_errors(distances, codes, pairs, draws)[:, 0]
        low, high = error_interval(estimate, off, 0.0, 1.0)
        return {"energy coefficient": covers(low, true, high)}

    return simulate


CASES = [
    Case(
        "Effect sizes",
        f"150 patients, groups {shift:g} SD apart, {seeds} seed" + ("s" if seeds > 1 else ""),
        of_effects(shift, seeds, spread),
        worlds=400,
        kind=AT_LEAST,
    )
    for shift, seeds, spread in ((0.0, 1, 0.0), (0.5, 1, 0.0), (0.5, 5, 0.15), (0.5, 3, 0.15))
] + [
    Case(
        "Effect sizes",
        f"120 patients, embeddings {shift:g} SD apart",
        of_energy(shift),
        worlds=400,
        kind=AT_LEAST,
    )
    for shift in (0.0, 0.8)
]
