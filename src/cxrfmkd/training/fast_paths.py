"""Every fast path of training beside the plain one that it stands for, on one device.

Plain is fp32 without TF32, in NCHW, eager, with Adam as it comes, on images read when their turn
comes. A difference of embeddings is that of all numbers, relative to theirs (Frobenius norm).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from cxrfmkd.networks.batches import BatchLoader, Feeding, shuffled
from cxrfmkd.networks.devices import algorithms, compiled, precision
from cxrfmkd.networks.network import Network
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.training.augmentation import move
from cxrfmkd.training.jobs import Job, Plan
from cxrfmkd.training.loop import train_step
from cxrfmkd.training.losses import Objective
from cxrfmkd.training.speed import AUGMENT, DIMENSION, stored_images
from cxrfmkd.training.state import State
from cxrfmkd.training.thesis_loop import ThesisStudent

# Sums of fp32 in another order: rounding of 2^-24 that some hundred layers carry on, with a margin.
SAME = 1e-3
# TF32 and bf16 keep 11 and 8 bits, so a layer rounds by 2^-11 and 2^-9 at the most; over the some
# 170 layers of the deepest network, in random directions, 13 times as much, with a margin of four.
TF32, BF16 = 52 * 2.0**-11, 52 * 2.0**-9
# Share of augmented pixels whose source lies between two, and may round to either.
TIES = 1e-3
# Mean loss of a short training, relative to the plain one's.
LOSS = 0.05

PLAIN = Compute(precision="fp32")
STEPS, RATE = 20, 1e-3


@dataclass(frozen=True)
class Check:
    """How far a fast path is from the plain one, and how far it may be."""

    name: str
    difference: float
    bound: float

    @property
    def ok(self) -> bool:
        """Whether it is within its bound; NaN is not."""
        return self.difference <= self.bound


def checks(
    folder: Path, architecture: str, device: torch.device, size: int, batch: int
) -> Iterator[Check]:
    """Every fast path but compilation, as soon as it is measured."""
    loader = _loader(folder, device, size, batch)
    yield from _feeding(loader, batch)
    yield _augmentation(next(loader.batches(batch))[0])
    torch.manual_seed(0)
    yield from _layers(Network(architecture, DIMENSION, input="raw").to(device), loader, batch)
    network = Network(architecture, DIMENSION).to(device)
    yield from _precisions(network, loader, batch)
    ways = {"fp32, fused Adam": PLAIN, "bf16": Compute(precision="bf16")}
    yield from _trainings(network, loader, batch, ways)


def compiled_check(
    folder: Path, architecture: str, device: torch.device, size: int, batch: int
) -> Check:
    """The training that torch compiles, which takes minutes before its first step."""
    torch.manual_seed(0)
    network = Network(architecture, DIMENSION).to(device)
    loader = _loader(folder, device, size, batch)
    _settled(network, next(loader.batches(batch))[0])
    ways = {"bf16, compiled": Compute(precision="bf16", compile=True)}
    (check,) = _trainings(network, loader, batch, ways)
    return check


def _loader(folder: Path, device: torch.device, size: int, batch: int) -> BatchLoader:
    images, vectors = stored_images(folder, 3 * batch + 1, size)
    return BatchLoader(images, images.index.image_id, vectors, device, feeding="mapped")


def _feeding(loader: BatchLoader, batch: int) -> Iterator[Check]:
    """An epoch in shuffled order, its last batch smaller: the share of bytes that differ."""
    order = shuffled(len(loader), 0, 0)
    expected = torch.cat([images for images, _ in loader.batches(batch, order)])
    ids = loader.images.index.image_id.iloc[loader.rows]
    ways: dict[str, Feeding] = {"images on the device": "resident", "read-ahead": "read-ahead"}
    for name, feeding in ways.items():
        other = BatchLoader(loader.images, ids, None, loader.device, feeding)
        found = torch.cat([images for images, _ in other.batches(batch, order)])
        yield Check(f"{name}: bytes", float((found != expected).double().mean()), 0.0)


def _augmentation(images: Tensor) -> Check:
    """On the device against the compiled loop for CPUs: the share of pixels that differ."""
    moves = AUGMENT.draw(len(images), torch.Generator().manual_seed(0))
    here, there = move(images.cpu(), moves), move(images, moves).cpu()
    return Check("augmentation: pixels", float((here != there).double().mean()), TIES)


def _settled(network: Network, images: Tensor) -> Network:
    """In eval mode, with running statistics that fit: with a new network's, every layer grows."""
    with algorithms(PLAIN), torch.no_grad():
        for _ in range(STEPS):
            network.train()(images)
    return network.eval()


def _layers(network: Network, loader: BatchLoader, batch: int) -> Iterator[Check]:
    """One channel instead of three copies, and channels last: embeddings."""
    images, _ = next(loader.batches(batch))
    thesis = ThesisStudent(_settled(network, images)).to(loader.device).eval()
    with algorithms(PLAIN), torch.no_grad():
        plain = network(images)
        three = thesis(images[:, None].float().expand(-1, 3, -1, -1))
        last = network.to_device(loader.device)(images)
    yield Check("one channel for three: embeddings", _difference(plain, three), SAME)
    yield Check("channels last: embeddings", _difference(last, plain), SAME)


def _precisions(network: Network, loader: BatchLoader, batch: int) -> Iterator[Check]:
    """bf16 autocast, as in training, and TF32, as in prediction: embeddings."""
    images, _ = next(loader.batches(batch))
    _settled(network, images)
    bf16 = Compute(precision="bf16")
    with algorithms(PLAIN), torch.no_grad():
        plain = network(images)
    with algorithms(Compute()), torch.no_grad():
        tf32 = network(images)
    with algorithms(bf16), torch.no_grad(), precision(bf16, loader.device):
        rounded = network(images)
    yield Check("fp32 with TF32: embeddings", _difference(tf32, plain), TF32)
    yield Check("bf16: embeddings", _difference(rounded, plain), BF16)


def _trainings(
    network: Network, loader: BatchLoader, batch: int, ways: dict[str, Compute]
) -> Iterator[Check]:
    """The mean loss of a short training from the same weights, in each of the ways."""
    plain = _plain_loss(copy.deepcopy(network), loader, batch)
    for name, compute in ways.items():
        loss = _loss(copy.deepcopy(network), loader, batch, compute)
        yield Check(f"{name}: loss of {STEPS} steps", abs(loss / plain - 1), LOSS)


def _batches(loader: BatchLoader, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    for step in range(STEPS):
        yield next(loader.batches(batch, shuffled(len(loader), 0, step)))


def _plain_loss(network: Network, loader: BatchLoader, batch: int) -> float:
    """Written out: eager, fp32, NCHW, an Adam that is not fused."""
    adam = torch.optim.Adam(network.train().parameter_groups(RATE), fused=False, foreach=False)
    losses = []
    with algorithms(PLAIN):
        for images, targets in _batches(loader, batch):
            loss = nn.functional.mse_loss(network(images), targets)
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.detach())
    return float(torch.stack(losses).mean())


def _loss(network: Network, loader: BatchLoader, batch: int, compute: Compute) -> float:
    """By the step that trains every network of a study."""
    network.to_device(loader.device)
    plan = Plan(1, batch, RATE, "constant")
    state = State(network.train(), Objective("mse"), plan, Job(0, compute), STEPS)
    forward = compiled(network, compute)
    with algorithms(compute):
        steps = [train_step(state, forward, *one) for one in _batches(loader, batch)]
    return float(torch.stack([step.terms["loss"] for step in steps]).mean())


def _difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())
