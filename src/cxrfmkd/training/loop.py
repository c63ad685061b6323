"""One training loop for every stage: students, fine-tunes, probes through a live network.

What differs is passed in: the network, the objective, the data, the plan. Adam without weight
decay, the best epoch by validation loss. Source: thesis method, sections 1.1 and 2.1.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from cxrfmkd.networks.batches import BatchLoader, shuffled
from cxrfmkd.networks.devices import algorithms, compiled, device_name, precision
from cxrfmkd.networks.network import Network
from cxrfmkd.runtime import provenance
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.progress import Progress
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.training.divergence import Step, check_is_due, check_losses, check_validation_loss
from cxrfmkd.training.events import Events
from cxrfmkd.training.jobs import Job, Plan
from cxrfmkd.training.state import RunningMean, State

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class TrainingResult:
    """history: a row an epoch; best: {epoch, val_loss}; resumed: how often it went on after a stop.

    earlier_seconds: seconds of training before the last start.
    """

    history: pd.DataFrame
    best: dict
    resumed: int
    earlier_seconds: float

    def run(self, job: Job, network: Network, loaders: Mapping[str, BatchLoader]) -> dict:
        """What run.json says of any training; `seconds` are those of all its starts."""
        return {
            "seed": job.seed,
            "started": job.started,
            "finished": provenance.now(),
            "resumed": self.resumed,
            "epochs": len(self.history),
            "seconds": round(float(self.history.seconds.sum()), 1),
            "earlier_seconds": round(self.earlier_seconds, 1),
            "images_per_second": float(self.history.images_per_second.median()),
            "memory_mb": int(self.history.memory_mb.max()),
            "device": device_name(loaders["train"].device),
            "versions": provenance.versions(),
            "images": {split: len(loader) for split, loader in loaders.items()},
            "parameters": network.parameter_counts(),
            "best": self.best,
        }


def train(
    network: Network,
    objective: nn.Module,
    training: BatchLoader,
    validation: BatchLoader,
    plan: Plan,
    job: Job,
) -> TrainingResult:
    """Train `network` (and the objective's weights, if any) in place, to its best weights.

    objective: called with (network(images), targets), returns scalars by name, of which `loss` is
    minimised. Raises DivergedError when the loss is not finite or beyond all bounds.
    """
    check_last_batch(len(training), plan.batch_size, training.shape)
    network.to_device(training.device)
    objective.to(training.device)
    fingerprint = training_fingerprint(network, objective, [training, validation], plan, job)
    state = State(network, objective, plan, job, math.ceil(len(training) / plan.batch_size))
    if saved := job.checkpoints.load(fingerprint):
        state.restore(saved)
    forward = compiled(network, job.compute)
    events = Events(job.events, state.epoch)
    progress = Progress("training", plan.epochs * state.steps_per_epoch, state.step)
    if state.resumed:
        progress.say(f"resuming at epoch {state.epoch}, step {state.batch}")

    with job.checkpoints.deferring_sigterm(), algorithms(job.compute):
        while not state.finished:
            seconds = train_epoch(state, forward, training, progress)
            row = measure_epoch(state, validation, seconds, len(training))
            state.finish_epoch(row)
            events.add(state.history[-1])
            job.checkpoints.save(state.saved())
            progress.say(
                f"epoch {state.epoch - 1}: train {row['train_loss']:.4f}, "
                f"val {row['val_loss']:.4f}, {row['images_per_second']:.0f} images/s"
            )
            if job.checkpoints.stop_reason and not state.finished:
                job.checkpoints.stop()

    progress.close()
    events.close()
    state.load_best()
    best = {name: state.best[name] for name in ("epoch", "val_loss")}
    return TrainingResult(pd.DataFrame(state.history), best, state.resumed, state.earlier_seconds)


def train_epoch(state: State, forward: Forward, training: BatchLoader, progress: Progress) -> float:
    """Train from where `state` is to the end of its epoch; the epoch's seconds in all starts."""
    checkpoints, seed = state.job.checkpoints, state.job.seed
    begin = time.perf_counter() - state.epoch_seconds
    pending: list[Step] = []
    message = ""
    state.network.train()
    order = shuffled(len(training), seed, state.epoch)
    for images, targets in training.batches(state.plan.batch_size, order, start=state.batch):
        pending.append(train_step(state, forward, images, targets))
        last = state.batch == state.steps_per_epoch
        saving = not last and (checkpoints.due or bool(checkpoints.stop_reason))
        if last or saving or check_is_due(training.device, state.batch):
            message = f"epoch {state.epoch}, loss {check_losses(pending, state.step):.4g}"
            pending = []
        if saving:
            state.epoch_seconds = time.perf_counter() - begin
            checkpoints.save(state.saved())
            if checkpoints.stop_reason:
                checkpoints.stop()
        progress.step(message)
    return time.perf_counter() - begin


def train_step(state: State, forward: Forward, images: Tensor, targets: Tensor) -> Step:
    """One step of Adam and of the schedule on one batch."""
    images = state.plan.augmentation(images, state.generator)
    # Before the forward pass, whose CUDA graph may then use the gradients' memory.
    state.optimizer.zero_grad(set_to_none=True)
    with precision(state.job.compute, images.device):
        # Only full batches run compiled: another size would be compiled anew.
        full = len(images) == state.plan.batch_size
        output = forward(images) if full else state.network(images)
    terms = state.objective(output, targets)
    terms["loss"].backward()
    step = Step({name: value.detach() for name, value in terms.items()}, state.learning_rate)
    state.optimizer.step()
    state.schedule.step()
    state.means.add(terms, targets)
    state.batch += 1
    return step


def measure_epoch(state: State, validation: BatchLoader, seconds: float, images: int) -> dict:
    """The history's row of an epoch that trained on so many images in so many seconds."""
    begin = time.perf_counter()
    compute, batch_size = state.job.compute, state.plan.batch_size
    losses = evaluate(state.network, state.objective, validation, batch_size, compute)
    check_validation_loss(losses["loss"], state.epoch)
    return {
        **{f"train_{name}": mean for name, mean in state.means.means().items()},
        **{f"val_{name}": mean for name, mean in losses.items()},
        "learning_rate": state.learning_rate,
        "images_per_second": round(images / seconds, 1),
        "seconds": round(seconds + time.perf_counter() - begin, 2),
        "memory_mb": peak_memory(validation.device),
    }


def evaluate(
    network: Network, objective: nn.Module, loader: BatchLoader, batch_size: int, compute: Compute
) -> dict[str, float]:
    """Mean of each of the objective's terms over all of `loader`, in eval mode."""
    network.eval()
    means = RunningMean()
    with torch.no_grad(), precision(compute, loader.device):
        for images, targets in loader.batches(batch_size):
            means.add(objective(network(images), targets), targets)
    return means.means()


def check_last_batch(n: int, batch_size: int, shape: tuple[int, ...]) -> None:
    """InputError where the last batch would be one image too small for batch norm.

    Every network here halves an image five times, and batch norm cannot train on one value per
    channel.
    """
    if n % batch_size == 1 % batch_size and max(shape) < 64:
        raise InputError(
            f"{n} training images in batches of {batch_size} leave a last batch of one, which "
            f"batch norm cannot train on at {max(shape)} pixels. Choose another batch_size."
        )


def training_fingerprint(
    network: Network, objective: nn.Module, loaders: list[BatchLoader], plan: Plan, job: Job
) -> str:
    """A name for all that the training's result depends on: a checkpoint of another is refused."""
    return provenance.fingerprint(
        [job.code, job.seed, repr(plan), vars(job.compute)],
        [network.identity(), repr(objective)],
        [loader.identity() for loader in loaders],
    )


def peak_memory(device: torch.device) -> int:
    """The most memory used so far in MiB: of the GPU, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) >> 20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
