"""Losses that left all bounds: found without making a GPU wait, and reported with step and terms.

No result depends on anything here: a training either ends in the same numbers or in an error.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from cxrfmkd.runtime.errors import InputError

# A loss beyond this, or one that is not finite, ends the training.
LIMIT = 1e6

# Steps between two checks on a GPU, which must not wait for them; a CPU checks every step.
CHECK_EVERY = 25

ADVICE = "lower the learning rate, or look for targets that are far too large."


class DivergedError(InputError):
    """A training whose loss left all bounds."""


class Step(NamedTuple):
    """One step's terms of the loss, still on the device, and the learning rate it was made with."""

    terms: dict[str, Tensor]
    learning_rate: float


def check_is_due(device: torch.device, batch: int) -> bool:
    """Whether the losses of the latest steps are looked at after step `batch` of an epoch."""
    return device.type == "cpu" or batch % CHECK_EVERY == 0


def check_losses(pending: list[Step], step: int) -> float:
    """The loss of the latest step; DivergedError at the first step whose loss left all bounds.

    pending: the steps since the last check, of which the latest is number `step - 1` of the run.
    """
    losses = torch.stack([terms["loss"] for terms, _ in pending]).tolist()
    for number, loss in enumerate(losses):
        if not abs(loss) <= LIMIT:
            terms, rate = pending[number]
            values = ", ".join(f"{name} {float(value):.4g}" for name, value in terms.items())
            raise DivergedError(
                f"the training diverged at step {step - len(losses) + number} (counted from 0): "
                f"{values}; learning rate {rate:.3g}; {ADVICE}"
            )
    return losses[-1]


def check_validation_loss(loss: float, epoch: int) -> None:
    """DivergedError where an epoch's validation loss is not finite."""
    if not math.isfinite(loss):
        raise DivergedError(f"the validation loss of epoch {epoch} is {loss}; {ADVICE}")
