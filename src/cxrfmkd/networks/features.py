"""Features of every image from a frozen network, computed once and kept."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cxrfmkd.networks.batches import BatchLoader
from cxrfmkd.networks.devices import algorithms, pick_device
from cxrfmkd.networks.inference import predict
from cxrfmkd.networks.network import Network
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.study.settings import Network as Compute

BATCH = 128


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
        (features,) = predict(network, lambda batch: (network.features(batch),), loader, BATCH)
    about = {
        "what": "pooled features",
        "architecture": network.architecture,
        "dimension": features.shape[1],
        "input": network.input,
    }
    index = pd.DataFrame({"image_id": list(image_ids)})
    return KeyedArray(features, index, about | (meta or {}), "features")
