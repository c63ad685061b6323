"""Worlds whose truth is known: patients with several images, findings, scores of several seeds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Images(NamedTuple):
    """patients: (n,) int; targets: (n,) of 0 and 1; noise: (n,) of the scores, variance 1."""

    patients: np.ndarray
    targets: np.ndarray
    noise: np.ndarray


def images(
    rng: np.random.Generator, patients: int, prevalence: float, alike: float = 0.5
) -> Images:
    """Images of patients, one to four each, the target being the patient's.

    alike: share of the variance of scores that a patient's images have in common.
    """
    of_image = np.repeat(np.arange(patients), rng.integers(1, 5, patients))
    targets = (rng.random(patients) < prevalence)[of_image].astype(float)
    return Images(of_image, targets, clustered(rng, of_image, alike))


def clustered(rng: np.random.Generator, patients: np.ndarray, alike: float = 0.5) -> np.ndarray:
    """Normal noise of variance 1, of which a patient's images share a part. Shape (n,)."""
    shared = rng.normal(size=patients.max() + 1)[patients]
    return np.sqrt(alike) * shared + np.sqrt(1 - alike) * rng.normal(size=len(patients))


def covers(low: float, truth: float, high: float) -> bool | None:
    """Whether an interval covers; None if there is none."""
    return None if np.isnan(low) or np.isnan(high) else bool(low <= truth <= high)
