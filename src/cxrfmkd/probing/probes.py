"""Linear probes: new heads on features that are kept, all seeds trained together.

Two protocols (docs/probes.md). `converged`: standardised features, an L2 penalty per finding chosen
on validation data, the optimum itself, which is one for all seeds unless each draws the training
patients anew.
`thesis`: raw features, Adam at a constant rate, best of 20 epochs on validation data; the seed
draws first weights and order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cxrfmkd.datasets import records
from cxrfmkd.networks.cross_entropy import masked_cross_entropy
from cxrfmkd.networks.devices import pick_device
from cxrfmkd.networks.layers import HeadInput, Linear
from cxrfmkd.probing.logistic import solve
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.study.settings import Labels, Probe
from cxrfmkd.vocabulary.findings import FINDINGS

# Elements of one (rows x regressions) matrix; more seeds than fit are solved one group after the
# other.
ELEMENTS = 2**26

# Elements of the training features up to which one thread is faster than two.
SMALL = 2**22


@dataclass(frozen=True)
class Sample:
    """inputs: (n, F) float32; targets: (n, T), 1, 0, or NaN where ignored; patients: (n,), any type."""

    inputs: np.ndarray
    targets: np.ndarray
    patients: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame, head_input: HeadInput, labels: Labels) -> Sample:
        """The records of `table`, seen by key through `head_input`."""
        targets = records.targets(table, labels.uncertain)
        return cls(head_input.take(table.image_id), targets, table.patient_id.to_numpy())


@dataclass(frozen=True)
class Probed:
    """A trained head, on raw features, and how it came about.

    best: epoch (None where there are none) and val_loss; notes: constant findings and the
    protocol's own facts.
    """

    seed: int
    head: Linear
    history: pd.DataFrame
    best: dict
    notes: dict = field(default_factory=dict)


def train_heads(
    train: Sample,
    val: Sample,
    seeds: Sequence[int],
    settings: Probe,
    device: str | torch.device = "auto",
    dtype: torch.dtype = torch.float32,
) -> list[Probed]:
    """One head per seed, by the protocol of `settings`.

    A finding of which the training data show one class only gets weight 0 and the log-odds of its
    smoothed prior, (positives + 1/2) / (n + 1), as bias; it is listed in `notes["constant"]`.
    """
    if not len(train.inputs):
        raise InputError("the training records are empty: no head can be trained on them.")
    if np.isnan(val.targets).all():
        raise InputError(
            f"the {len(val.targets)} validation records have no known label: no head can be chosen "
            "on them."
        )
    device = pick_device(str(device))
    with _threads(train.inputs.size):
        if settings.protocol == "thesis":
            return _thesis(train, val, seeds, settings, device, dtype)
        scaled = _Standardised(train, val, device, dtype)
        if not settings.bootstrap:
            once = np.ones((len(train.targets), 1), np.float32)
            [found] = _converged(scaled, once, seeds[:1], settings)
            return [replace(found, seed=seed) for seed in seeds]
        counts = patient_counts(train.patients, seeds)
        size = max(1, ELEMENTS // (train.targets.size * len(settings.l2)))
        groups = [slice(start, start + size) for start in range(0, len(seeds), size)]
        return [
            head
            for group in groups
            for head in _converged(scaled, counts[:, group], seeds[group], settings)
        ]


@contextmanager
def _threads(elements: int) -> Iterator[None]:
    """One thread for a small problem: several would wait for each other longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if elements > SMALL else 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def patient_counts(patients: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
    """How often each row counts when its patients are drawn with replacement: (n, seeds) float32.

    As many patients are drawn as there are; all rows of a patient count alike. The draw depends on
    the set of patients and the seed, not on the order of rows.
    """
    unique, of_row = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    equal = np.full(len(unique), 1 / len(unique))
    draws = [np.random.default_rng(seed).multinomial(len(unique), equal) for seed in seeds]
    return np.stack(draws, 1)[of_row].astype(np.float32)


class _Standardised:
    """Training and validation inputs with the training mean 0 and deviation 1, and the way back.

    A feature that does not vary in training becomes 0, so that no head can use it.
    """

    def __init__(self, train: Sample, val: Sample, device: torch.device, dtype: torch.dtype):
        raw = torch.as_tensor(train.inputs).to(device)
        self.mean = raw.mean(0, dtype=torch.float64)
        blocks = raw.split(8192)
        squares = sum((block.double() - self.mean).square().sum(0) for block in blocks)
        deviation = (squares / len(raw)).sqrt()
        alive = deviation > 1e-6 * self.mean.abs().clamp(min=1e-30)
        self.scale = torch.where(alive, 1 / deviation, 0)
        self.train = torch.cat([self._scaled(block, dtype) for block in blocks])
        self.val = self._scaled(torch.as_tensor(val.inputs).to(device), dtype)
        self.train_targets = torch.as_tensor(train.targets).to(device, dtype)
        self.val_targets = torch.as_tensor(val.targets).to(device, dtype)

    def _scaled(self, block: Tensor, dtype: torch.dtype) -> Tensor:
        return ((block.double() - self.mean) * self.scale).to(dtype)

    def fold(self, weight: Tensor, bias: Tensor) -> Linear:
        """A head on standardised inputs as one on raw inputs, which predicts the same."""
        folded = weight.double() * self.scale
        shifted = bias.double() - folded @ self.mean
        return Linear(folded.float().cpu().numpy(), shifted.float().cpu().numpy())


def _converged(
    data: _Standardised, counts: np.ndarray, seeds: Sequence[int], settings: Probe
) -> Iterator[Probed]:
    """Heads of all seeds at once. counts: (n, seeds), how often each training row counts."""
    penalties = sorted(settings.l2, reverse=True)  # of equally good ones the strongest is taken
    findings = data.train_targets.shape[1]
    grid = (len(seeds), len(penalties), findings)
    counts = torch.as_tensor(counts).to(data.train)
    known = ~data.train_targets.isnan()
    targets = data.train_targets.nan_to_num()[:, None, None, :].expand(-1, *grid).flatten(1)
    weights = (counts[:, :, None, None] * known[:, None, None, :]).expand(-1, *grid).flatten(1)
    l2 = torch.tensor(penalties).to(data.train)[None, :, None].expand(grid).flatten()
    found = solve(data.train, targets, weights, l2)
    fitted = masked_cross_entropy(data.train @ found.weight.T + found.bias, targets, weights, dim=0)
    del targets, weights
    logits = data.val @ found.weight.T + found.bias
    truth = data.val_targets.repeat(1, len(seeds) * len(penalties))
    judged = masked_cross_entropy(logits, truth, dim=0)
    chosen = judged.reshape(grid).argmin(1)
    for s, seed in enumerate(seeds):
        columns = [(s * grid[1] + int(p)) * findings + t for t, p in enumerate(chosen[s])]
        history = pd.DataFrame(
            {
                "finding": np.tile(_names(findings), len(penalties)),
                "l2": np.repeat(penalties, findings),
                "iterations": _part(found.iterations, grid, s),
                "train_loss": _part(fitted, grid, s),
                "val_loss": _part(judged, grid, s),
                "chosen": (np.arange(len(penalties))[:, None] == chosen[s].cpu().numpy()).flatten(),
            }
        )
        best = {"epoch": None, "val_loss": _overall(logits[:, columns], data.val_targets)}
        constant = found.constant[columns].cpu().numpy()
        picked = [penalties[p] for p in chosen[s]]
        ends = {penalties[0], penalties[-1]} if len(penalties) > 1 else set()
        notes = {
            "constant": _listed(constant),
            "l2": dict(zip(_names(findings), picked, strict=True)),
            "l2_at_end_of_grid": _listed(np.isin(picked, list(ends)) & ~constant),
            "not_converged": _listed(~found.converged[columns].numpy()),
        }
        yield Probed(
            seed, data.fold(found.weight[columns], found.bias[columns]), history, best, notes
        )


def _thesis(train, val, seeds, settings, device, dtype) -> list[Probed]:
    """Adam from PyTorch's own initial weights, every seed with its own order of the same rows."""
    inputs, truth, val_inputs, val_truth = (
        torch.as_tensor(array).to(device, dtype)
        for array in (train.inputs, train.targets, val.inputs, val.targets)
    )
    n, findings = truth.shape
    known = ~truth.isnan()
    total, positive = known.sum(0), truth.nan_to_num().sum(0)
    constant = (positive <= 0) | (positive >= total)
    weight, bias = _first_weights(seeds, inputs.shape[1], findings, device, dtype)
    weight[:, constant] = 0
    bias[:, constant] = torch.logit((positive + 0.5) / (total + 1))[constant]
    mask, truth = (known & ~constant).to(dtype), truth.nan_to_num()
    parameters = [weight.requires_grad_(), bias.requires_grad_()]
    adam = torch.optim.Adam(parameters, lr=settings.learning_rate)
    order = [torch.Generator().manual_seed(seed) for seed in seeds]
    best = [(np.inf, 0, weight[s].detach(), bias[s].detach()) for s in range(len(seeds))]
    rows: list[list[dict]] = [[] for _ in seeds]
    for epoch in range(settings.epochs):
        shuffled = torch.stack([torch.randperm(n, generator=g) for g in order]).to(device)
        summed = torch.zeros(len(seeds), device=device, dtype=dtype)
        for batch in shuffled.split(settings.batch_size, dim=1):
            logits = torch.baddbmm(bias[:, None], inputs[batch], weight.transpose(1, 2))
            loss = masked_cross_entropy(logits, truth[batch], mask[batch], dim=(1, 2))
            adam.zero_grad()
            loss.sum().backward()
            adam.step()
            summed += loss.detach() * batch.shape[1]
        for s in range(len(seeds)):
            w, b = weight[s].detach(), bias[s].detach()
            val_loss = _overall(val_inputs @ w.T + b, val_truth)
            rows[s].append(
                {"epoch": epoch, "train_loss": float(summed[s]) / n, "val_loss": val_loss}
            )
            if val_loss < best[s][0]:
                best[s] = (val_loss, epoch, w.clone(), b.clone())
    if diverged := [seed for seed, found in zip(seeds, best, strict=True) if found[0] == np.inf]:
        raise InputError(
            f"the heads of seeds {some(diverged)} never had a finite validation loss. "
            "Lower probe.learning_rate."
        )
    return [
        Probed(
            seed,
            Linear(best[s][2].float().cpu().numpy(), best[s][3].float().cpu().numpy()),
            pd.DataFrame(rows[s]),
            {"epoch": best[s][1], "val_loss": best[s][0]},
            {"constant": _listed(constant.cpu().numpy())},
        )
        for s, seed in enumerate(seeds)
    ]


def _first_weights(seeds, width, findings, device, dtype) -> tuple[Tensor, Tensor]:
    """(S, findings, F) and (S, findings): what `torch.nn.Linear` starts from under each seed."""
    layers = []
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(seed)
            layers.append(torch.nn.Linear(width, findings))
    stacks = ([getattr(layer, part).detach() for layer in layers] for part in ("weight", "bias"))
    weight, bias = (torch.stack(stack).to(device, dtype) for stack in stacks)
    return weight, bias


def _overall(logits: Tensor, targets: Tensor) -> float:
    return float(masked_cross_entropy(logits.double(), targets.double()))


def _part(values: Tensor, grid: tuple, seed: int) -> np.ndarray:
    return values.reshape(grid)[seed].flatten().cpu().numpy()


def _names(count: int) -> list[str]:
    return list(FINDINGS[:count])


def _listed(marked: np.ndarray) -> list[str]:
    return [name for name, mark in zip(_names(len(marked)), marked, strict=True) if mark]
