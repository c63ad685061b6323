"""A network's outputs for many images: in eval mode, full precision, without gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cxrfmkd.networks.batches import BatchLoader
from cxrfmkd.networks.devices import algorithms, pick_device
from cxrfmkd.networks.network import Network
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.study.settings import Network as Compute

FEATURES_BATCH = 128


def predict(
    network: Network,
    function: Callable[[Tensor], tuple[Tensor, ...]],
    loader: BatchLoader,
    batch_size: int,
) -> list[np.ndarray]:
    """Each output of `function` for all of `loader`, float32."""
    network.eval().place(loader.device)
    batches: list[list[Tensor]] = []
    with torch.no_grad():
        for images, _ in loader.batches(batch_size):
            batches.append([output.float().cpu() for output in function(images)])
    return [torch.cat(outputs).numpy() for outputs in zip(*batches, strict=True)]


def extract_features(
    network: Network,
    images: KeyedArray,
    image_ids: Sequence[str],
    compute: Compute,
    meta: dict | None = None,
) -> KeyedArray:
    """The backbone's pooled output of each image, float32 (len(image_ids), width), by key.

    Nothing of the network changes, batch-norm statistics included. A projection that the network
    has is not applied; it is one matrix product on these features.
    """
    loader = BatchLoader(images, image_ids, device=pick_device())
    with algorithms(compute):
        (features,) = predict(
            network, lambda batch: (network.features(batch),), loader, FEATURES_BATCH
        )
    about = {
        "what": "pooled features",
        "architecture": network.architecture,
        "dimension": features.shape[1],
        "input": network.input,
    }
    index = pd.DataFrame({"image_id": list(image_ids)})
    return KeyedArray(features, index, about | (meta or {}), "features")
