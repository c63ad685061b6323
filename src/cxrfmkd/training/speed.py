"""Images a second that a device trains on, on made images: the study's way and the thesis's."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import AbstractContextManager, closing, nullcontext
from itertools import chain, count, repeat
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader

from cxrfmkd.networks.batches import BatchLoader, shuffled
from cxrfmkd.networks.devices import algorithms, compiled
from cxrfmkd.networks.network import Network
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.training.augmentation import Augmentation
from cxrfmkd.training.jobs import Job, Plan
from cxrfmkd.training.loop import train_step
from cxrfmkd.training.losses import Objective
from cxrfmkd.training.state import State
from cxrfmkd.training.thesis_loop import OneByOne, ThesisStudent

# Length of a vector of the thesis's teacher.
DIMENSION = 1376

AUGMENT = Augmentation(flip=True, affine=True)
COARSE = 14  # made images are smooth: so many random points along a side

# Batches before the clock starts: cuDNN tries its algorithms, a program is compiled.
WARM_UP = 3
EPOCH = 8  # batches in an epoch of images in memory


def made_images(n: int, size: int, dimension: int = DIMENSION) -> tuple[KeyedArray, np.ndarray]:
    """Smooth random images, uint8 (n, size, size), keyed, and vectors, float32 (n, dimension).

    A vector is a linear map of how bright the image's quarters are, so a student can learn it.
    """
    random = np.random.default_rng(0)
    shade = random.random((n, 2, 2))
    coarse = 60 * random.random((n, COARSE, COARSE)) + 190 * shade.repeat(7, 1).repeat(7, 2)
    smooth = nn.functional.interpolate(
        torch.from_numpy(coarse[:, None]).float(), size=size, mode="bilinear"
    )
    pixels = smooth[:, 0].round().to(torch.uint8).numpy()
    index = pd.DataFrame({"image_id": [f"image{i}" for i in range(n)]})
    vectors = (shade.reshape(n, 4) - 0.5) @ random.normal(size=(4, dimension))
    return KeyedArray(pixels, index, {}, "images"), vectors.astype(np.float32)


def stored_images(folder: Path, n: int, size: int) -> tuple[KeyedArray, np.ndarray]:
    """The same, mapped from a file as packed images are."""
    images, vectors = made_images(n, size)
    np.save(folder / "packed.npy", images.data)
    packed = np.load(folder / "packed.npy", mmap_mode="r")
    return KeyedArray(packed, images.index, {}, "images"), vectors


def wait(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def images_per_second(
    steps: Generator[int],
    device: torch.device,
    seconds: float,
    meter: AbstractContextManager | None = None,
    warm_up: int = WARM_UP,
) -> float:
    """Images a second of steps that each yield how many they took, over about so many seconds.

    meter: is open while the clock runs. warm_up: steps before it starts. Closes `steps`.
    """
    with closing(steps):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)  # CUDA graphs take theirs in the first steps
        for _ in range(warm_up):
            next(steps)
        wait(device)
        with meter or nullcontext():
            start, images = time.perf_counter(), 0
            while not images or time.perf_counter() - start < seconds:
                images += next(steps)
            wait(device)
            return images / (time.perf_counter() - start)


def student_steps(
    network: Network, loader: BatchLoader, batch_size: int, compute: Compute
) -> Generator[int]:
    """Endless steps on full batches as `training.loop.train` makes them; yields their sizes."""
    network.to_device(loader.device)
    plan = Plan(1, batch_size, 1e-4, "constant", augmentation=AUGMENT)
    state = State(network.train(), Objective("mse"), plan, Job(0, compute), 1)
    forward = compiled(network, compute)
    with algorithms(compute):
        for epoch in count():
            for images, targets in loader.batches(batch_size, shuffled(len(loader), 0, epoch)):
                if len(images) == batch_size:
                    train_step(state, forward, images, targets)
                    yield batch_size


def thesis_steps(
    model: ThesisStudent, folder: Path, n: int, batch_size: int, device: torch.device, workers: int
) -> Generator[int]:
    """Endless steps of the thesis's loop on what `write_one_by_one` wrote."""
    model.to(device).train()
    adam = torch.optim.Adam(model.parameters(), lr=1e-4)
    loader = DataLoader(
        OneByOne(folder, n, True),
        batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    with algorithms(Compute(precision="fp32", deterministic=True)):
        for batch in chain.from_iterable(repeat(loader)):
            images, targets = batch["cxr"].to(device), batch["embedding"].to(device)
            adam.zero_grad()
            nn.functional.mse_loss(model(images), targets).backward()
            adam.step()
            yield len(images)


def network_steps(
    architecture: str, device: torch.device, size: int, batch_size: int
) -> Generator[int]:
    """Steps of one network with the default settings on images in memory."""
    # Each new order of the images makes a GPU wait, so an epoch has more than a step or two.
    images, vectors = made_images(EPOCH * batch_size, size)
    loader = BatchLoader(images, images.index.image_id, vectors, device, feeding="resident")
    return student_steps(Network(architecture, DIMENSION), loader, batch_size, Compute())
