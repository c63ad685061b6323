"""How well a whole embedding tells patients' attributes apart, beyond the four modes that the score
looks at.

All measures here are the same for any rotation of the embedding.
"""

from __future__ import annotations

import numpy as np

PENALTIES = np.logspace(-6, 2, 17)
FOLDS = 5


def folds(patients: np.ndarray, seed: int, count: int = FOLDS) -> np.ndarray:
    """A fold for every row, int64 (n,), whole patients together; patients: int (n,), 0, 1, ..."""
    own = np.random.default_rng(seed).permutation(patients.max() + 1) % count
    return own[patients]


def probe(features: np.ndarray, targets: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Out-of-fold scores of ridge regressions on 0/1 targets, float64 (n, targets).

    features: (n, f); targets: float (n, targets) of 0 and 1, NaN where unknown (left out of
    training, still scored); fold: int (n,). The penalty of each regression, relative to the mean
    eigenvalue, is the one with the least generalised cross-validation error on the training folds
    (Golub, Heath and Wahba 1979). A target with one class in a training part has no scores for the
    fold left out (NaN).
    """
    result, middle = np.full(targets.shape, np.nan), features.mean(0)
    unknown = np.isnan(targets)
    masks, mask_of = np.unique(unknown, axis=1, return_inverse=True)
    for number, mask in enumerate(masks.T):
        columns = np.flatnonzero(mask_of.ravel() == number)
        parts = {
            name: _moments(features[rows], targets[np.ix_(rows, columns)])
            for name in np.unique(fold)
            for rows in [np.flatnonzero(~mask & (fold == name))]
        }
        whole = [sum(kind) for kind in zip(*parts.values(), strict=True)]
        for name, part in parts.items():
            n, positives, sums, gram, products = (w - p for w, p in zip(whole, part, strict=True))
            if n < 2:
                continue
            center, share = sums / n, positives / n
            slopes = _ridge(
                gram - n * np.outer(center, center),
                products - np.outer(center, positives),
                n,
                share,
            )
            rows = np.flatnonzero(fold == name)
            scores = (features[rows] - middle) @ slopes
            scores[:, (share <= 0) | (share >= 1)] = np.nan
            result[np.ix_(rows, columns)] = scores
    return result


def _moments(x: np.ndarray, y: np.ndarray) -> tuple:
    """Count, positives (t,), sums (f,), cross-products (f, f) and products with the targets (f, t)."""
    return len(x), y.sum(0), x.sum(0), x.T @ x, x.T @ y


def _ridge(gram: np.ndarray, products: np.ndarray, n: int, share: np.ndarray) -> np.ndarray:
    """Slopes (f, t) of ridge regressions on centred features, each penalty by generalised cross-validation."""
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 0)
    rotated = vectors.T @ products
    penalties = PENALTIES * max(values.mean(), np.finfo(float).tiny)
    shrunk = rotated / (values[:, None] + penalties[:, None, None])
    residual = n * share * (1 - share) + ((values[:, None] * shrunk - 2 * rotated) * shrunk).sum(1)
    freedom = (values / (values + penalties[:, None])).sum(1) + 1
    error = residual / np.maximum(n - freedom, 1e-9)[:, None] ** 2
    return vectors @ shrunk[error.argmin(0), :, np.arange(len(share))].T


def distances(embeddings: np.ndarray) -> np.ndarray:
    """Euclidean distances of all pairs, float32 (n, n), from float64 products; the diagonal is zero."""
    x = np.asarray(embeddings, np.float64)
    x = x - x.mean(0)
    squares = np.einsum("ij,ij->i", x, x)
    gaps = squares[:, None] + squares[None] - 2 * x @ x.T
    np.fill_diagonal(gaps, 0)
    return np.sqrt(np.maximum(gaps, 0)).astype(np.float32)


def energies(between: np.ndarray, codes: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Energy coefficients of pairs of groups, float64 (labellings, pairs): 0 for equal
    distributions, at most 1.

    between: distances (n, n); codes: int8 (labellings, attributes, n); pairs: int64 (pairs, 3) of
    attribute, a, b. (2 E|X-Y| - E|X-X'| - E|Y-Y'|) / (2 E|X-Y|), with means over all pairs (Szekely
    and Rizzo 2013). NaN where a group is empty.
    """
    result = np.empty((len(codes), len(pairs)))
    for start in range(0, len(codes), 100):
        block = codes[start : start + 100]
        members = {
            (attribute, group): (block[:, attribute] == group).astype(np.float32)
            for attribute, a, b in pairs.tolist()
            for group in (a, b)
        }
        sums = {key: own @ between for key, own in members.items()}
        sizes = {key: own.sum(1, dtype=np.float64) for key, own in members.items()}
        for place, (attribute, a, b) in enumerate(pairs.tolist()):
            with np.errstate(invalid="ignore", divide="ignore"):
                cross, within_a, within_b = (
                    np.einsum("ij,ij->i", sums[x], members[y], dtype=np.float64)
                    / (sizes[x] * sizes[y])
                    for x, y in (
                        ((attribute, a), (attribute, b)),
                        ((attribute, a), (attribute, a)),
                        ((attribute, b), (attribute, b)),
                    )
                )
                result[start : start + 100, place] = 1 - (within_a + within_b) / (2 * cross)
    return result


def cka(first: np.ndarray, second: np.ndarray) -> float:
    """Linear centred kernel alignment of two embeddings of the same images, (n, f) and (n, g); 0 to
    1.

    1 means equal up to rotation, shift and scale (Kornblith et al. 2019).
    """
    x, y = (
        np.asarray(e, np.float64) - np.mean(e, axis=0, dtype=np.float64) for e in (first, second)
    )
    if min(x.shape[1], y.shape[1]) > len(x):
        a, b = x @ x.T, y @ y.T
        return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
    across, own_x, own_y = (u.T @ v for u, v in ((x, y), (x, x), (y, y)))
    return float((across**2).sum() / np.sqrt((own_x**2).sum() * (own_y**2).sum()))
