"""The protocol `converged`: the optimum of every seed, finding and penalty, solved together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cxrfmkd.networks.cross_entropy import masked_cross_entropy
from cxrfmkd.networks.layers import Linear
from cxrfmkd.probing.heads import LabelledInputs, TrainedHead
from cxrfmkd.probing.logistic import Solution, solve


class StandardisedInputs:
    """Training and validation inputs with the training mean 0 and deviation 1, and the way back.

    A feature that does not vary in training becomes 0, so that no head can use it.
    """

    def __init__(
        self, train: LabelledInputs, val: LabelledInputs, device: torch.device, dtype: torch.dtype
    ):
        raw = torch.as_tensor(train.inputs).to(device)
        self.mean = raw.mean(0, dtype=torch.float64)
        blocks = raw.split(8192)
        squares = torch.zeros_like(self.mean)
        for block in blocks:
            squares += (block.double() - self.mean).square().sum(0)
        deviation = (squares / len(raw)).sqrt()
        varies = deviation > 1e-6 * self.mean.abs().clamp(min=1e-30)
        self.scale = torch.where(varies, 1 / deviation, 0)
        self.train = torch.cat([self._scaled(block, dtype) for block in blocks])
        self.val = self._scaled(torch.as_tensor(val.inputs).to(device), dtype)
        self.findings = train.findings[: train.targets.shape[1]]
        self.train_targets = torch.as_tensor(train.targets).to(device, dtype)
        self.val_targets = torch.as_tensor(val.targets).to(device, dtype)

    def _scaled(self, block: Tensor, dtype: torch.dtype) -> Tensor:
        return ((block.double() - self.mean) * self.scale).to(dtype)

    def on_raw_inputs(self, weight: Tensor, bias: Tensor) -> Linear:
        """A head on standardised inputs as one on raw inputs, which predicts the same."""
        folded = weight.double() * self.scale
        shifted = bias.double() - folded @ self.mean
        layers = folded.float().cpu().numpy(), shifted.float().cpu().numpy()
        return Linear(*layers, self.findings)


def converged_heads(
    data: StandardisedInputs, counts: np.ndarray, seeds: Sequence[int], l2: Sequence[float]
) -> list[TrainedHead]:
    """Heads of all seeds, each finding with the penalty of `l2` that is best on validation data.

    counts: (n, seeds), how often each training row counts. Ties of penalties: the strongest.
    """
    penalties = sorted(l2, reverse=True)
    findings = np.array(data.findings)
    grid = (len(seeds), len(penalties), len(findings))
    solution, train_losses = _solve_grid(data, counts, penalties)
    logits = data.val @ solution.weight.T + solution.bias
    val_targets = data.val_targets.repeat(1, len(seeds) * len(penalties))
    val_losses = masked_cross_entropy(logits, val_targets, dim=0)
    best = val_losses.reshape(grid).argmin(1).cpu()
    columns = torch.arange(val_losses.numel()).reshape(grid).gather(1, best[:, None])[:, 0]
    by_seed = {
        "iterations": solution.iterations,
        "train_loss": train_losses,
        "val_loss": val_losses,
    }
    heads = []
    for s, seed in enumerate(seeds):
        selected, penalty = columns[s], np.array(penalties)[best[s].numpy()]
        history = pd.DataFrame(
            {
                "finding": np.tile(findings, len(penalties)),
                "l2": np.repeat(penalties, len(findings)),
            }
            | {k: v.reshape(len(seeds), -1)[s].cpu().numpy() for k, v in by_seed.items()}
            | {"chosen": (np.arange(len(penalties))[:, None] == best[s].numpy()).flatten()}
        )
        val_loss = masked_cross_entropy(logits[:, selected].double(), data.val_targets.double())
        constant = solution.constant[selected].cpu().numpy()
        at_end = len(penalties) > 1 and np.isin(penalty, [penalties[0], penalties[-1]])
        notes = {
            "constant": findings[constant].tolist(),
            "l2": dict(zip(findings.tolist(), penalty.tolist(), strict=True)),
            "l2_at_end_of_grid": findings[at_end & ~constant].tolist(),
            "not_converged": findings[~solution.converged[selected].numpy()].tolist(),
        }
        head = data.on_raw_inputs(solution.weight[selected], solution.bias[selected])
        best_of_seed = {"epoch": None, "val_loss": float(val_loss)}
        heads.append(TrainedHead(seed, head, history, best_of_seed, notes))
    return heads


def _solve_grid(
    data: StandardisedInputs, counts: np.ndarray, penalties: Sequence[float]
) -> tuple[Solution, Tensor]:
    """Regressions of every seed, penalty and finding, columns in this order, and their losses."""
    seeds, findings = counts.shape[1], data.train_targets.shape[1]
    grid = (seeds, len(penalties), findings)
    weight_of_row = torch.as_tensor(counts).to(data.train)[:, :, None, None]
    labelled = ~data.train_targets.isnan()[:, None, None, :]
    targets = data.train_targets.nan_to_num()[:, None, None, :].expand(-1, *grid).flatten(1)
    weights = (weight_of_row * labelled).expand(-1, *grid).flatten(1)
    l2 = torch.tensor(penalties).to(data.train)[None, :, None].expand(grid).flatten()
    solution = solve(data.train, targets, weights, l2)
    logits = data.train @ solution.weight.T + solution.bias
    return solution, masked_cross_entropy(logits, targets, weights, dim=0)
