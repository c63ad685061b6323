"""Training: its feeding, one step, and how much of the step's speed is left on real data.

The plain way is the thesis's loop: each image a JPEG and a `.dat` file, read and augmented one by
one, copied to three channels, fp32 in NCHW, Adam. Ours is what `cxrfmkd.training.loop` does. Both
hold the same weights and see the same images in the same process; images and losses must agree
before anything is timed. On a CPU a single thread is used and few images; a GPU gets batches of 128
images of 224 pixels.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cxrfmkd.networks.batches import BatchLoader, shuffled
from cxrfmkd.networks.devices import algorithms, compiled, device_name, pick_device
from cxrfmkd.networks.network import Network
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.training.jobs import Job, Plan
from cxrfmkd.training.loop import train, train_step
from cxrfmkd.training.losses import Objective
from cxrfmkd.training.speed import AUGMENT, DIMENSION, made_images, stored_images, wait
from cxrfmkd.training.state import State
from cxrfmkd.training.thesis_loop import OneByOne, ThesisStudent, write_one_by_one

BATCH, SIZE = 128, 224


def run() -> list[dict]:
    return list(rows(pick_device()))


def rows(device: torch.device) -> Iterator[dict]:
    """Each row as soon as it is measured; the slowest last."""
    on_gpu = device.type == "cuda"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield feeding(Path(folder), device, 4096 if on_gpu else 512)
        if not on_gpu:
            yield step(device, 32, 64, 4, 1.0)
            yield step(device, 8, SIZE, 2, 1.0)
            return
        torch.set_num_threads(threads)
        yield step(device, BATCH, SIZE, 30, 4.0)
        yield fed(device, resident=True)
        yield fed(device, resident=False)
        if shutil.which("cc") or shutil.which("gcc"):  # torch.compile needs one
            yield step(device, BATCH, SIZE, 30, 4.0, compiled=True)
    finally:
        torch.set_num_threads(threads)


def row(name: str, baseline: float, ours: float, goal: float, n: int, device, **facts) -> dict:
    """One line of results.json; the times are for all `n` images."""
    return {
        "name": name,
        "baseline_s": round(baseline, 3),
        "ours_s": round(ours, 3),
        "ratio": round(baseline / ours, 2),
        "goal": goal,
        "n": n,
        "device": device_name(device),
        "images_per_second": round(n / ours, 1),
        "baseline_images_per_second": round(n / baseline, 1),
    } | facts


def timed(function: Callable[[], object], device: torch.device) -> float:
    """Seconds of `function`, with the device's queue; on a CPU those of its one thread."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    wait(device)
    start = clock()
    function()
    wait(device)
    return clock() - start


def feeding(folder: Path, device: torch.device, n: int) -> dict:
    """Images and targets brought to the device and augmented, one CPU core, no network."""
    made, vectors = made_images(n, SIZE)
    write_one_by_one(folder, made.data, vectors)
    # What is packed is what the files hold: the two ways see the same pixels.
    packed = np.stack([np.asarray(Image.open(folder / f"image{i}.jpg")) for i in range(n)])
    np.save(folder / "packed.npy", packed)
    array = KeyedArray(np.load(folder / "packed.npy", mmap_mode="r"), made.index, {}, "images")
    loader = BatchLoader(array, array.index.image_id, vectors, device)
    first = next(iter(DataLoader(OneByOne(folder, n, False), BATCH)))
    ours, targets = next(loader.batches(BATCH))
    assert torch.equal(first["cxr"], ours.cpu()[:, None].float().expand(-1, 3, -1, -1))
    assert torch.equal(first["embedding"], targets.cpu())

    def plain() -> None:
        for batch in DataLoader(OneByOne(folder, n, True), BATCH, shuffle=True):
            batch["cxr"].to(device), batch["embedding"].to(device)

    random, epochs = torch.Generator().manual_seed(0), 5

    def batched() -> None:
        for epoch in range(epochs):
            for batch, _ in loader.batches(BATCH, shuffled(n, 0, epoch)):
                AUGMENT(batch, random)

    timed(batched, device)
    return row(
        "feeding training, images of 224 px per CPU core",
        timed(plain, device),
        timed(batched, device) / epochs,
        20.0,
        n,
        device,
    )


def pair(device: torch.device, batch: int, size: int) -> tuple:
    """Both students with the same weights, and a batch for each; their losses agree in fp32."""
    torch.manual_seed(0)
    ours = Network("densenet169", DIMENSION, input="raw")
    plain = ThesisStudent(ours).to(device)
    ours.to_device(device)
    made, vectors = made_images(batch, size)
    pixels, targets = torch.from_numpy(made.data).to(device), torch.from_numpy(vectors).to(device)
    copied = pixels[:, None].float().repeat(1, 3, 1, 1)
    with torch.no_grad():
        losses = [
            nn.functional.mse_loss(f(x), targets) for f, x in ((plain, copied), (ours, pixels))
        ]
    assert torch.allclose(*losses, rtol=2e-2), losses
    return plain, ours, copied, pixels, targets


def step(
    device: torch.device, batch: int, size: int, steps: int, goal: float, compiled: bool = False
) -> dict:
    """One training step on images that are there already."""
    plain, ours, copied, pixels, targets = pair(device, batch, size)
    facts = {}
    baseline = plain_steps(plain, copied, targets, steps, device)
    if device.type == "cuda":
        facts["baseline_memory_mb"] = torch.cuda.max_memory_allocated(device) >> 20
    del plain, copied
    settings = Compute(compile=compiled)
    seconds = our_steps(ours, pixels, targets, steps, settings)
    if device.type == "cuda":
        facts["memory_mb"] = torch.cuda.max_memory_allocated(device) >> 20
        bound = bandwidth(device) / least_traffic(ours, pixels)
        facts["share_of_bandwidth_bound"] = round(batch * steps / seconds / bound, 3)
        torch.cuda.empty_cache()
    name = f"training step, batch {batch} of {size} px" + (", compiled" if compiled else "")
    return row(name, baseline, seconds, goal, batch * steps, device, **facts)


def plain_steps(
    model: nn.Module, batch: Tensor, targets: Tensor, steps: int, device: torch.device
) -> float:
    """Seconds of the thesis's steps: eager, fp32, NCHW, deterministic, Adam as it comes."""
    adam = torch.optim.Adam(model.parameters(), lr=1e-4)

    def go(count: int) -> None:
        for _ in range(count):
            adam.zero_grad()
            nn.functional.mse_loss(model(batch), targets).backward()
            adam.step()

    return measure(go, steps, device, Compute(precision="fp32", deterministic=True))


def our_steps(
    network: Network, pixels: Tensor, targets: Tensor, steps: int, settings: Compute
) -> float:
    """Seconds of the same steps as `training.loop.train` makes them."""
    plan = Plan(epochs=1, batch_size=len(pixels), learning_rate=1e-4, schedule="constant")
    state = State(network, Objective("mse"), plan, Job(0, settings), steps)
    forward = compiled(network, settings)

    def go(count: int) -> None:
        for _ in range(count):
            train_step(state, forward, pixels, targets)

    return measure(go, steps, pixels.device, settings)


def least_traffic(network: Network, pixels: Tensor) -> float:
    """Bytes an image that a training step must move at the least if no two layers are fused.

    What every layer puts out is written and read in the forward pass, read again in the backward
    one, and its
    gradient written and read: five times two bytes (bf16).
    """
    numbers = 0

    def count(_module, _inputs, output: Tensor) -> None:
        nonlocal numbers
        numbers += output.numel()

    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [leaf.register_forward_hook(count) for leaf in leaves]
    with torch.no_grad():
        network(pixels)
    for hook in hooks:
        hook.remove()
    return 5 * 2 * numbers / len(pixels)


def bandwidth(device: torch.device, size: int = 1 << 30) -> float:
    """Bytes a second that the device reads and writes when it copies `size` bytes."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        for _ in range(10):
            target.copy_(source)

    timed(copy, device)
    return 2 * 10 * size / timed(copy, device)


def measure(
    go: Callable[[int], None], steps: int, device: torch.device, settings: Compute
) -> float:
    """Seconds of `steps` steps after three that warm up; the fastest of two rounds."""
    with algorithms(settings):
        go(3 if device.type == "cuda" else 1)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        return min(timed(lambda: go(steps), device) for _ in range(2))


def fed(device: torch.device, resident: bool) -> dict:
    """An epoch of `training.loop.train` on packed images against steps on a constant batch."""
    n = 40 * BATCH
    _, ours, _, pixels, targets = pair(device, BATCH, SIZE)
    settings = Compute()
    baseline = our_steps(ours, pixels, targets, 40, settings)
    with tempfile.TemporaryDirectory() as folder:
        array, vectors = stored_images(Path(folder), n, SIZE)
        feeding = "resident" if resident else "read-ahead"
        loader = BatchLoader(array, array.index.image_id, vectors, device, feeding)
        val = BatchLoader(array, array.index.image_id[:BATCH], vectors[:BATCH], device)
        plan = Plan(3, BATCH, 1e-4, "one-cycle", augmentation=AUGMENT)
        history = train(ours, Objective("mse"), loader, val, plan, Job(0, settings)).history
    seconds = n / history.images_per_second.iloc[1:].max()
    kind = "resident on the device" if resident else "read ahead from the file"
    facts = {"memory_mb": int(history.memory_mb.max())}
    return row(f"training fed with images {kind}", baseline, seconds, 0.9, n, device, **facts)


if __name__ == "__main__":
    for measured in rows(pick_device()):
        print(json.dumps(measured), flush=True)
