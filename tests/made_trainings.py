"""Small trainings of a tiny network, for every test of the loop and of what it calls."""

from __future__ import annotations

import math

import made_images
import numpy as np
import torch

from cxrfmkd.networks.batches import BatchLoader
from cxrfmkd.networks.network import Network
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.training.augmentation import Augmentation
from cxrfmkd.training.checkpoints import Checkpoints
from cxrfmkd.training.jobs import Job, Plan
from cxrfmkd.training.loop import TrainingResult, train
from cxrfmkd.training.losses import Objective

made_images.add_tiny_backbone()
TABLES = made_images.records()
IMAGES, TEACHER = made_images.arrays(TABLES)
COMPUTE = Compute(weights="none")
CLOCKS = ["images_per_second", "seconds", "memory_mb"]


def loader(
    split: str = "train", targets: np.ndarray | None = None, device="cpu", feeding="auto"
) -> BatchLoader:
    """The images of a split, with the teacher's embeddings as targets unless others are given."""
    ids = TABLES[split].image_id
    targets = TEACHER.take(ids) if targets is None else targets
    return BatchLoader(IMAGES, ids, targets, device, feeding)


def plan(**changes) -> Plan:
    """Three epochs of five steps, every augmentation on."""
    defaults = {"epochs": 3, "batch_size": 5, "learning_rate": 0.01, "schedule": "one-cycle"}
    return Plan(**defaults | {"augmentation": Augmentation(True, True)} | changes)


def network() -> Network:
    """The same tiny student every time."""
    torch.manual_seed(0)
    return Network("tiny", 6)


def trained(
    checkpoints=None, loss="mse-cosine-learned", events=None, seed=1, **changes
) -> tuple[Network, TrainingResult]:
    """A network trained by the plan, and how it went."""
    net, objective = network(), Objective(loss, {"mse": 1, "cosine": 1})
    job = Job(seed, COMPUTE, checkpoints or Checkpoints(None), events=events)
    return net, train(net, objective, loader(), loader("val"), plan(**changes), job)


class StopAfter(Checkpoints):
    """Checkpoints that ask for a stop after so many steps."""

    def __init__(self, folder, steps: int) -> None:
        super().__init__(folder, every=math.inf)
        self.left = steps

    @property
    def stop_reason(self) -> str:
        """A reason once the steps are over."""
        self.left -= 1
        return "the test says so" if self.left < 0 else ""
