"""How close a student is to its teacher, whatever the teacher's dominant mean vector.

All embeddings of CXR-FM share large entries, so a constant vector already has a high raw cosine and
a small MSE. The measures here compare what differs between patients; each stands beside the same
measure of controls that know nothing, or little, of the teacher. Arrays in, floats or arrays out:
student and teacher are (n, D).
"""

from __future__ import annotations

import numpy as np

from cxrfmkd.statistics.cka import linear_cka

Array = np.ndarray

# Images among which neighbours are looked for; a fixed number, so that rates are comparable between
# datasets.
GALLERY = 4000


def cosine(a: Array, b: Array) -> Array:
    """Cosine of each row of `a` with the same row of `b`, (n,); 0 where either has no length."""
    return (_unit(a) * _unit(b)).sum(1)


def centred_cosine(student: Array, teacher: Array, centre: Array) -> Array:
    """Cosines, (n,), after `centre`, (D,), the teacher's mean in training, is taken from both."""
    return cosine(student - centre, teacher - centre)


def r_squared(student: Array, teacher: Array) -> Array:
    """Share of each dimension's variance that the student explains: (D,).

    1 - sum (t - s)^2 / sum (t - mean t)^2 over the given images; negative where the mean would do
    better, NaN where the teacher is constant.
    """
    residual, total = _sums_of_squares(student, teacher)
    explained = 1 - residual / np.where(total > 0, total, 1)
    return np.where(total > 0, explained, np.nan)


def overall_r_squared(student: Array, teacher: Array) -> float:
    """Share of the teacher's total variance that the student explains."""
    residual, total = _sums_of_squares(student, teacher)
    return float(1 - residual.sum() / total.sum())


def neighbour_overlap(x: Array, y: Array, k: int = 10) -> float:
    """Share of each image's `k` nearest others (by cosine) in `x` that are so in `y` too.

    k / (n - 1) is expected of unrelated representations.
    """
    near = [_nearest(array, k) for array in (x, y)]
    return float((near[0] & near[1]).sum() / (k * len(x)))


def retrieval(student: Array, teacher: Array, ks: tuple[int, ...] = (1, 5)) -> tuple[float, ...]:
    """Share of images whose teacher row is among the k nearest to the student's row, for each k.

    By cosine; ties count as a draw. k / n is expected of a student that knows nothing.
    """
    close = _unit(student) @ _unit(teacher).T
    same_image = np.diag(close)[:, None]
    above, equal = (close > same_image).sum(1), (close == same_image).sum(1)
    return tuple(float(np.clip((k - above) / equal, 0, 1).mean()) for k in ks)


def measure(student: Array, teacher: Array, reference: Array, seed: int = 0) -> dict:
    """Every measure that needs the embeddings alone.

    reference: (m, D), the teacher's embeddings of training images, whose mean is the centre; seed:
    of the draw of at most `GALLERY` images for the neighbour measures. Directions are rows scaled
    to length 1, for students whose loss leaves the length free; neighbours are looked for among
    centred directions.
    """
    explained = r_squared(student, teacher)
    defined = explained[~np.isnan(explained)]
    centre = reference.mean(0, dtype=np.float64)
    mean_direction = _unit(reference).mean(0, dtype=np.float64)
    directions = _unit(student), _unit(teacher)
    gallery = np.random.default_rng(seed).permutation(len(student))[:GALLERY]
    s, t = ((rows[gallery] - mean_direction).astype(np.float32) for rows in directions)
    top1, top5 = retrieval(s, t)
    k = min(10, len(gallery) - 1)
    quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
    return {
        "cosine": float(cosine(student, teacher).mean()),
        "mse": float(np.square(student - teacher, dtype=np.float64).mean()),
        "centred_cosine": float(centred_cosine(student, teacher, centre).mean()),
        "centred_cosine_of_directions": float(centred_cosine(*directions, mean_direction).mean()),
        "r2_overall": overall_r_squared(student, teacher),
        "r2_mean": float(defined.mean()),
        "r2_quantiles": {str(q): float(np.quantile(defined, q)) for q in quantiles},
        "r2_constant_dimensions": int(np.isnan(explained).sum()),
        "cka": linear_cka(student, teacher),
        "cka_debiased": linear_cka(student, teacher, debiased=True),
        "neighbour_overlap": neighbour_overlap(s, t, k),
        "neighbours": k,
        "retrieval_top1": top1,
        "retrieval_top5": top5,
        "gallery": len(gallery),
    }


def _unit(rows: Array) -> Array:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def _sums_of_squares(student: Array, teacher: Array) -> tuple[Array, Array]:
    """Residual and total sum of squares of each dimension, float64."""
    teacher = np.asarray(teacher, np.float64)
    return np.square(teacher - student).sum(0), np.square(teacher - teacher.mean(0)).sum(0)


def _nearest(rows: Array, k: int) -> Array:
    """(n, n) bool: the `k` nearest others of each row, by cosine."""
    unit = _unit(rows)
    close = unit @ unit.T
    np.fill_diagonal(close, -np.inf)
    near = np.zeros(close.shape, bool)
    np.put_along_axis(near, np.argpartition(-close, k - 1, axis=1)[:, :k], True, axis=1)
    return near
