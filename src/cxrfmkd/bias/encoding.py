"""How well a whole embedding tells groups of patients apart, beyond the modes that are tested.

All measures here are the same for any rotation of the embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cxrfmkd.bias.effects import replicated_effects
from cxrfmkd.statistics.ridge import ridge_slopes
from cxrfmkd.statistics.uncertainty import bounded_interval, errors, paired_seed_variance

PENALTIES = np.logspace(-6, 2, 17)  # relative to the mean eigenvalue
FOLDS = 5
# By how much replicates that take the fits of out-of-fold scores as given are stretched. Without
# information the area is a sum over pairs of folds of what fold j taught times what fold k shows.
# With the fits given each pair varies once for either fold, in truth for both together: twice the
# variance. With much information the best direction does not move an area's first derivative, and
# the variance is the same. Simulations lie between (docs/validity.md).
REFITS = np.sqrt(2)
NOTHING = 1e-9  # share of a target's variance that is rounding of features in float32
BLOCK = 100  # groupings whose energy coefficients are computed together


def assign_folds(patients: np.ndarray, seed: int) -> np.ndarray:
    """A fold for every row, int64 (n,), whole patients together; patients: int (n,), 0, 1, ..."""
    fold_of_patient = np.random.default_rng(seed).permutation(patients.max() + 1) % FOLDS
    return fold_of_patient[patients]


def out_of_fold_scores(features: np.ndarray, targets: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Scores of ridge regressions on 0/1 targets that were fitted without the row's fold.

    features: (n, f); targets: float (n, targets) of 0 and 1, NaN where unknown (left out of
    training, still scored); folds: int (n,). Returns float64 (n, targets). Each penalty is chosen
    on the training folds (see `ridge_slopes`). A target with one class in the training folds has
    no scores for the fold left out (NaN).
    """
    result, centre = np.full(targets.shape, np.nan), features.mean(0)
    masks, mask_of = np.unique(np.isnan(targets), axis=1, return_inverse=True)
    for number, mask in enumerate(masks.T):
        columns = np.flatnonzero(mask_of.ravel() == number)
        moments = {
            fold: _moments(features[rows], targets[np.ix_(rows, columns)])
            for fold in np.unique(folds)
            for rows in [np.flatnonzero(~mask & (folds == fold))]
        }
        totals = [sum(moment) for moment in zip(*moments.values(), strict=True)]
        for fold, left_out in moments.items():
            n, positives, sums, gram, products = (
                t - m for t, m in zip(totals, left_out, strict=True)
            )
            if n < 2:
                continue
            mean, share = sums / n, positives / n
            gram -= n * np.outer(mean, mean)
            mean_eigenvalue = max(np.trace(gram) / len(gram), np.finfo(float).tiny)
            slopes = ridge_slopes(
                gram,
                products - np.outer(mean, positives),
                n * share * (1 - share),
                n,
                PENALTIES * mean_eigenvalue,
            )
            rows = np.flatnonzero(folds == fold)
            scores = (features[rows] - centre) @ slopes
            scores[:, (share <= 0) | (share >= 1)] = np.nan
            result[np.ix_(rows, columns)] = scores
    return result


def linear_scores(
    train: np.ndarray, targets: np.ndarray, tests: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Scores, float64 (n, targets), of each of `tests` by ridge regressions that `train` fitted.

    train: (n, f), and each of tests; targets: float (n, targets) of 0 and 1, NaN where unknown. NaN
    for a target with one class alone. Where nothing linear tells a target, as after its erasure,
    all images have the same score: slopes below rounding are none.
    """
    centre = train.mean(axis=0, dtype=np.float64)
    scores = [np.full((len(test), targets.shape[1]), np.nan) for test in tests]
    for column, target in enumerate(targets.T):
        rows = np.flatnonzero(~np.isnan(target))
        share = target[rows].mean() if len(rows) else 0.0
        if not 0 < share < 1:
            continue
        known = train[rows] - centre
        mean, n = known.mean(axis=0), len(rows)
        gram = known.T @ known - n * np.outer(mean, mean)
        products = known.T @ (target[rows] - share)
        penalties = PENALTIES * max(np.trace(gram) / len(gram), np.finfo(float).tiny)
        slopes = ridge_slopes(
            gram, products[:, None], np.array([n * share * (1 - share)]), n, penalties
        )
        explained = float(slopes[:, 0] @ products) / (n * share * (1 - share))
        slopes = slopes if explained > NOTHING else np.zeros_like(slopes)
        for test, score in zip(tests, scores, strict=True):
            score[:, column] = ((test - centre) @ slopes)[:, 0]
    return scores


def _moments(x: np.ndarray, y: np.ndarray) -> tuple:
    """Count, positives (t,), sums (f,), products of x with x, (f, f), and of x with y, (f, t)."""
    return len(x), y.sum(0), x.sum(0), x.T @ x, x.T @ y


def replicated_fold_areas(
    scores: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    folds: np.ndarray,
    patients: np.ndarray,
    draws: np.ndarray,
) -> np.ndarray:
    """Area under the ROC curve of `first` against `second`, within folds, and its replicates.

    scores, first, second, folds: (n,); patients: int (n,), columns of `draws`, (replicates,
    patients). Returns float64 (1 + replicates,), NaN where no fold has both groups.
    Scores of one fold come from one fit, and only those are compared: across folds the fit that
    leaves out many of a group also scores them low, which takes areas without information below
    0.5 (LeDell, Petersen and van der Laan 2015). Replicates take the fits as given, so their
    deviations are stretched by REFITS.
    """
    counts = np.vstack([np.ones(draws.shape[1]), draws])
    won, pairs = np.zeros((2, len(counts)))
    for fold in np.unique(folds):
        a, b = (group & (folds == fold) for group in (first, second))
        size_a, size_b = (
            counts @ np.bincount(patients[group], minlength=draws.shape[1]) for group in (a, b)
        )
        delta = replicated_effects(scores, a, b, patients, draws)[:, 2]
        both = size_a * size_b
        won += np.where(both > 0, (delta + 1) / 2 * both, 0)
        pairs += both
    areas = np.divide(won, pairs, out=np.full(len(counts), np.nan), where=pairs > 0)
    return areas[0] + np.r_[0, REFITS * (areas[1:] - areas[0])]


def mean_area(by_seed: Sequence[np.ndarray], confidence: float) -> tuple[float, float, float]:
    """Mean area over seeds, with its interval over patients and seeds.

    by_seed: the area of the sample and of its replicates, (1 + replicates,), of each seed.
    """
    values = np.array(by_seed)[..., None]
    mean, seeds = values.mean(axis=0), paired_seed_variance(values)
    low, high = bounded_interval(mean[0], errors(mean, seeds), confidence)
    return float(mean[0, 0]), float(low[0]), float(high[0])


def pairwise_distances(embeddings: np.ndarray) -> np.ndarray:
    """Euclidean distances of all pairs, float32 (n, n), from float64 products."""
    x = np.asarray(embeddings, np.float64)
    x = x - x.mean(0)
    squares = np.einsum("ij,ij->i", x, x)
    gaps = squares[:, None] + squares[None] - 2 * x @ x.T
    np.fill_diagonal(gaps, 0)
    return np.sqrt(np.maximum(gaps, 0)).astype(np.float32)


def energy_coefficients(distances: np.ndarray, codes: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Energy coefficients of pairs of groups, float64 (groupings, pairs).

    distances: (n, n); codes: int8 (groupings, attributes, n); pairs: int64 (pairs, 3) of attribute,
    a, b. (2 E|X-Y| - E|X-X'| - E|Y-Y'|) / (2 E|X-Y|), with means over all pairs, from 0 for equal
    distributions to 1 (Szekely and Rizzo 2013). NaN where a group is empty.
    """
    blocks = (codes[start : start + BLOCK] for start in range(0, len(codes), BLOCK))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.concatenate([_energy_of_block(distances, block, pairs) for block in blocks])


def replicated_energies(
    distances: np.ndarray, codes: np.ndarray, pairs: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Energy coefficients with images counted by weights, float64 (replicates, pairs).

    distances: (n, n); codes: int8 (attributes, n); pairs: as in `energy_coefficients`; weights:
    (replicates, n), the first replicate being the sample itself. Pairs of an image with itself,
    drawn twice, are left out of the mean within a group: its distance of 0 would say that groups
    are closer than they are.
    """
    result = np.empty((len(weights), len(pairs)))
    for start in range(0, len(weights), BLOCK):
        block = weights[start : start + BLOCK].astype(np.float32)
        result[start : start + BLOCK] = _weighted_energies(distances, codes, pairs, block)
    return result


def _weighted_energies(
    distances: np.ndarray, codes: np.ndarray, pairs: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    groups = {(attribute, group) for attribute, *both in pairs.tolist() for group in both}
    members = {key: weights * (codes[key[0]] == key[1]).astype(np.float32) for key in groups}
    sums = {key: member @ distances for key, member in members.items()}
    sizes = {key: member.sum(1, dtype=np.float64) for key, member in members.items()}

    def total(x: tuple, y: tuple) -> np.ndarray:
        return np.einsum("ij,ij->i", sums[x], members[y], dtype=np.float64)

    def within(x: tuple) -> np.ndarray:
        squares = np.einsum("ij,ij->i", members[x], members[x], dtype=np.float64)
        images = np.count_nonzero(members[x], axis=1)
        shrunk = 1 - 1 / np.maximum(images, 1)  # the sample's own mean counts such pairs
        return total(x, x) / (sizes[x] ** 2 - squares) * shrunk

    result = np.empty((len(weights), len(pairs)))
    with np.errstate(invalid="ignore", divide="ignore"):
        for i, (attribute, *both) in enumerate(pairs.tolist()):
            a, b = ((attribute, group) for group in both)
            between = total(a, b) / (sizes[a] * sizes[b])
            result[:, i] = 1 - (within(a) + within(b)) / (2 * between)
    return result


def energy_errors(
    distances: np.ndarray, codes: np.ndarray, pairs: np.ndarray, draws: np.ndarray
) -> np.ndarray:
    """How far energy coefficients may be off, float64 (replicates, pairs).

    codes: int8 (attributes, n); draws: (replicates, n), how often each image's patient is drawn.
    The root of the energy distance is a norm, that of the difference of two distributions, so it is
    off by no more than the norm of a replicate's deviation. NaN where a group is empty.
    """
    result = np.empty((len(draws), len(pairs)))
    with np.errstate(invalid="ignore", divide="ignore"):
        for i, (attribute, *both) in enumerate(pairs.tolist()):
            x, y = ((codes[attribute] == group).astype(np.float32) for group in both)
            x, y = x / x.sum(), y / y.sum()
            between = 2 * float(x @ distances @ y)
            energy = between - float(x @ distances @ x) - float(y @ distances @ y)
            deviation = _drawn(x, draws) - x - (_drawn(y, draws) - y)
            squares = -np.einsum("ij,ij->i", deviation @ distances, deviation, dtype=np.float64)
            squares = np.where(squares < 0, 0, squares)
            root = np.sqrt(max(energy, 0.0))
            result[:, i] = (squares + 2 * np.sqrt(squares) * root) / between
    return result


def _drawn(share: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """A group's distribution in every replicate, float32 (replicates, n)."""
    weights = share * draws
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _energy_of_block(distances: np.ndarray, codes: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    groups = {(attribute, group) for attribute, *both in pairs.tolist() for group in both}
    members = {key: (codes[:, key[0]] == key[1]).astype(np.float32) for key in groups}
    sums = {key: member @ distances for key, member in members.items()}
    sizes = {key: member.sum(1, dtype=np.float64) for key, member in members.items()}

    def mean_distance(x: tuple, y: tuple) -> np.ndarray:
        return np.einsum("ij,ij->i", sums[x], members[y], dtype=np.float64) / (sizes[x] * sizes[y])

    result = np.empty((len(codes), len(pairs)))
    for i, (attribute, *both) in enumerate(pairs.tolist()):
        a, b = ((attribute, group) for group in both)
        within = mean_distance(a, a) + mean_distance(b, b)
        result[:, i] = 1 - within / (2 * mean_distance(a, b))
    return result
