"""What a network says of images: in eval mode, full precision, without gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cxrfmkd.networks.batches import BatchLoader
from cxrfmkd.networks.network import Network


def predict(
    network: Network,
    function: Callable[[Tensor], tuple[Tensor, ...]],
    feed: BatchLoader,
    batch_size: int,
) -> list[np.ndarray]:
    """Each output of `function` for all of `feed`, float32, in eval mode and full precision."""
    network.eval().to(feed.device, memory_format=torch.channels_last)
    parts: list[list[Tensor]] = []
    with torch.no_grad():
        for images, _ in feed.batches(batch_size):
            parts.append([output.float().cpu() for output in function(images)])
    return [torch.cat(outputs).numpy() for outputs in zip(*parts, strict=True)]
