"""A network's outputs for many images: in eval mode, full precision, without gradients."""

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
    loader: BatchLoader,
    batch_size: int,
) -> list[np.ndarray]:
    """Each output of `function` for all of `loader`, float32."""
    network.eval().to_device(loader.device)
    batches: list[list[Tensor]] = []
    with torch.no_grad():
        for images, _ in loader.batches(batch_size):
            batches.append([output.float().cpu() for output in function(images)])
    return [torch.cat(outputs).numpy() for outputs in zip(*batches, strict=True)]
