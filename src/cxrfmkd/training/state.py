"""All that a training is made of at one moment, and how to save and restore it exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from cxrfmkd.networks.network import Network
from cxrfmkd.training.jobs import Job, Plan
from cxrfmkd.training.schedules import SCHEDULES

# What of a state a checkpoint holds: what has a state_dict of its own, and plain values.
COMPONENTS = ("network", "objective", "optimizer", "schedule")
PLAIN = ("epoch", "batch", "resumed", "epoch_seconds", "history", "best")


class RunningMean:
    """Means over all known targets so far, summed on the device so that nothing waits for them."""

    def __init__(self, totals: Mapping[str, float] | None = None) -> None:
        self.totals: dict[str, Tensor | float] = dict(totals or {})

    def add(self, terms: dict[str, Tensor], targets: Tensor) -> None:
        """Add a batch. terms: means over those of its targets that are not NaN."""
        weight = targets.isfinite().sum().double()
        for name, value in {**terms, "": weight.new_ones(())}.items():
            self.totals[name] = self.totals.get(name, 0.0) + value.detach().double() * weight

    def saved(self) -> dict[str, float]:
        """The weighted sums by name; under the empty name the sum of weights."""
        return {name: float(total) for name, total in self.totals.items()}

    def means(self) -> dict[str, float]:
        """The mean of each term."""
        totals = self.saved()
        weight = totals.pop("")
        return {name: total / max(weight, 1.0) for name, total in totals.items()}


class State:
    """A training by `plan` for `job`: network, objective, Adam and schedule, and how far it is.

    epoch, batch: the next to be trained on; resumed: how often it went on after a stop.
    epoch_seconds: time spent on this epoch before the last start; earlier_seconds: on all epochs.
    """

    def __init__(
        self, network: Network, objective: nn.Module, plan: Plan, job: Job, steps_per_epoch: int
    ) -> None:
        self.network, self.objective, self.plan, self.job = network, objective, plan, job
        groups = network.parameter_groups(plan.learning_rate)
        if trained_weights := list(objective.parameters()):
            groups.append({"params": trained_weights, "lr": plan.learning_rate})
        self.optimizer = torch.optim.Adam(groups, fused=True)
        self.schedule: LRScheduler = SCHEDULES[plan.schedule](
            self.optimizer, plan.epochs * steps_per_epoch
        )
        self.generator = torch.Generator().manual_seed(job.seed)
        self.steps_per_epoch = steps_per_epoch
        self.epoch = self.batch = self.resumed = 0
        self.epoch_seconds = self.earlier_seconds = 0.0
        self.means = RunningMean()
        self.history: list[dict] = []
        self.best: dict = {"epoch": -1, "val_loss": math.inf}

    @property
    def step(self) -> int:
        """Steps made so far."""
        return self.epoch * self.steps_per_epoch + self.batch

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return float(self.schedule.get_last_lr()[0])

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the last `patience` ones brought nothing better."""
        idle, patience = self.epoch - 1 - self.best["epoch"], self.plan.patience
        return self.epoch >= self.plan.epochs or (patience is not None and idle >= patience)

    def finish_epoch(self, row: dict[str, float]) -> None:
        """Add an epoch to the history, copy its weights if it is the best (ties: the first)."""
        better = row["val_loss"] < self.best["val_loss"]
        self.history.append({"epoch": self.epoch} | row | {"best_so_far": better})
        if better:
            self.best = {"epoch": self.epoch, "val_loss": row["val_loss"]} | {
                name: {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}
                for name, module in [("network", self.network), ("objective", self.objective)]
            }
        self.epoch, self.batch, self.epoch_seconds = self.epoch + 1, 0, 0.0
        self.means = RunningMean()

    def load_best(self) -> None:
        """Put the weights of the best epoch into network and objective."""
        self.network.load_state_dict(self.best["network"])
        self.objective.load_state_dict(self.best["objective"])

    def _components(self) -> dict[str, nn.Module | torch.optim.Optimizer | LRScheduler]:
        return {name: getattr(self, name) for name in COMPONENTS}

    def saved(self) -> dict:
        """Tensors and plain values from which `restore` goes on as if nothing had happened."""
        return {name: component.state_dict() for name, component in self._components().items()} | {
            "generator": self.generator.get_state(),
            "random": torch.get_rng_state(),
            "means": self.means.saved(),
            **{name: getattr(self, name) for name in PLAIN},
        }

    def restore(self, saved: dict) -> None:
        """Go on from what `saved` returned."""
        for name, component in self._components().items():
            component.load_state_dict(saved[name])
        self.generator.set_state(saved["generator"])
        torch.set_rng_state(saved["random"])
        self.means = RunningMean(saved["means"])
        for name in PLAIN:
            setattr(self, name, saved[name])
        self.resumed += 1
        self.earlier_seconds = self.epoch_seconds + sum(row["seconds"] for row in self.history)
