"""All that a training is made of at one moment, so that it can go on from there as if nothing had happened."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from cxrfmkd.networks.network import Network


class Tally:
    """Means over all known targets seen, kept on the device so that nobody waits for them."""

    def __init__(self, totals: dict[str, float] | None = None) -> None:
        self.totals: dict[str, Tensor | float] = totals or {}

    def add(self, terms: dict[str, Tensor], targets: Tensor) -> None:
        """terms: means over the targets of a batch that are not NaN."""
        weight = targets.isfinite().sum().double()
        for name, value in {**terms, "": weight.new_ones(())}.items():
            self.totals[name] = self.totals.get(name, 0.0) + value.detach().double() * weight

    def saved(self) -> dict[str, float]:
        return {name: float(total) for name, total in self.totals.items()}

    def means(self) -> dict[str, float]:
        totals = self.saved()
        weight = totals.pop("")
        return {name: total / max(weight, 1.0) for name, total in totals.items()}


class State:
    """All that a training is made of at one moment, and how to save and restore it exactly."""

    def __init__(
        self,
        network: Network,
        objective: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: LRScheduler,
        seed: int,
    ) -> None:
        self.parts = {
            "network": network,
            "objective": objective,
            "optimizer": optimizer,
            "schedule": schedule,
        }
        self.generator = torch.Generator().manual_seed(seed)
        self.epoch = self.batch = self.resumed = 0
        # Seconds of the running epoch so far, and of all starts before this one.
        self.spent = self.earlier = 0.0
        self.tally = Tally()
        self.history: list[dict] = []
        self.best: dict = {"epoch": -1, "val_loss": math.inf}

    def finished(self, epochs: int, patience: int | None) -> bool:
        """Whether all epochs are done, or the last `patience` ones brought nothing better."""
        idle = self.epoch - 1 - self.best["epoch"]
        return self.epoch >= epochs or (patience is not None and idle >= patience)

    def finish_epoch(self, measured: dict[str, float], **facts: float) -> None:
        """Note an epoch, keep its weights if it is the best so far (of equal ones the first), and go to the next."""
        better = measured["val_loss"] < self.best["val_loss"]
        self.history.append({"epoch": self.epoch} | measured | facts | {"best_so_far": better})
        if better:
            self.best = {"epoch": self.epoch, "val_loss": measured["val_loss"]} | {
                name: {
                    k: v.detach().cpu().clone() for k, v in self.parts[name].state_dict().items()
                }
                for name in ("network", "objective")
            }
        self.epoch, self.batch, self.spent, self.tally = self.epoch + 1, 0, 0.0, Tally()

    def saved(self) -> dict:
        return {name: part.state_dict() for name, part in self.parts.items()} | {
            "generator": self.generator.get_state(),
            "random": torch.get_rng_state(),
            "epoch": self.epoch,
            "batch": self.batch,
            "resumed": self.resumed,
            "spent": self.spent,
            "tally": self.tally.saved(),
            "history": self.history,
            "best": self.best,
        }

    def restore(self, saved: dict) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])
        self.generator.set_state(saved["generator"])
        torch.set_rng_state(saved["random"])
        self.epoch, self.batch = saved["epoch"], saved["batch"]
        self.resumed = saved["resumed"] + 1
        self.tally = Tally(saved["tally"])
        self.history, self.best = saved["history"], saved["best"]
        self.spent = saved["spent"]
        self.earlier = self.spent + sum(row["seconds"] for row in self.history)
