"""Metrics of a model, and of the mean over few seeds; differences of two models that are equal."""

from __future__ import annotations

import numpy as np
from cases import AT_MOST, ERRORS, Case, Hits
from scipy.integrate import quad
from scipy.stats import norm
from worlds import covers, images

from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.evaluation.intervals import metric_bounds
from cxrfmkd.statistics.uncertainty import errors, seed_variance, standard_error

REPLICATES, TARGET = 300, 0.2
NAMES = ("AUC-PR", "AUC-ROC", "largest J", "Youden's J at 20 % FPR")
WITH_INTERVAL = (0, 1, 3)


def truth(prevalence: float, shift: float, spread: float) -> list[float]:
    """The metrics of infinitely many images, the mean over seeds of N(shift, spread)."""

    def at(d: float) -> list[float]:
        def precision(recall: float) -> float:
            cut = d + norm.isf(recall)
            hits = prevalence * recall
            return hits / (hits + (1 - prevalence) * norm.sf(cut))

        return [
            quad(precision, 0, 1, limit=200)[0],
            norm.cdf(d / np.sqrt(2)),
            2 * norm.cdf(abs(d) / 2) - 1,
            norm.sf(norm.isf(TARGET) - d) - TARGET,
        ]

    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    values = [at(shift + spread * node) for node in nodes]
    return (weights @ np.array(values) / weights.sum()).tolist()


def measured(sample: Sample, scores: np.ndarray) -> np.ndarray:
    """Metrics of one model, (1 + replicates, 4)."""
    return sample.measure(scores[:, None], target_fpr=TARGET).metrics[:, :, 0, 0]


def made(rng: np.random.Generator, patients: int, prevalence: float):
    """Images and the sample that measures models on them."""
    of = images(rng, patients, prevalence)
    n, everyone = len(of.targets), np.zeros((len(of.targets), 1), np.int16)
    seed = int(rng.integers(2**31))
    return of, Sample(of.targets[:, None], of.patients, np.ones(n), everyone, REPLICATES, seed=seed)


def of_models(patients: int, prevalence: float, seeds: int, shift: float, spread: float):
    """A world of models whose discrimination varies by seed."""
    expected = truth(prevalence, shift, spread)

    def simulate(rng: np.random.Generator) -> Hits:
        of, sample = made(rng, patients, prevalence)
        values = np.array(
            [
                measured(
                    sample,
                    (shift + spread * rng.normal()) * of.targets
                    + np.sqrt(0.8) * of.noise
                    + np.sqrt(0.2) * rng.normal(size=len(of.noise)),
                )
                for _ in range(seeds)
            ]
        )
        mean, within = values.mean(axis=0), values[:, 1:].var(axis=1, ddof=1).mean(axis=0)
        variance = seed_variance(values[:, 0], standard_error(mean[1:]) ** 2, within)
        sides = (len(np.unique(of.patients[of.targets == side])) for side in (1, 0))
        counts = [np.array(count, float) for count in sides]
        low, high = metric_bounds(mean, variance, *counts, 0.95, TARGET)
        return {
            name: covers(low[k], expected[k], high[k]) for k in WITH_INTERVAL for name in [NAMES[k]]
        }

    return simulate


def of_equal_models(seeds: int, spread: float):
    """Two equally good losses, each with students of its own."""

    def simulate(rng: np.random.Generator) -> Hits:
        of, sample = made(rng, 250, 0.2)
        means, variances = [], []
        for _ in range(2):
            own = np.sqrt(0.3) * rng.normal(size=len(of.noise))
            values = np.array(
                [
                    measured(
                        sample,
                        (1.2 + spread * rng.normal()) * of.targets + np.sqrt(0.7) * of.noise + own,
                    )
                    for _ in range(seeds)
                ]
            )
            mean, within = values.mean(axis=0), values[:, 1:].var(axis=1, ddof=1).mean(axis=0)
            means.append(mean)
            variances.append(seed_variance(values[:, 0], standard_error(mean[1:]) ** 2, within))
        difference = means[0] - means[1]
        p = errors(difference, *variances).p_values(difference[0])
        return {f"difference in {NAMES[k]}": bool(p[k] < 0.05) for k in WITH_INTERVAL}

    return simulate


CASES = [
    Case(
        "Metrics of a model",
        f"{patients} patients, {prevalence:.0%} with the finding, "
        f"{seeds} seed{'s' if seeds > 1 else ''}{' that differ much' if spread > 0.1 else ''}",
        of_models(patients, prevalence, seeds, 1.2, spread),
        worlds=400,
    )
    for patients, prevalence, seeds, spread in (
        (400, 0.3, 1, 0.0),
        (400, 0.08, 1, 0.0),
        (300, 0.3, 2, 0.2),
        (300, 0.3, 3, 0.2),
        (300, 0.3, 5, 0.2),
        (300, 0.3, 5, 0.05),
    )
] + [
    Case(
        "Comparisons of equal models",
        f"250 patients, {seeds} seeds each",
        of_equal_models(seeds, 0.15),
        worlds=900,
        kind=ERRORS if seeds > 2 else AT_MOST,
    )
    for seeds in (2, 5)
]
