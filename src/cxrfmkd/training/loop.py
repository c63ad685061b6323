"""One training loop for every stage: students, fine-tunes, probes through a live network.

What differs is passed in: the network, the objective, the data, the plan. Adam without weight
decay, the best epoch by validation loss. Source: thesis method, sections 1.1 and 2.1.
"""

from __future__ import annotations

import math
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from cxrfmkd.networks.batches import BatchLoader, shuffled
from cxrfmkd.networks.devices import algorithms, precision
from cxrfmkd.networks.network import Network
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.progress import Progress
from cxrfmkd.study import settings as configuration
from cxrfmkd.training.augmentation import Augmentation
from cxrfmkd.training.checkpoints import Checkpoints
from cxrfmkd.training.events import Events
from cxrfmkd.training.schedules import SCHEDULES
from cxrfmkd.training.state import State, Tally

# A loss beyond this, or one that is no number, ends the training.
EXPLODED = 1e6

# Steps between two looks at the losses on a GPU, which must not wait for them; a CPU looks at each.
LOOK_EVERY = 25

ADVICE = "lower the learning rate, or look for targets that are far too large."


@dataclass(frozen=True)
class Plan:
    """How long, how fast, on what. schedule: a key of `SCHEDULES`; patience: epochs without a better one."""

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    seed: int
    patience: int | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class Outcome:
    """history: a row an epoch; best: {epoch, val_loss}; resumed: how often the training went on
    after a stop;
    earlier: seconds of training before the last start.
    """

    history: pd.DataFrame
    best: dict
    resumed: int
    earlier: float

    def facts(self) -> dict:
        """What run.json says of the training itself; `seconds` are those of all its starts."""
        return {
            "resumed": self.resumed,
            "epochs": len(self.history),
            "seconds": round(float(self.history.seconds.sum()), 1),
            "earlier_seconds": round(self.earlier, 1),
            "images_per_second": float(self.history.images_per_second.median()),
            "memory_mb": int(self.history.memory_mb.max()),
        }


class DivergedError(InputError):
    """A training whose loss left all bounds."""


def train(
    network: Network,
    objective: nn.Module,
    training: BatchLoader,
    validation: BatchLoader,
    plan: Plan,
    settings: configuration.Network,
    kept: Checkpoints | None = None,
    fingerprint: str = "",
    events: Path | None = None,
) -> Outcome:
    """Train `network` (and the objective's own parameters, if any) in place; it ends with its best
    weights.

    objective: called with (network(images), targets), returns scalars by name, of which `loss` is
    minimised.
    kept, fingerprint: where to go on after a stop, and what such a checkpoint must have been made
    by.
    events: folder of the run's TensorBoard events; None for none.
    Raises DivergedError when the loss is no number or beyond all bounds.
    """
    kept = kept or Checkpoints(None)
    _check_last_batch(len(training), plan.batch_size, training.shape)
    device = training.device
    network.to(device, memory_format=torch.channels_last)
    objective.to(device)
    groups = network.parameter_groups(plan.learning_rate)
    if own := list(objective.parameters()):
        groups.append({"params": own, "lr": plan.learning_rate})
    optimizer = torch.optim.Adam(groups, fused=True)
    steps = math.ceil(len(training) / plan.batch_size)
    schedule = SCHEDULES[plan.schedule](optimizer, plan.epochs * steps)
    state = State(network, objective, optimizer, schedule, plan.seed)
    if saved := kept.load(fingerprint):
        state.restore(saved)
    watched = Events(events, state.epoch)
    compiled = settings.compile and device.type == "cuda"
    forward = torch.compile(network, dynamic=False) if compiled else network
    look_every_step = device.type == "cpu"
    progress = Progress("training", plan.epochs * steps, state.epoch * steps + state.batch)
    if saved:
        progress.say(f"going on from epoch {state.epoch}, step {state.batch}")

    with kept.watching(), algorithms(settings):
        while not state.finished(plan.epochs, plan.patience):
            network.train()
            order = shuffled(len(training), plan.seed, state.epoch)
            begun, unseen, said = time.perf_counter() - state.spent, [], ""
            for images, targets in training.batches(plan.batch_size, order, start=state.batch):
                images = plan.augmentation(images, state.generator)
                with precision(settings, device):
                    full = len(images) == plan.batch_size
                    output = forward(images) if full else network(images)
                terms = objective(output, targets)
                optimizer.zero_grad(set_to_none=True)
                terms["loss"].backward()
                unseen.append(
                    ({k: v.detach() for k, v in terms.items()}, schedule.get_last_lr()[0])
                )
                optimizer.step()
                schedule.step()
                state.tally.add(terms, targets)
                state.batch += 1
                last = state.batch == steps
                saving = not last and (kept.due or bool(kept.stop))
                if look_every_step or last or saving or state.batch % LOOK_EVERY == 0:
                    loss = look(unseen, state.epoch * steps + state.batch)
                    said, unseen = f"epoch {state.epoch}, loss {loss:.4g}", []
                if saving:
                    state.spent = time.perf_counter() - begun
                    kept.save(state.saved())
                if saving and kept.stop:
                    kept.leave()
                progress.step(said)

            seconds = time.perf_counter() - begun
            speed = len(training) / seconds
            measured = {f"train_{name}": value for name, value in state.tally.means().items()}
            found = evaluate(network, objective, validation, plan.batch_size, settings)
            measured |= {f"val_{name}": value for name, value in found.items()}
            if not math.isfinite(measured["val_loss"]):
                raise DivergedError(
                    f"the validation loss of epoch {state.epoch} is {measured['val_loss']}; "
                    f"{ADVICE}"
                )
            state.finish_epoch(
                measured,
                learning_rate=schedule.get_last_lr()[0],
                images_per_second=round(speed, 1),
                seconds=round(time.perf_counter() - begun, 2),
                memory_mb=peak_memory(device),
            )
            watched.add(state.history[-1])
            kept.save(state.saved())
            progress.say(
                f"epoch {state.epoch - 1}: train {measured['train_loss']:.4f}, "
                f"val {measured['val_loss']:.4f}, {speed:.0f} images/s"
            )
            if kept.stop and not state.finished(plan.epochs, plan.patience):
                kept.leave()
    progress.close()
    watched.close()
    network.load_state_dict(state.best["network"])
    objective.load_state_dict(state.best["objective"])
    best = {name: state.best[name] for name in ("epoch", "val_loss")}
    return Outcome(pd.DataFrame(state.history), best, state.resumed, state.earlier)


def evaluate(
    network: Network,
    objective: nn.Module,
    feed: BatchLoader,
    batch_size: int,
    settings: configuration.Network,
) -> dict[str, float]:
    """Mean of each of the objective's terms over all of `feed`, in eval mode."""
    network.eval()
    tally = Tally()
    with torch.no_grad(), precision(settings, feed.device):
        for images, targets in feed.batches(batch_size):
            tally.add(objective(network(images), targets), targets)
    return tally.means()


def _check_last_batch(n: int, batch_size: int, shape: tuple[int, ...]) -> None:
    """Every network here halves an image five times; batch norm cannot train on one value per channel."""
    if n % batch_size == 1 % batch_size and max(shape) < 64:
        raise InputError(
            f"{n} training images in batches of {batch_size} leave a last batch of one, which "
            "batch norm cannot train "
            f"on at {max(shape)} pixels. Choose another batch_size."
        )


def look(unseen: list[tuple[dict[str, Tensor], float]], step: int) -> float:
    """The last of the losses of the steps up to `step`; DivergedError at the first that left all bounds."""
    losses = torch.stack([terms["loss"] for terms, _ in unseen]).tolist()
    for (terms, rate), loss, at in zip(
        unseen, losses, range(step - len(unseen), step), strict=True
    ):
        if not abs(loss) <= EXPLODED:
            said = ", ".join(f"{name} {float(value):.4g}" for name, value in terms.items())
            raise DivergedError(
                f"the training diverged at step {at} (counted from 0): {said}; learning rate "
                f"{rate:.3g}; " + ADVICE
            )
    return losses[-1]


def peak_memory(device: torch.device) -> int:
    """The most memory used so far in MiB: of the GPU, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) >> 20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
