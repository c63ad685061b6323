"""Random flips, rotations and scalings of whole batches, on the device where they lie.

Each image has its own parameters, drawn as torchvision's RandomHorizontalFlip(0.5) followed by
RandomApply([RandomAffine(15, scale=(0.9, 1.1))], 0.5) would. Source: thesis method, section 3.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

CHANCE = 0.5
DEGREES = 15.0
SCALES = (0.9, 1.1)

# Images moved at once on a CPU: what they need then stays in its cache.
CACHED = 8


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training image: `flip` left to right, `affine` rotation and scaling."""

    flip: bool = False
    affine: bool = False

    def __call__(self, films: Tensor, generator: torch.Generator) -> Tensor:
        """films: (n, h, w) uint8, on any device -> the same shape, type and device.

        generator: of the CPU, so that every device draws the same parameters.
        """
        draws = torch.rand(4, len(films), generator=generator)
        if self.flip:
            mirrored = (draws[0] < CHANCE).to(films.device, non_blocking=True)
            films = torch.where(mirrored[:, None, None], films.flip(-1), films)
        if self.affine:
            turned = (draws[1] < CHANCE).nonzero()[:, 0]
            degrees = (2 * draws[2, turned] - 1) * DEGREES
            scales = SCALES[0] + (SCALES[1] - SCALES[0]) * draws[3, turned]
            turned = turned.to(films.device, non_blocking=True)
            films = films.index_copy(0, turned, affine(films[turned], degrees, scales))
        return films


def affine(films: Tensor, degrees: Tensor, scales: Tensor) -> Tensor:
    """Each image rotated (clockwise, as torchvision) and scaled about its centre; nearest neighbour, black outside.

    films: (n, h, w) uint8; degrees, scales: (n,) float32 on the CPU.
    """
    few = CACHED if films.device.type == "cpu" else max(1, len(films))
    parts = zip(films.split(few), degrees.split(few), scales.split(few), strict=True)
    return torch.cat([_affine(*part) for part in parts])


def _affine(films: Tensor, degrees: Tensor, scales: Tensor) -> Tensor:
    height, width = films.shape[1:]
    angle = degrees * (math.pi / 180)
    across, along = (
        part.to(films.device, non_blocking=True)[:, None]
        for part in (angle.cos() / scales, angle.sin() / scales)
    )
    x = torch.arange(width, device=films.device) - (width - 1) / 2
    y = torch.arange(height, device=films.device) - (height - 1) / 2
    # Where each pixel comes from, in an image with a black border that stands for all that is outside.
    from_x = (across * x + (width + 1) / 2)[:, None, :] + (along * y)[:, :, None]
    from_y = (across * y + (height + 1) / 2)[:, :, None] - (along * x)[:, None, :]
    column, row = from_x.round_().clamp_(0, width + 1), from_y.round_().clamp_(0, height + 1)
    place = row.mul_(width + 2).add_(column).long().flatten(1)
    return pad(films, (1, 1, 1, 1)).flatten(1).gather(1, place).view_as(films)
