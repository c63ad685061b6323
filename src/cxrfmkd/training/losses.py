"""The losses of distillation and classification, by name.

A new loss is one function of (student, teacher) with `@loss("its-name")` above it, its title in
`zoo.LOSS_TITLES`, and its name in `distillation.losses`. Source: thesis method, section 2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from cxrfmkd.networks.cross_entropy import masked_cross_entropy
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.vocabulary.models import loss_share

# Everywhere: student, teacher: (n, d) float; a loss is a scalar, or a dict of what is minimised
# (`loss`) and its parts.
Terms = dict[str, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor | Terms]

LOSSES: dict[str, Callable[[], Loss]] = {}


def loss(name: str) -> Callable:
    """Register a function, or a module class with parameters of its own, as the loss `name`."""

    def register(function: Loss | type[nn.Module]) -> Loss | type[nn.Module]:
        LOSSES[name] = function if isinstance(function, type) else lambda: function
        return function

    return register


@loss("mse")
def mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over all entries of the squared difference."""
    return (student - teacher).square().mean()


@loss("mae")
def mae(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over all entries of the absolute difference."""
    return (student - teacher).abs().mean()


@loss("huber")
def huber(student: Tensor, teacher: Tensor) -> Tensor:
    """Half the squared difference up to 1, then the difference less a half; mean over all entries."""
    return functional.huber_loss(student, teacher, delta=1.0)


@loss("cosine")
def cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """1 less the mean over images of the cosine; a norm below 1e-8 counts as 1e-8."""
    return 1 - functional.cosine_similarity(student, teacher, dim=1, eps=1e-8).mean()


@loss("mse-cosine")
def mse_cosine(student: Tensor, teacher: Tensor) -> Terms:
    """Half MSE, half cosine."""
    parts = {"mse": mse(student, teacher), "cosine": cosine(student, teacher)}
    return {"loss": 0.5 * parts["mse"] + 0.5 * parts["cosine"]} | parts


@loss("mse-cosine-learned")
class LearnedWeights(nn.Module):
    """exp(-a) MSE + a + exp(-b) cosine + b, with a and b trained beside the student; may be
    negative.

    Source: Kendall, Gal and Cipolla (2018) without the factor one half, as in the thesis.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_mse = nn.Parameter(torch.zeros(()))
        self.log_cosine = nn.Parameter(torch.zeros(()))

    def forward(self, student: Tensor, teacher: Tensor) -> Terms:
        parts = {"mse": mse(student, teacher), "cosine": cosine(student, teacher)}
        first = (-self.log_mse).exp() * parts["mse"] + self.log_mse
        second = (-self.log_cosine).exp() * parts["cosine"] + self.log_cosine
        learned = {"log_mse": self.log_mse, "log_cosine": self.log_cosine}
        return {"loss": first + second} | parts | learned


def weighted(share: float, scales: Mapping[str, float]) -> Loss:
    """Share x MSE / scales["mse"] + (1 - share) x cosine / scales["cosine"]."""

    def scaled(student: Tensor, teacher: Tensor) -> Terms:
        parts = {"mse": mse(student, teacher), "cosine": cosine(student, teacher)}
        first = share * parts["mse"] / scales["mse"]
        second = (1 - share) * parts["cosine"] / scales["cosine"]
        return {"loss": first + second} | parts

    return scaled


def relational(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference between the student's and the teacher's cosines of all pairs of
    images in a batch.

    Cosines are of deviations from the batch's mean, since teacher embeddings share a large common
    vector that makes every raw cosine nearly 1. A batch of one has no pairs and costs nothing.
    """
    n = len(student)
    if n < 2:
        return student.sum() * 0
    ours, theirs = (
        functional.normalize(x - x.mean(0, keepdim=True), dim=1, eps=1e-8)
        for x in (student, teacher)
    )
    return (ours @ ours.T - theirs @ theirs.T).square().sum() / (n * (n - 1))


class Objective(nn.Module):
    """What a distillation minimises: a loss by name, and a share of the relational term if asked
    for.

    scales: plateau values of `mse` and `cosine`, which the weighted losses are divided by.
    Called with (student, teacher) it returns `loss` and the terms that make it up, each a scalar.
    """

    def __init__(
        self,
        name: str,
        scales: Mapping[str, float] | None = None,
        relational_weight: float = 0.0,
    ) -> None:
        super().__init__()
        share = loss_share(name)
        if share is None and name not in LOSSES:
            raise InputError(
                f"there is no loss {name!r}; losses are {some(LOSSES, 99)}, and mse-cosine-A with "
                "a share of MSE "
                "such as 0.6."
            )
        if share is not None and not _usable(scales):
            raise InputError(
                f"{name} needs positive plateau values of mse and cosine, found "
                f"{dict(scales or {})}. Set "
                "distillation.loss_scales, or measure them on the mse and cosine students."
            )
        self.name, self.relational_weight = name, relational_weight
        self.loss = LOSSES[name]() if share is None else weighted(share, scales)

    def forward(self, student: Tensor, teacher: Tensor) -> Terms:
        found = self.loss(student, teacher)
        terms = found if isinstance(found, dict) else {"loss": found, self.name: found}
        if self.relational_weight:
            term = relational(student, teacher)
            terms = terms | {
                "loss": terms["loss"] + self.relational_weight * term,
                "relational": term,
            }
        return terms


def _usable(scales: Mapping[str, float] | None) -> bool:
    return scales is not None and all(scales.get(part, 0) > 0 for part in ("mse", "cosine"))


class BinaryCrossEntropy(nn.Module):
    """Classification: see `masked_cross_entropy`. kind: `logits` or `probabilities`."""

    def __init__(self, kind: str = "logits") -> None:
        super().__init__()
        self.kind = kind

    def forward(self, logits: Tensor, targets: Tensor) -> Terms:
        """The mean over the labels that are known, as the one term `loss`."""
        return {"loss": masked_cross_entropy(logits, targets, kind=self.kind)}
