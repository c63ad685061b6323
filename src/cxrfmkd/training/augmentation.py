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
CACHED = 16


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
        films = films.clone()
        few = CACHED if films.device.type == "cpu" else len(films)
        for part, chosen in zip(films.split(few), draws.split(few, dim=1), strict=True):
            self._move(part, chosen)
        return films

    def _move(self, films: Tensor, draws: Tensor) -> None:
        """In place. films: (n, h, w); draws: (4, n) uniform: mirrored or not, turned or not, angle, scale."""
        if self.flip:
            mirrored = (draws[0] < CHANCE).nonzero()[:, 0].to(films.device, non_blocking=True)
            films.index_copy_(0, mirrored, films.index_select(0, mirrored).flip(-1))
        if self.affine:
            turned = (draws[1] < CHANCE).nonzero()[:, 0]
            degrees = (2 * draws[2, turned] - 1) * DEGREES
            scales = SCALES[0] + (SCALES[1] - SCALES[0]) * draws[3, turned]
            turned = turned.to(films.device, non_blocking=True)
            films.index_copy_(0, turned, affine(films.index_select(0, turned), degrees, scales))


def affine(films: Tensor, degrees: Tensor, scales: Tensor) -> Tensor:
    """Each image rotated (clockwise, as torchvision) and scaled about its centre; nearest neighbour, black outside.

    films: (n, h, w) uint8; degrees, scales: (n,) float32 on the CPU.
    """
    n, height, width = films.shape
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
    place = column.add_(row, alpha=width + 2).int()
    bordered = pad(films, (1, 1, 1, 1))
    first = torch.arange(n, dtype=torch.int32, device=films.device) * (height + 2) * (width + 2)
    place += first[:, None, None]
    return bordered.flatten().index_select(0, place.flatten()).view_as(films)
