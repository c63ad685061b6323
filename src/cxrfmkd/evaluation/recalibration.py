"""Calibration of groups of patients before and after recalibration on validation images.

A model may rank well and yet say 30 % where 10 % have a finding, and be off for some groups alone.
Recalibration mends the first on validation images, by one temperature for all findings (Guo et al.
2017) or by Platt's slope and intercept for each (Platt 1999); what is left between groups is not a
matter of scale. Net benefit counts what acting on the probabilities is worth (Vickers and Elkin
2006). All numbers are ratios of sums over images, so that their variance over patients is that of
the linearised ratio, without replicates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numba import njit
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from cxrfmkd.evaluation.populations import Population
from cxrfmkd.evaluation.subgroups import CROSSING
from cxrfmkd.statistics.uncertainty import Errors, plain_interval, seed_variance

METHODS = ("none", "temperature", "platt")
THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
LARGEST_SCALE = 100.0  # of logits; validation images that are told apart perfectly ask for more


def fit_recalibrations(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Slope and intercept of every method and finding, float64 (methods, f, 2).

    logits, targets: (n, f), of validation images; targets are 0, 1 or NaN.
    """
    fits = np.zeros((len(METHODS), targets.shape[1], 2))
    fits[..., 0] = 1.0
    fits[METHODS.index("temperature"), :, 0] = _inverse_temperature(logits, targets)
    for k in range(targets.shape[1]):
        known = ~np.isnan(targets[:, k])
        if known.any():
            fits[METHODS.index("platt"), k] = platt(logits[known, k], targets[known, k])
    return fits


def _inverse_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The one factor of all logits with the least cross-entropy."""
    known = ~np.isnan(targets)
    z, y = logits[known].astype(float), targets[known]

    def cross_entropy(log_scale: float) -> float:
        scaled = np.exp(log_scale) * z
        return float(np.mean(np.logaddexp(0, scaled) - y * scaled))

    bounds = (-np.log(LARGEST_SCALE), np.log(LARGEST_SCALE))
    return float(np.exp(minimize_scalar(cross_entropy, bounds=bounds, method="bounded").x))


def platt(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Slope and intercept of a logistic regression on logits (n,), of targets 0 and 1 (n,).

    Targets are drawn in by one image of each class, as Platt has it, so that a finding that is told
    apart perfectly, or that no image has, has a finite fit.
    """
    positives = targets.sum()
    smooth = np.where(
        targets > 0,
        (positives + 1) / (positives + 2),
        1 / (len(targets) - positives + 2),
    )
    z = logits.astype(float)
    centre, scale = z.mean(), z.std() or 1.0
    x = (z - centre) / scale

    def loss(fit: np.ndarray) -> tuple[float, np.ndarray]:
        score = fit[0] * x + fit[1]
        off = expit(score) - smooth
        value = np.mean(np.logaddexp(0, score) - smooth * score)
        return float(value), np.array([np.mean(off * x), np.mean(off)])

    slope, intercept = minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS").x
    return np.array([slope / scale, intercept - slope * centre / scale])


def recalibration_table(
    models: Sequence[np.ndarray], fits: np.ndarray, population: Population, confidence: float
) -> pd.DataFrame:
    """Every finding, method and single-attribute group; net benefit of everyone alone.

    models: logits of each seed, (n, f). fits: (seeds, methods, f, 2). Numbers are means over
    seeds, with intervals over patients and seeds. `treat_all`: the net benefit of acting on
    everyone.
    """
    tables = [
        _table_of_finding(k, models, fits[:, :, k], population, confidence)
        for k in range(fits.shape[2])
        if not np.isnan(models[0][:, k]).all()  # a finding that the models do not tell
    ]
    return pd.concat(tables, ignore_index=True)


def _table_of_finding(
    k: int, models: Sequence[np.ndarray], fits: np.ndarray, population: Population, level: float
) -> pd.DataFrame:
    sample, groups = population.sample, population.cells.groups
    known = ~np.isnan(sample.targets[:, k]) & (sample.weights > 0)
    y, weights = sample.targets[known, k], sample.weights[known]
    patients = sample.patient_codes[0][known]
    scores = np.stack([logits[known, k] for logits in models]).astype(float)
    slope, intercept = fits[..., 0, None], fits[..., 1, None]
    chances = expit(slope * scores[:, None] + intercept)  # (seeds, methods, n)
    hidden = population.cells.hidden("prevalence")[k]
    measures = {"mean_error": chances - y, "brier": (chances - y) ** 2}
    rows: list[dict] = []
    for division, codes in enumerate(groups.codes[known].T):
        attribute = [groups.attributes[0], *groups.divisions][division]
        if CROSSING in attribute:
            continue
        members = groups.of(attribute)
        cells = np.where(codes >= 0, codes - members[0], -1)
        for measure, values in measures.items():
            columns = weighted_estimates(values, cells, len(members), weights, patients, level)
            shown = {c: np.where(hidden[members], np.nan, of) for c, of in columns.items()}
            for position, group in enumerate(members):
                about = {"attribute": attribute, "group": groups.names[group], "metric": measure}
                rows += _rows(shown, position, **about)
    everyone = np.zeros(len(y), int)
    prevalence = np.average(y, weights=weights) if len(y) else np.nan
    about = {"attribute": groups.attributes[0], "group": groups.names[0], "metric": "net_benefit"}
    for threshold in THRESHOLDS:
        odds = threshold / (1 - threshold)
        worth = (chances >= threshold) * (y - (1 - y) * odds)
        columns = weighted_estimates(worth, everyone, 1, weights, patients, level)
        treat_all = prevalence - (1 - prevalence) * odds
        rows += _rows(columns, 0, **about, threshold=threshold, treat_all=treat_all)
    return pd.DataFrame(rows).assign(finding=population.cells.findings.names[k])


def _rows(columns: dict[str, np.ndarray], position: int, **about: object) -> list[dict]:
    """A row per method of one cell."""
    return [
        {"method": method}
        | {name: column[row, position] for name, column in columns.items()}
        | about
        for row, method in enumerate(METHODS)
    ]


def weighted_estimates(
    values: np.ndarray,
    cells: np.ndarray,
    count: int,
    weights: np.ndarray,
    patients: np.ndarray,
    level: float,
) -> dict[str, np.ndarray]:
    """Columns estimate, low and high, each (methods, count), of weighted means in each cell.

    values: (seeds, methods, n); cells: (n,), the cell of each image, -1 for none.
    """
    size = int(patients.max(initial=-1)) + 1
    images, of_units, sums = _sums_of_units(values, cells, count, weights, patients, size)
    by_seed, within = _means(sums, of_units)
    estimate, of_patients = _means(sums.mean(axis=0)[None], of_units)
    units = (images > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        inflation = np.where(units > 1, units / (units - 1), np.nan)
    variance = of_patients[0] * inflation
    seeds = seed_variance(by_seed, variance, within.mean(axis=0) * inflation)
    error = Errors(variance, np.maximum(units - 1, 1), seeds)
    low, high = plain_interval(estimate[0], error, level)
    return {"estimate": estimate[0], "low": low, "high": high}


@njit(nogil=True, cache=True)
def _sums_of_units(values, cells, count, weights, patients, n_patients):
    """Images, weights and weighted values of every patient in each cell.

    values: (a, b, n). Returns arrays of shapes (patients, count), the same, and (a, b, patients,
    count).
    """
    images, of_units = np.zeros((n_patients, count)), np.zeros((n_patients, count))
    for k in range(len(cells)):
        if cells[k] >= 0:
            images[patients[k], cells[k]] += 1
            of_units[patients[k], cells[k]] += weights[k]
    sums = np.zeros((values.shape[0], values.shape[1], n_patients, count))
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            column, out = values[i, j], sums[i, j]
            for k in range(len(cells)):
                if cells[k] >= 0:
                    out[patients[k], cells[k]] += weights[k] * column[k]
    return images, of_units, sums


@njit(nogil=True, cache=True, error_model="numpy")
def _means(sums, of_units):
    """Weighted means in each cell and sums of patients' squared errors of them, (a, b, count).

    sums: (a, b, patients, count), weighted values; of_units: (patients, count), weights. NaN in
    cells without images. Errors are those of the linearised ratio.
    """
    n_patients, count = of_units.shape
    means = np.zeros((sums.shape[0], sums.shape[1], count))
    squares = np.zeros_like(means)
    total = np.zeros(count)
    for patient in range(n_patients):
        total += of_units[patient]
    for i in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            column, mean, square = sums[i, j], means[i, j], squares[i, j]
            for patient in range(n_patients):
                for cell in range(count):
                    mean[cell] += column[patient, cell]
            for cell in range(count):
                mean[cell] /= total[cell]
            for patient in range(n_patients):
                for cell in range(count):
                    off = column[patient, cell] - mean[cell] * of_units[patient, cell]
                    square[cell] += off * off
            for cell in range(count):
                square[cell] /= total[cell] ** 2
    return means, squares
