"""Trainings that share a card: images a second of one, two, three and four processes at once.

It is what `seeds_per_job` of the SLURM profile does: each training is a process of its own with its
own copy of network and images. All start their clocks together and run for the same time, so the
sum of their rates is what the card gives. A GPU gets batches of 128 images of 224 pixels, and of 32
as a study of small batches has; a CPU small ones, on one thread each.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

import torch

from cxrfmkd.networks.devices import device_name, pick_device
from cxrfmkd.training import speed

SECONDS = 8.0
IMAGES = 1000  # of each training, to which times are stated
# Image size, images in a batch and processes at once.
CASES = {
    "cuda": [(224, 128, (2, 3, 4)), (224, 32, (2, 4))],
    "cpu": [(64, 8, (2,))],
}


def run() -> list[dict]:
    device = pick_device()
    return list(rows(device))


def rows(device: torch.device) -> Iterator[dict]:
    """Each row as soon as it is measured: trainings at once beside the same one after another."""
    for size, batch, counts in CASES[device.type]:
        (alone,) = rates(device, size, batch, 1)
        for processes in counts:
            each = rates(device, size, batch, processes)
            n = processes * IMAGES
            yield {
                "name": f"{processes} trainings at once, batch {batch} of {size} px",
                "baseline_s": round(n / alone, 3),
                "ours_s": round(n / sum(each), 3),
                "ratio": round(sum(each) / alone, 2),
                "goal": 1.0,
                "n": n,
                "device": device_name(device),
                "images_per_second": round(sum(each), 1),
                "baseline_images_per_second": round(alone, 1),
                "each": [round(rate, 1) for rate in each],
            }


def rates(device: torch.device, size: int, batch: int, processes: int) -> list[float]:
    """Images a second of each of so many trainings at once."""
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    barrier, queue = context.Barrier(processes), context.SimpleQueue()
    workers = [
        context.Process(target=train, args=(device.type, size, batch, barrier, queue))
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError(f"one of {processes} trainings failed")
    return [queue.get() for _ in workers]


def train(kind: str, size: int, batch: int, barrier: Barrier, queue: SimpleQueue) -> None:
    """Put the rate of one training, whose clock starts when all have warmed up, into `queue`."""
    device = torch.device(kind)
    if kind == "cpu":
        torch.set_num_threads(1)
    steps = speed.network_steps("densenet169", device, size, batch)
    for _ in range(speed.WARM_UP):
        next(steps)
    speed.wait(device)
    barrier.wait(300)
    queue.put(speed.images_per_second(steps, device, SECONDS, warm_up=0))


if __name__ == "__main__":
    for measured in rows(pick_device()):
        print(json.dumps(measured), flush=True)
