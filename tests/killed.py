"""One small distillation in a process of its own, to be killed at any moment and started again."""

from __future__ import annotations

import shutil
from pathlib import Path

import made_images
import torch

from cxrfmkd.study.settings import Distillation, Network
from cxrfmkd.training.checkpoints import Checkpoints
from cxrfmkd.training.distillation import distill
from cxrfmkd.training.jobs import Job


def distilled(folder: Path | None, out: Path, seed: int = 3) -> None:
    """Distil, with a checkpoint after every step, and write weights and history to `out`."""
    torch.set_num_threads(1)
    made_images.add_tiny_backbone()
    tables = made_images.records()
    images, teacher = made_images.arrays(tables)
    settings = Distillation(epochs=14, batch_size=5, flip=True, affine=True)
    with Checkpoints(folder, every=0) as checkpoints:
        result = distill(
            images,
            teacher,
            tables["train"],
            tables["val"],
            loss="mse-cosine-learned",
            settings=settings,
            job=Job(seed, Network(weights="none"), checkpoints),
            backbone="tiny",
        )
        partial = out.with_name(f"{out.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        result.network.save(partial / "weights.safetensors")
        result.history.to_csv(partial / "history.csv", index=False)
        partial.rename(out)
