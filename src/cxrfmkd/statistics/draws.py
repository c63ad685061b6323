"""Random draws of the bootstrap: patients with replacement, or rows within strata as the thesis.

The compiled draws come from a counter-based generator (SplitMix64; Steele, Lea and Flood 2014)
keyed by seed, replicate and stratum: they depend neither on the number of threads nor on the model
that is measured. numpy's generators hold a state that each replicate would have to set up outside
the compiled code.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit


class Strata(NamedTuple):
    """Images of each finding by label, with Walker's alias tables.

    alias: shape (f, n, 3), uint32, images of label 0, then those of label 1. Drawn at an entry is
    the image in column 0, or, unless the next 32 random bits are below column 2, the image in
    column 1.
    ends: shape (f, 2), where each label ends. rows: shape (f, 2), rows to draw of each label, the
    sum of its weights.
    """

    alias: np.ndarray
    ends: np.ndarray
    rows: np.ndarray


def strata(labels: np.ndarray, weights: np.ndarray) -> Strata:
    """Strata of images with a weight. labels: shape (n, f), 0, 1 or NaN; weights: shape (n,)."""
    n, findings = labels.shape
    table = np.zeros((findings, n, 3), np.uint32)
    ends, rows = np.zeros((findings, 2), np.int64), np.zeros((findings, 2), np.int64)
    for k in range(findings):
        start = 0
        for label in range(2):
            images = np.flatnonzero((labels[:, k] == label) & (weights > 0))
            stop = start + len(images)
            ends[k, label], rows[k, label] = stop, round(weights[images].sum())
            if len(images):
                accept = weights[images] / weights[images].mean()
                alias = np.empty(len(images), np.int64)
                _fill_alias(accept, alias)
                table[k, start:stop, 0], table[k, start:stop, 1] = images, images[alias]
                table[k, start:stop, 2] = np.minimum(accept * 2.0**32, 2.0**32 - 1)
            start = stop
    return Strata(table, ends, rows)


def multinomial_counts(
    units: int, replicates: int, seed: int | list[int], draws: int | None = None
) -> np.ndarray:
    """How often each replicate draws each of few units, such as seeds or families of models.

    draws: with replacement, as many as there are units by default. Returns int64 (replicates,
    units).
    """
    chances = np.full(units, 1 / units)
    rng = np.random.default_rng(seed)
    return rng.multinomial(units if draws is None else draws, chances, replicates)


def patient_counts(patients: int, replicates: int, seed: int) -> np.ndarray:
    """How often each replicate draws each of many patients, int16 (replicates, patients)."""
    rng = np.random.default_rng(seed)
    counts = np.empty((replicates, patients), np.int16)
    for row in counts:
        row[:] = np.bincount(rng.integers(patients, size=patients), minlength=patients)
    return counts


@njit(nogil=True, cache=True)
def _fill_alias(accept, alias):
    """Vose's alias tables; `accept` comes in as each entry's weight over the mean weight."""
    small, large = np.empty(len(accept), np.int64), np.empty(len(accept), np.int64)
    n_small = n_large = 0
    for k in range(len(accept)):
        alias[k] = k
        if accept[k] < 1.0:
            small[n_small] = k
            n_small += 1
        else:
            large[n_large] = k
            n_large += 1
    while n_small and n_large:
        n_small -= 1
        k, donor = small[n_small], large[n_large - 1]
        alias[k] = donor
        accept[donor] -= 1.0 - accept[k]
        if accept[donor] < 1.0:
            n_large -= 1
            small[n_small] = donor
            n_small += 1
    for i in range(n_small):
        accept[small[i]] = 1.0


@njit(nogil=True, cache=True)
def _mixed(state):
    """SplitMix64's output function: 64 well-mixed bits of a counter."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@njit(nogil=True, cache=True)
def _stream(seed, replicate, stratum):
    """Where a replicate's counter starts."""
    state = _mixed(np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15))
    state = _mixed(state ^ np.uint64(replicate))
    return _mixed(state ^ np.uint64(stratum + 1))


@njit(nogil=True, cache=True)
def draw_patients(seed, first, counts):
    """Fill `counts`, uint16 (patients, lanes), with how often replicates draw each patient.

    first: the replicate of the first lane; the others follow.
    """
    counts[:] = 0
    n = np.uint64(len(counts))
    for lane in range(counts.shape[1]):
        state = _stream(seed, first + lane, 0)
        for _ in range(len(counts)):
            state += np.uint64(0x9E3779B97F4A7C15)
            counts[((_mixed(state) >> np.uint64(32)) * n) >> np.uint64(32), lane] += 1


@njit(nogil=True, cache=True)
def draw_rows(seed, first, strata, counts):
    """Fill `counts`, uint16 (f, n, lanes), with how often each image is drawn within its stratum.

    first: the replicate of the first lane; the others follow. Strata are the labels of a finding.
    """
    findings, n_images, lanes = counts.shape
    drawn = np.empty((lanes, n_images), np.uint16)
    for finding in range(findings):
        alias = strata.alias[finding]
        drawn[:] = 0
        for lane in range(lanes):
            start = 0
            for label in range(2):
                stop = strata.ends[finding, label]
                n, stratum = np.uint64(stop - start), 2 * finding + label + 1
                state = _stream(seed, first + lane, stratum)
                for _ in range(strata.rows[finding, label]):
                    state += np.uint64(0x9E3779B97F4A7C15)
                    bits = _mixed(state)
                    k = np.uint64(start) + (((bits >> np.uint64(32)) * n) >> np.uint64(32))
                    accepted = np.uint32(bits) < alias[k, 2]
                    drawn[lane, alias[k, 0] if accepted else alias[k, 1]] += 1
                start = stop
        for i in range(n_images):
            for lane in range(lanes):
                counts[finding, i, lane] = drawn[lane, i]
