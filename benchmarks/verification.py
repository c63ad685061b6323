"""What it costs to verify intermediate files: the hash of an array against the stage that reads it.

`baseline_s` is the stage, `ours_s` the verification of what it reads, for the same images; a ratio
of 50 is a cost of 2 %. An array of 16 MB or more is hashed by the job that writes it, and by others
only after a change or where it is a copy: what the first opening of a copy costs has a row.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from packing import IMAGES, SIZE, ours, stored_images

from cxrfmkd.networks.network import Network
from cxrfmkd.probing.heads import LabelledInputs
from cxrfmkd.probing.probes import train_heads
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.seals import sha256
from cxrfmkd.study.settings import Probe

GOAL = 50  # times as long as its verification, at least
ROWS, WIDTH = 4000, 1376  # images and features of the probes
BATCH = 4


def run() -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        return [*of_images(Path(folder)), *of_features(Path(folder))]


def of_images(root: Path) -> list[dict]:
    """Packing, and one pass of a training step, against the hash of the packed pixels."""
    records = stored_images(root / "images")
    packing = seconds(lambda: ours(root, records))
    many = np.zeros((1024, SIZE, SIZE), np.uint8)
    index = pd.DataFrame({"image_id": [str(i) for i in range(len(many))]})
    KeyedArray(many, index).save(root / "many")
    hashing = seconds(lambda: sha256(root / "many" / "data.npy")) / len(many)
    shutil.copytree(root / "many", root / "copy")
    first = seconds(lambda: KeyedArray.open(root / "copy"))
    second = seconds(lambda: KeyedArray.open(root / "copy"))
    step = seconds(training_step) / BATCH
    return [
        row("packing an image, and hashing it", packing / IMAGES, hashing, 1),
        row("training on an image once (CPU), and hashing it", step, hashing, 1),
        row(
            "first opening of a copy of 1,024 packed images, and the second",
            first,
            second,
            len(many),
            1,
        ),
    ]


def training_step() -> None:
    """Forward and backward through DenseNet-169 at full size."""
    network = Network("densenet169", 64).train()
    network(torch.zeros(BATCH, SIZE, SIZE)).square().mean().backward()


def of_features(root: Path) -> list[dict]:
    """A family of probes against opening their features, and against the hash of these."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(ROWS, WIDTH)).astype(np.float32)
    index = pd.DataFrame({"image_id": [str(i) for i in range(ROWS)]})
    KeyedArray(rows, index).save(root / "features")
    opening = seconds(lambda: KeyedArray.open(root / "features"))
    targets = (random.random((ROWS, 14)) < 0.3).astype(np.float32)
    data = LabelledInputs(rows, targets, np.arange(ROWS))
    probing = seconds(lambda: train_heads(data, data, [0], Probe()))
    hashing = seconds(lambda: sha256(root / "features" / "data.npy"))
    return [
        row("linear probes of one model, and opening their features", probing, opening, ROWS),
        row(
            "linear probes of one model, and hashing a copy of their features",
            probing,
            hashing,
            ROWS,
            1,
        ),
    ]


def seconds(work: Callable[[], object]) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def row(name: str, stage: float, verification: float, n: int, goal: float = GOAL) -> dict:
    measured = {"baseline_s": stage, "ours_s": verification, "ratio": stage / verification}
    return {"name": name, **measured, "goal": goal, "n": n, "device": "cpu"}


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
