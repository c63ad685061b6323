"""The protocol `thesis`: Adam from PyTorch's initial weights, the best epoch on validation data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cxrfmkd.networks.cross_entropy import masked_cross_entropy
from cxrfmkd.networks.layers import Linear
from cxrfmkd.probing.heads import LabelledInputs, TrainedHead
from cxrfmkd.probing.logistic import class_priors
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.study.settings import Probe


def thesis_heads(
    train: LabelledInputs,
    val: LabelledInputs,
    seeds: Sequence[int],
    settings: Probe,
    device: torch.device,
    dtype: torch.dtype,
) -> list[TrainedHead]:
    """One head per seed, all trained at once; each seed has its own order of the same rows."""
    inputs, targets, val_inputs, val_targets = (
        torch.as_tensor(array).to(device, dtype)
        for array in (train.inputs, train.targets, val.inputs, val.targets)
    )
    n, findings = targets.shape
    labelled, targets = ~targets.isnan(), targets.nan_to_num()
    constant, log_odds = class_priors(labelled.sum(0), targets.sum(0))
    mask = (labelled & ~constant).to(dtype)
    weight, bias = (
        tensor.to(device, dtype) for tensor in _initial_weights(seeds, inputs.shape[1], findings)
    )
    weight[:, constant], bias[:, constant] = 0, log_odds[constant]
    adam = torch.optim.Adam(
        [weight.requires_grad_(), bias.requires_grad_()], lr=settings.learning_rate
    )
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    notes = {"constant": [train.findings[k] for k in torch.nonzero(constant).flatten().tolist()]}
    best: dict[int, TrainedHead] = {}
    history: dict[int, list[dict]] = {seed: [] for seed in seeds}
    for epoch in range(settings.epochs):
        order = torch.stack([torch.randperm(n, generator=g) for g in generators]).to(device)
        summed = torch.zeros(len(seeds), device=device, dtype=dtype)
        for batch in order.split(settings.batch_size, dim=1):
            logits = torch.baddbmm(bias[:, None], inputs[batch], weight.transpose(1, 2))
            loss = masked_cross_entropy(
                logits, targets[batch], mask[batch], dim=(1, 2), kind=settings.bce
            )
            adam.zero_grad()
            loss.sum().backward()
            adam.step()
            summed += loss.detach() * batch.shape[1]
        for seed, w, b, train_loss in zip(
            seeds, weight.detach(), bias.detach(), summed, strict=True
        ):
            logits = val_inputs @ w.T + b
            val_loss = float(
                masked_cross_entropy(logits.double(), val_targets.double(), kind=settings.bce)
            )
            line = {"epoch": epoch, "train_loss": float(train_loss) / n, "val_loss": val_loss}
            history[seed].append(line)
            if val_loss < (best[seed].best["val_loss"] if seed in best else np.inf):
                layers = [tensor.float().cpu().numpy().copy() for tensor in (w, b)]
                head = Linear(layers[0], layers[1], train.findings[:findings])
                line = {"epoch": epoch, "val_loss": val_loss}
                best[seed] = TrainedHead(seed, head, pd.DataFrame(), line, notes)
    if diverged := [seed for seed in seeds if seed not in best]:
        raise InputError(
            f"the heads of seeds {some(diverged)} never had a finite validation loss. "
            "Lower probe.learning_rate."
        )
    return [replace(best[seed], history=pd.DataFrame(history[seed])) for seed in seeds]


def _initial_weights(seeds: Sequence[int], width: int, findings: int) -> tuple[Tensor, Tensor]:
    """Weights (seeds, findings, width) and biases (seeds, findings) of a new `torch.nn.Linear`."""
    layers = []
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(seed)
            layers.append(torch.nn.Linear(width, findings))
    weight = torch.stack([layer.weight.detach() for layer in layers])
    return weight, torch.stack([layer.bias.detach() for layer in layers])
