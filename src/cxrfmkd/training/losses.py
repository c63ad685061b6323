"""The losses of distillation and classification, by name.

A new loss is one function of (student, teacher) with `@loss("its-name")` above it, here or in a
user's own file (docs/extending.md), and its name in `distillation.losses`. Source: thesis method,
section 2.1.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from cxrfmkd.networks.cross_entropy import masked_cross_entropy
from cxrfmkd.runtime import plugins
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.vocabulary.losses import loss_share

# student, teacher: (n, d) float; a loss is a scalar, or a dict of what is minimised (`loss`) and of
# the terms that make it up.
Terms = dict[str, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor | Terms]

# Name -> what makes the loss: ours, then those of users' files.
LOSSES: MutableMapping[str, Callable[[], Loss]] = ChainMap({}, plugins.REGISTERED["loss"])


def loss(name: str) -> Callable:
    """Register a function, or a module class with parameters of its own, as the loss `name`."""

    def register(function: Loss | type[nn.Module]) -> Loss | type[nn.Module]:
        LOSSES[name] = plugins.loss_maker(function)
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
    """Mean over all entries: half the squared difference up to 1, then the difference less 1/2."""
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
    """exp(-a) MSE + a + exp(-b) cosine + b, with a and b trained beside the student.

    It may be negative. Source: Kendall, Gal and Cipolla (2018) without the factor one half, as in
    the thesis.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_mse = nn.Parameter(torch.zeros(()))
        self.log_cosine = nn.Parameter(torch.zeros(()))

    def forward(self, student: Tensor, teacher: Tensor) -> Terms:
        """The loss, its two parts and the two learned weights."""
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
    """Mean squared difference of the student's and the teacher's cosines of all pairs in a batch.

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
    """What a distillation minimises: a loss by name, plus a share of the relational term.

    scales: plateau values of `mse` and `cosine`, which the weighted losses are divided by.
    Called with (student, teacher) it returns `loss` and the terms that make it up, each a scalar.
    """

    def __init__(
        self, name: str, scales: Mapping[str, float] | None = None, relational_weight: float = 0.0
    ) -> None:
        super().__init__()
        share = loss_share(name)
        self.name, self.scales = name, dict(scales or {})
        self.relational_weight = relational_weight
        if share is None and name not in LOSSES:
            raise InputError(
                f"there is no loss {name!r}; losses are {some(LOSSES, 99)}, and mse-cosine-A with "
                "a share of MSE such as 0.6."
            )
        if share is not None and not all(self.scales.get(k, 0) > 0 for k in ("mse", "cosine")):
            raise InputError(
                f"{name} needs positive plateau values of mse and cosine, found {self.scales}. Set "
                "distillation.loss_scales, or measure them on the mse and cosine students."
            )
        self.loss = LOSSES[name]() if share is None else weighted(share, self.scales)

    def extra_repr(self) -> str:
        """Name, scales and weight, so that the objective's repr tells it from any other."""
        return f"{self.name}, {self.scales}, relational_weight={self.relational_weight}"

    def forward(self, student: Tensor, teacher: Tensor) -> Terms:
        """The terms of a batch."""
        value = self.loss(student, teacher)
        terms = value if isinstance(value, dict) else {"loss": value, self.name: value}
        if self.relational_weight:
            term = relational(student, teacher)
            loss = terms["loss"] + self.relational_weight * term
            terms = terms | {"loss": loss, "relational": term}
        return terms


class BinaryCrossEntropy(nn.Module):
    """Classification: see `masked_cross_entropy`. kind: `logits` or `probabilities`."""

    def __init__(self, kind: str = "logits") -> None:
        super().__init__()
        self.kind = kind

    def extra_repr(self) -> str:
        """The kind, so that the objective's repr tells it from the other."""
        return self.kind

    def forward(self, logits: Tensor, targets: Tensor) -> Terms:
        """The mean over the labels that are known, as the one term `loss`."""
        return {"loss": masked_cross_entropy(logits, targets, kind=self.kind)}
