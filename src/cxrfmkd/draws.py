"""Random draws of the bootstrap: patients with replacement, or rows within label strata as the thesis.

Draws come from a counter-based generator (SplitMix64; Steele, Lea and Flood 2014) keyed by seed, replicate and
stratum: they depend neither on the number of threads nor on the model that is measured.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit


class Strata(NamedTuple):
    """Images of each finding by label, with Walker's alias tables; arrays have one row a finding.

    members: shape (f, n), int32, images of label 0, then those of label 1. ends: shape (f, 2), where each label ends.
    rows: shape (f, 2), rows to draw of each label, the sum of its weights. accept, alias: shape (f, n), draw place k
    with chance accept[k], else place alias[k].
    """

    members: np.ndarray
    ends: np.ndarray
    rows: np.ndarray
    accept: np.ndarray
    alias: np.ndarray


def strata(truth: np.ndarray, weights: np.ndarray) -> Strata:
    """Strata of images with a weight. truth: shape (n, f), 0, 1 or NaN; weights: shape (n,)."""
    n, findings = truth.shape
    made = Strata(
        np.zeros((findings, n), np.int32),
        np.zeros((findings, 2), np.int64),
        np.zeros((findings, 2), np.int64),
        np.zeros((findings, n)),
        np.zeros((findings, n), np.int32),
    )
    for k in range(findings):
        start = 0
        for label in range(2):
            chosen = np.flatnonzero((truth[:, k] == label) & (weights > 0))
            stop = start + len(chosen)
            made.ends[k, label], made.rows[k, label] = stop, round(weights[chosen].sum())
            made.members[k, start:stop] = chosen
            if len(chosen):
                made.accept[k, start:stop] = weights[chosen] / weights[chosen].mean()
                _fill_alias(made.accept[k, start:stop], made.alias[k, start:stop])
                made.alias[k, start:stop] += start
            start = stop
    return made


@njit(nogil=True, cache=True)
def _fill_alias(accept, alias):
    """Vose's alias tables; `accept` comes in as each place's weight over the mean weight."""
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
def _stream(seed, replicate, finding):
    """Where a replicate's counter starts."""
    state = _mixed(np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15))
    state = _mixed(state ^ np.uint64(replicate))
    return _mixed(state ^ np.uint64(finding + 1))


@njit(nogil=True, cache=True)
def draw_patients(seed, replicate, patients, weights, counts, drawn):
    """Fill `drawn` with each image's weight times the number of times that its patient is drawn."""
    counts[:] = 0
    n, state = np.uint64(len(counts)), _stream(seed, replicate, 0)
    for _ in range(len(counts)):
        state += np.uint64(0x9E3779B97F4A7C15)
        counts[((_mixed(state) >> np.uint64(32)) * n) >> np.uint64(32)] += 1
    for i in range(len(patients)):
        drawn[i] = weights[i] * counts[patients[i]]


@njit(nogil=True, cache=True)
def draw_rows(seed, replicate, finding, members, start, stop, rows, accept, alias, drawn):
    """Add to `drawn` the counts of `rows` draws among members[start:stop], by Walker's alias method."""
    n, state = np.uint64(stop - start), _stream(seed, replicate, 2 * finding + (start > 0) + 1)
    for _ in range(rows):
        state += np.uint64(0x9E3779B97F4A7C15)
        bits = _mixed(state)
        k = start + np.int64(((bits >> np.uint64(32)) * n) >> np.uint64(32))
        share = np.float64(bits & np.uint64(0xFFFFFFFF)) / 4294967296.0
        drawn[members[k if share < accept[k] else alias[k]]] += 1.0


@njit(nogil=True, cache=True)
def draw(replicate, finding, seed, by_row, patients, weights, strata, counts, drawn):
    """Fill `drawn`, shape (n,), with the weight of each image in a replicate; replicate 0 is the sample itself.

    Rows are drawn anew for every finding, within its label strata; patients once, at finding 0, so findings must be
    asked for in order. patients: shape (n,), whole numbers. counts: scratch, one entry a patient.
    """
    members, ends, rows, accept, alias = strata
    if replicate == 0:
        drawn[:] = weights
    elif by_row:
        drawn[:] = 0.0
        start = 0
        for label in range(2):
            stop = ends[finding, label]
            draw_rows(
                seed, replicate, finding, members[finding], start, stop, rows[finding, label],
                accept[finding], alias[finding], drawn,
            )  # fmt: skip
            start = stop
    elif finding == 0:
        draw_patients(seed, replicate, patients, weights, counts, drawn)
