"""How much of the teacher a student kept, measured so that the teacher's dominant mean vector
cannot flatter it.

All embeddings of CXR-FM share large entries, so a constant vector already has a high raw cosine and
a small MSE. The measures here compare what differs between patients; each stands beside the same
measure of controls that know nothing, or little, of the teacher. Arrays in, floats or arrays out:
student and teacher are (n, D).
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray

# Images among which neighbours are looked for; a fixed number, so that rates are comparable between
# datasets.
GALLERY = 4000


def cosine(a: Array, b: Array) -> Array:
    """Cosine of each row of `a` with the same row of `b`, (n,); 0 where either has no length."""
    return (_unit(a) * _unit(b)).sum(1)


def centred_cosine(student: Array, teacher: Array, centre: Array) -> Array:
    """Cosines after `centre`, (D,), the teacher's mean on training images, is taken from both: (n,)."""
    return cosine(student - centre, teacher - centre)


def r_squared(student: Array, teacher: Array) -> Array:
    """Share of each dimension's variance that the student explains: (D,), NaN where the teacher is
    constant.

    1 - sum (t - s)^2 / sum (t - mean t)^2 over the given images; negative where the mean would do
    better.
    """
    residual, total = _sums(student, teacher)
    return np.divide(
        1 - residual / np.where(total > 0, total, 1),
        total > 0,
        where=total > 0,
        out=np.full(len(total), np.nan),
    )


def overall_r_squared(student: Array, teacher: Array) -> float:
    """Share of the teacher's total variance that the student explains: `r_squared` weighted by variance."""
    residual, total = _sums(student, teacher)
    return float(1 - residual.sum() / total.sum())


def linear_cka(x: Array, y: Array, debiased: bool = False) -> float:
    """Linear centred kernel alignment of two representations of the same images, (n, p) and (n, q).

    1 for representations that are equal up to rotation and scale; 0 where one is constant.
    `debiased` uses the unbiased estimate of HSIC (Song et al. 2012; Kornblith et al. 2019), whose
    expectation is 0 for unrelated representations however many dimensions they have; it needs n > 3
    and can be negative.
    """
    x, y = (np.asarray(a, np.float64) - np.mean(a, 0, dtype=np.float64) for a in (x, y))
    n = len(x)
    lengths = [np.square(a).sum(1) for a in (x, y)]

    def shared(a: Array, b: Array, i: int, j: int) -> float:
        product = np.square(a.T @ b).sum()
        if not debiased:
            return product
        product -= n / (n - 2) * (lengths[i] @ lengths[j])
        return product + lengths[i].sum() * lengths[j].sum() / ((n - 1) * (n - 2))

    scale = shared(x, x, 0, 0) * shared(y, y, 1, 1)
    return float(shared(x, y, 0, 1) / np.sqrt(scale)) if scale > 0 else 0.0


def neighbour_overlap(x: Array, y: Array, k: int = 10) -> float:
    """Share of each image's `k` nearest others (by cosine) in `x` that are among its `k` nearest in
    `y`.

    k / (n - 1) is expected of unrelated representations.
    """
    near = [_nearest(array, k) for array in (x, y)]
    return float((near[0] & near[1]).sum() / (k * len(x)))


def retrieval(student: Array, teacher: Array, ks: tuple[int, ...] = (1, 5)) -> tuple[float, ...]:
    """Share of images whose own teacher row is among the k that are nearest (by cosine) to the
    student's row, for
    each k.

    Ties count as a draw among equals. k / n is expected of a student that knows nothing.
    """
    close = _unit(student) @ _unit(teacher).T
    own = np.diag(close)[:, None]
    above, equal = (close > own).sum(1), (close == own).sum(1)
    return tuple(float(np.clip((k - above) / equal, 0, 1).mean()) for k in ks)


def measure(student: Array, teacher: Array, reference: Array, seed: int = 0) -> dict:
    """Every measure that needs the embeddings alone.

    reference: (m, D), the teacher's embeddings of training images, whose mean is the centre; seed:
    of the draw of at most `GALLERY` images for the neighbour measures. Directions are rows scaled
    to length 1, for students whose loss leaves the length free; neighbours are looked for among
    centred directions.
    """
    explained = r_squared(student, teacher)
    known = explained[~np.isnan(explained)]
    centre = reference.mean(0, dtype=np.float64)
    middle = _unit(reference).mean(0, dtype=np.float64)
    directions = _unit(student), _unit(teacher)
    chosen = np.random.default_rng(seed).permutation(len(student))[:GALLERY]
    s, t = ((rows[chosen] - middle).astype(np.float32) for rows in directions)
    top1, top5 = retrieval(s, t)
    k = min(10, len(chosen) - 1)
    return {
        "cosine": float(cosine(student, teacher).mean()),
        "mse": float(np.square(student - teacher, dtype=np.float64).mean()),
        "centred_cosine": float(centred_cosine(student, teacher, centre).mean()),
        "centred_cosine_of_directions": float(centred_cosine(*directions, middle).mean()),
        "r2_overall": overall_r_squared(student, teacher),
        "r2_mean": float(known.mean()),
        "r2_quantiles": {
            str(q): float(np.quantile(known, q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95)
        },
        "r2_constant_dimensions": int(np.isnan(explained).sum()),
        "cka": linear_cka(student, teacher),
        "cka_debiased": linear_cka(student, teacher, debiased=True),
        "neighbour_overlap": neighbour_overlap(s, t, k),
        "neighbours": k,
        "retrieval_top1": top1,
        "retrieval_top5": top5,
        "gallery": len(chosen),
    }


def _unit(rows: Array) -> Array:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def _sums(student: Array, teacher: Array) -> tuple[Array, Array]:
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
