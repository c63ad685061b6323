"""Standardised targets for distillation, and the way back into the student's projection.

A student trained on standardised embeddings still has to speak the teacher's language. The inverse
is affine, so it is folded into the last linear layer, and whoever loads the student need not know.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from cxrfmkd.runtime.errors import InputError

KINDS = ("none", "per-dimension", "phi-s")

SEED = 42


@dataclass(frozen=True)
class Standardisation:
    """y = (x - mean) @ forward.T, x = y @ back.T + mean; nothing at all where they are empty.

    mean: (d,); forward, back: (d, d); all float64.
    """

    mean: np.ndarray = field(default_factory=lambda: np.empty(0))
    forward: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    back: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    @classmethod
    def fit(cls, targets: np.ndarray, kind: str) -> Standardisation:
        """Learn from the training targets, (n, d) float32.

        `per-dimension`: mean 0 and variance 1 in every dimension; one that never varies is only
        centred. `phi-s`: one scale for all, after a rotation that gives every dimension the same
        variance and a share of every principal component. Source: Ranzinger et al. (2024), PHI-S.
        Its Hadamard matrix is known for few sizes and not for 1376, so `balanced_rotation` takes
        its place; both spread the variance evenly.
        """
        if kind not in KINDS:
            raise InputError(f"distillation.standardise_teacher is {kind!r}; choose of {KINDS}.")
        if kind == "none":
            return cls()
        mean = targets.mean(0, dtype=np.float64)
        if kind == "per-dimension":
            deviation = targets.std(0, dtype=np.float64)
            deviation[deviation == 0] = 1
            return cls(mean, np.diag(1 / deviation), np.diag(deviation))
        centred = targets - mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(targets))
        values = values.clip(min=0)
        scale = np.sqrt(values.mean()) or 1.0
        rotation = balanced_rotation(values) @ vectors.T
        return cls(mean, rotation / scale, rotation.T * scale)

    def apply(self, targets: np.ndarray) -> np.ndarray:
        """targets: (n, d) -> the same, standardised, in their own type."""
        if not len(self.mean):
            return targets
        dtype = targets.dtype
        return (targets - self.mean.astype(dtype)) @ self.forward.T.astype(dtype)

    def fold(self, layer: nn.Linear, rows: slice = slice(None)) -> None:
        """Let `rows` of `layer`, which were trained on standardised targets, put out raw ones."""
        if not len(self.mean):
            return
        weight, bias = (p[rows].detach().cpu().double().numpy() for p in (layer.weight, layer.bias))
        with torch.no_grad():
            layer.weight[rows] = torch.from_numpy(self.back @ weight).to(layer.weight)
            layer.bias[rows] = torch.from_numpy(self.back @ bias + self.mean).to(layer.bias)


def balanced_rotation(variances: np.ndarray) -> np.ndarray:
    """A rotation R, (d, d), for which every diagonal entry of R diag(variances) R' is their mean.

    A fixed random rotation mixes all components; then each of at most d - 1 plane rotations makes
    one entry exact. Source: Bendel and Mickey (1978).
    """
    d, mean = len(variances), variances.mean()
    rotation, _ = np.linalg.qr(np.random.default_rng(SEED).standard_normal((d, d)))
    mixed = rotation * variances @ rotation.T
    left = set(range(d))
    while len(left) > 1:
        i = min(left, key=lambda k: mixed[k, k])
        j = max(left, key=lambda k: mixed[k, k])
        below, above, both = mixed[i, i] - mean, mixed[j, j] - mean, mixed[i, j]
        left.discard(i)
        if not (below < 0 < above):
            continue
        tangent = (-both + np.copysign(np.sqrt(both**2 - below * above), -both)) / above
        c = 1 / np.sqrt(1 + tangent**2)
        turn = np.array([[c, c * tangent], [-c * tangent, c]])
        rotation[[i, j]] = turn @ rotation[[i, j]]
        mixed[[i, j]] = turn @ mixed[[i, j]]
        mixed[:, [i, j]] = mixed[:, [i, j]] @ turn.T
    return rotation
