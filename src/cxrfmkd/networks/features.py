"""What a frozen network sees: its pooled features of every image, computed once and kept."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cxrfmkd.networks.batches import BatchLoader
from cxrfmkd.networks.devices import algorithms, pick_device
from cxrfmkd.networks.inference import predict
from cxrfmkd.networks.network import Network
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.study import settings as configuration

BATCH = 128


def extract(
    network: Network,
    images: KeyedArray,
    image_ids: Sequence[str],
    compute: configuration.Network,
    meta: dict | None = None,
) -> KeyedArray:
    """The backbone's pooled output of each image, float32 (len(image_ids), width), by key.

    Full precision, eval mode, no gradient: nothing of the network changes, batch-norm statistics
    included. A projection that the network has is not applied; it is one matrix product on these
    features.
    """
    feed = BatchLoader(images, image_ids, device=pick_device(compute.device))
    with algorithms(compute):
        (features,) = predict(network, lambda batch: (network.features(batch),), feed, BATCH)
    index = pd.DataFrame({"image_id": list(image_ids)})
    facts = {"what": "pooled features", "architecture": network.architecture}
    about = facts | {"dimension": features.shape[1], "input": network.input} | (meta or {})
    return KeyedArray(features, index, about, "features")
