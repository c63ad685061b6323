"""Batches of images and targets on the device: kept there if they fit, else read ahead."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.processes import read_ahead

# How images come to the device; `auto` chooses by the device and its free memory.
Feeding = Literal["auto", "resident", "read-ahead", "mapped"]

# Share of a GPU's free memory that images may fill; a training step needs the rest.
RESIDENT = 0.4

# Batches that are read ahead, and images that are read at once to fill a device.
AHEAD, BLOCK = 3, 4096


class BatchLoader:
    """The images of some records, with their targets, in batches.

    images: packed images, uint8 (n, h, w). image_ids: which of them, by key. targets:
    (len(image_ids), d) float32 in the same order; without any, d is 0.
    feeding: `resident`, the images lie in the device's memory; `read-ahead`, a thread reads them
    ahead, for a GPU into pinned memory; `mapped`, they are read from the file's memory map when
    their turn comes. By itself a GPU gets them resident if they fit, else read ahead, and a CPU
    mapped.
    """

    def __init__(
        self,
        images: KeyedArray,
        image_ids: Sequence[str],
        targets: np.ndarray | None = None,
        device: torch.device | str = "cpu",
        feeding: Feeding = "auto",
    ) -> None:
        self.device = torch.device(device)
        if images.data.ndim != 3 or images.data.dtype != np.uint8:
            raise InputError(
                f"{images.name}: {images.data.dtype} of shape {images.data.shape} are no packed "
                "images, which are uint8 of shape (images, height, width). Name the dataset's "
                "images/meta.json."
            )
        self.images, self.rows = images, images.rows(image_ids)
        if not len(self.rows):
            raise InputError(
                f"{images.name}: the records are empty, so none of its images is used."
            )
        if targets is not None and len(targets) != len(self.rows):
            raise ValueError(f"{len(targets)} targets for {len(self.rows)} images")
        targets = np.empty((len(self.rows), 0), np.float32) if targets is None else targets
        self.targets = torch.as_tensor(targets, device=self.device)
        self.feeding = self._choose() if feeding == "auto" else feeding
        self.resident = self._fill() if self.feeding == "resident" else None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width of an image."""
        return self.images.data.shape[1:]

    def batches(
        self, size: int, order: Tensor | None = None, start: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """(images, targets) of batches `start`, `start + 1`, …; the last may be smaller.

        order: positions (len(self),) int64 on the CPU; as given by default.
        """
        order = torch.arange(len(self)) if order is None else order
        positions = order.split(size)[start:]
        positions_there = order.to(self.device).split(size)[start:]
        batches: Iterator[Tensor]
        if self.resident is not None:
            batches = map(self.resident.__getitem__, positions_there)
        elif self.feeding == "read-ahead":
            batches = self._read_ahead(positions)
        else:
            batches = (self._read(rows).to(self.device) for rows in positions)
        for rows, batch in zip(positions_there, batches, strict=True):
            yield batch, self.targets[rows]

    def identity(self) -> str:
        """Hash of the images' keys and targets, and of their pixels where the array has hashes."""
        digest = hashlib.sha256("\n".join(self.images.index.image_id.iloc[self.rows]).encode())
        if "sha256" in self.images.index:
            digest.update("".join(self.images.index["sha256"].iloc[self.rows]).encode())
        digest.update(self.targets.cpu().numpy().tobytes())
        return digest.hexdigest()

    def _choose(self) -> Feeding:
        if self.device.type != "cuda":
            return "mapped"
        free, _ = torch.cuda.mem_get_info(self.device)
        fits = len(self.rows) * int(np.prod(self.shape)) <= RESIDENT * free
        return "resident" if fits else "read-ahead"

    def _fill(self) -> Tensor:
        resident = torch.empty((len(self.rows), *self.shape), dtype=torch.uint8, device=self.device)
        for start in range(0, len(self.rows), BLOCK):
            block = self.images.data[self.rows[start : start + BLOCK]]
            resident[start : start + len(block)] = torch.from_numpy(block)
        return resident

    def _read(self, positions: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(self.images.data[self.rows[positions.numpy()]]))

    def _read_ahead(self, positions: Sequence[Tensor]) -> Iterator[Tensor]:
        """Batches that a thread reads while the device is busy with the ones before."""

        def read(rows: Tensor) -> Tensor:
            batch = self._read(rows)
            return batch.pin_memory() if self.device.type == "cuda" else batch

        pool = ThreadPoolExecutor(1)
        try:
            for batch in read_ahead(pool, read, positions, AHEAD + 1):
                yield batch.to(self.device, non_blocking=True)
        finally:
            pool.shutdown(cancel_futures=True)


def shuffled(n: int, seed: int, epoch: int) -> Tensor:
    """The order of `n` images in an epoch: a permutation that depends on seed and epoch alone."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
