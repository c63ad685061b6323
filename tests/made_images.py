"""A tiny dataset of images, embeddings and records, and a backbone that trains in a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torchvision
from torch import nn

from cxrfmkd.datasets.records import complete, write_records
from cxrfmkd.networks.architectures import ARCHITECTURES
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.vocabulary.findings import FINDINGS

# A float32 pass through `tiny` errs by at most so much of its largest output: on its longest path
# some 800 numbers are summed, each with a rounding of half an ulp.
FORWARD_ERROR = 800 * 2.0**-24

SIZES = {"train": 24, "val": 12, "test": 10}


def tiny_densenet():
    """A DenseNet with four layers and 10 pooled features."""
    return torchvision.models.DenseNet(4, (1, 1, 1, 1), 8)


def add_tiny_backbone() -> None:
    """Let `tiny` name that network."""
    ARCHITECTURES["tiny"] = tiny_densenet


def one_layer() -> nn.Module:
    """A network of one convolution, for torch.compile, whose C++ compiler takes long for each."""
    layers = [nn.Conv2d(3, 4, 7, 2, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1000))


def records(sizes: dict[str, int] = SIZES, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Records of each split; two images a patient, findings drawn at random."""
    random = np.random.default_rng(seed)
    split = np.repeat(list(sizes), list(sizes.values()))
    n = len(split)
    table = pd.DataFrame(
        {
            "image_id": [f"{s}/{i:03d}" for i, s in enumerate(split)],
            "patient_id": [f"{s}{i // 2}" for i, s in enumerate(split)],
            "study_id": [f"study{i}" for i in range(n)],
            "path": [f"{s}/{i:03d}.png" for i, s in enumerate(split)],
            "sex": "Female",
            "age": 50.0,
            "race": "White",
            "view": "PA",
            "split": split,
        }
    ).join(
        pd.DataFrame(random.choice([1.0, 0.0, -1.0], (n, 14), p=[0.4, 0.5, 0.1]), columns=FINDINGS)
    )
    return {name: complete(table[table.split == name]) for name in sizes}


def arrays(
    tables: dict[str, pd.DataFrame], size: int = 32, dimension: int = 6, seed: int = 0
) -> tuple[KeyedArray, KeyedArray]:
    """Images whose quarters are as bright as the teacher says, in another order than records."""
    random = np.random.default_rng(seed)
    index = pd.concat(tables.values())[["image_id"]].sample(frac=1, random_state=seed)
    index = index.reset_index(drop=True)
    n, half = len(index), size // 2
    images = random.integers(0, 60, (n, size, size), dtype=np.uint8)
    latent = random.random((n, 4))
    for quarter in range(4):
        y, x = divmod(quarter, 2)
        shade = (150 * latent[:, quarter]).astype(np.uint8)[:, None, None]
        images[:, y * half : (y + 1) * half, x * half : (x + 1) * half] += shade
    embedded = (latent @ random.normal(size=(4, dimension)) + 3).astype(np.float32)
    return KeyedArray(images, index, {}, "images"), KeyedArray(embedded, index, {}, "teacher")


def on_disk(root: Path, **options) -> dict[str, Path]:
    """Write all of it under `root`; the paths as a rule would pass them."""
    tables = records()
    images, teacher = arrays(tables, **options)
    images.save(root / "images")
    teacher.save(root / "teacher")
    paths = {name: root / "records" / f"{name}.csv" for name in tables}
    for name, table in tables.items():
        write_records(paths[name], table)
    return paths | {name: root / name / "meta.json" for name in ("images", "teacher")}
