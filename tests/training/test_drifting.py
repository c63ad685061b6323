"""Probes through a live network: drifting statistics as in the thesis, and frozen to the bit."""

import numpy as np
import pandas as pd
import pytest
import torch

from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.study.settings import Finetuning, Labels, Probe
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.training.finetuning import as_thesis_probe, finetune, initial_network
from cxrfmkd.training.jobs import Job
from cxrfmkd.vocabulary.findings import FINDINGS

SIZES = {"train": 10, "val": 4, "test": 4}


@pytest.fixture(scope="module")
def dataset():
    random = np.random.default_rng(0)
    index = pd.DataFrame({"image_id": [f"{s}{i}" for s, n in SIZES.items() for i in range(n)]})
    data = random.integers(0, 256, (len(index), 32, 32), np.uint8)
    tables = {}
    for split, n in SIZES.items():
        table = pd.DataFrame((random.random((n, 14)) < 0.5).astype(float), columns=list(FINDINGS))
        table.insert(0, "image_id", [f"{split}{i}" for i in range(n)])
        tables[split] = table
    return KeyedArray(data, index, {}, "images"), tables


@pytest.mark.parametrize("batch_norm", ["drifting", "frozen"])
def test_probe_moves_the_head_and_at_most_the_statistics(dataset, batch_norm):
    images, tables = dataset
    compute = Compute(weights="none", precision="fp32")
    probe = Probe(protocol="thesis", epochs=2, batch_size=5, batch_norm=batch_norm)
    settings = as_thesis_probe(probe, Finetuning(patience=1, learning_rate=9.0, schedule="cosine"))
    assert (settings.epochs, settings.learning_rate, settings.patience) == (2, 1e-3, None)
    network = initial_network("cxr-model-lp", 41, compute).freeze(batch_norm)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    result = finetune(
        network, images, tables, labels=Labels(), settings=settings, job=Job(41, compute)
    )
    changed = {
        name
        for name, value in result.network.state_dict().items()
        if not torch.equal(value, before[name])
    }
    statistics = {name for name in before if "running_" in name or "num_batches" in name}
    assert {"head.weight", "head.bias"} <= changed
    if batch_norm == "frozen":
        assert changed == {"head.weight", "head.bias"}
    else:
        assert {name for name in statistics if "running_mean" in name} <= changed
        assert changed - statistics == {"head.weight", "head.bias"}
    assert result.run["parameters"]["trainable"] == 1664 * 14 + 14
    assert len(result.history) == 2
