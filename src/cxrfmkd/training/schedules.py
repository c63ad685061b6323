"""How the learning rate moves over a training, by name."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

# Share of the steps over which the cosine schedule warms up.
WARM_UP = 0.05


def one_cycle(optimizer: Optimizer, steps: int) -> LRScheduler:
    """Up from 1/25 of the rate over 30 % of the steps, then to nearly 0; beta1 the other way."""
    return OneCycleLR(optimizer, [group["lr"] for group in optimizer.param_groups], steps)


def constant(optimizer: Optimizer, steps: int) -> LRScheduler:
    """The same rate throughout."""
    return LambdaLR(optimizer, lambda step: 1.0)


def cosine(optimizer: Optimizer, steps: int) -> LRScheduler:
    """Up over 5 % of the steps, then down to zero along half a cosine."""
    warm = max(1, round(WARM_UP * steps))

    def share(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return LambdaLR(optimizer, share)


SCHEDULES = {"one-cycle": one_cycle, "constant": constant, "cosine": cosine}
