"""What trainings have in common beside network, loss and data: plan, job and files."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from cxrfmkd.datasets.records import read_records
from cxrfmkd.networks.network import Network
from cxrfmkd.runtime import provenance
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.files import write_json, write_table
from cxrfmkd.study.settings import Distillation, Finetuning
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.training.augmentation import Augmentation
from cxrfmkd.training.checkpoints import KEEP, Checkpoints
from cxrfmkd.training.events import events_folder

# What every script that trains a network is given.
ARGUMENTS = {
    "images": KeyedArray.open,
    "train": read_records,
    "val": read_records,
    "checkpoints": Path,
    "time_budget": (float, None),
    "weights": Path,
    "history": Path,
    "run": Path,
}


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train, and how to augment.

    schedule: a key of `SCHEDULES`; patience: epochs without a better validation loss after which
    the training ends, None to run all epochs.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    patience: int | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)

    @classmethod
    def of(cls, settings: Distillation | Finetuning) -> Plan:
        """The plan of a stage's settings; students train on one cycle, to its end."""
        return cls(
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            schedule=settings.schedule if isinstance(settings, Finetuning) else "one-cycle",
            patience=settings.patience if isinstance(settings, Finetuning) else None,
            augmentation=Augmentation(settings.flip, settings.affine),
        )


@dataclass(frozen=True)
class Job:
    """The seed of one training, what it computes on, and what it needs to go on after a stop.

    code: hash of the code, so that a checkpoint of other code is refused. events: folder of the
    run's TensorBoard events; None for none. started: time in UTC.
    """

    seed: int
    compute: Compute
    checkpoints: Checkpoints = field(default_factory=lambda: Checkpoints(None))
    code: str = ""
    events: Path | None = None
    started: str = field(default_factory=provenance.now)


@dataclass(frozen=True)
class RunResult:
    """A trained network. history: a row an epoch; run: the content of run.json."""

    network: Network
    history: pd.DataFrame
    run: dict


@contextmanager
def open_job(args: Namespace) -> Iterator[Job]:
    """The job of a script's `ARGUMENTS`, with `seed` and `network` in its spec.

    Stopped, the process leaves with status 75 and goes on from its checkpoint when it is called
    again; the checkpoint is deleted when the block ends well.
    """
    with Checkpoints(args.checkpoints, args.time_budget, keep=KEEP in os.environ) as checkpoints:
        compute = Compute.from_spec(args.spec["network"])
        events = events_folder(args.run.parent)
        yield Job(args.spec["seed"], compute, checkpoints, args.code, events)


def origin(images: KeyedArray, teacher: KeyedArray | None = None) -> dict[str, str]:
    """What a network's header says of its images' dataset and its teacher's variant."""
    facts = {"dataset": images.meta.get("dataset")}
    facts |= {"variant": teacher.meta.get("variant")} if teacher else {}
    return {name: str(value) for name, value in facts.items() if value}


def write_training(args: Namespace, result: RunResult, about: dict[str, str]) -> None:
    """Write weights, whose header says `about`, history and, last, run.json."""
    result.network.save(args.weights, about)
    write_table(args.history, result.history)
    write_json(args.run, {"spec": args.spec, "code": args.code} | result.run)
