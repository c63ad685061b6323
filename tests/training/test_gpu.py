"""What CUDA alone can show, on machines that have a GPU: exact repetition, equal embeddings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from made_trainings import CLOCKS, StopAfter, loader, plan

from cxrfmkd.networks.devices import algorithms
from cxrfmkd.networks.inference import predict
from cxrfmkd.networks.network import Network
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.training import fast_paths
from cxrfmkd.training.checkpoints import Checkpoints
from cxrfmkd.training.jobs import Job
from cxrfmkd.training.loop import TrainingResult, train
from cxrfmkd.training.losses import Objective

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
NETWORKS = ["densenet169", "resnet18"]


def network(name: str) -> Network:
    torch.manual_seed(0)
    return Network(name, 6)


def trained(name: str, feeding="resident", checkpoints=None) -> tuple[Network, TrainingResult]:
    """A network after three epochs of five steps in bf16 with deterministic algorithms."""
    job = Job(1, Compute(weights="none", deterministic=True), checkpoints or Checkpoints(None))
    net, objective = network(name), Objective("mse-cosine", {"mse": 1, "cosine": 1})
    data = loader(device="cuda", feeding=feeding), loader("val", device="cuda")
    return net, train(net, objective, *data, plan(), job)


@pytest.mark.parametrize("name", NETWORKS)
def test_deterministic_trainings_are_equal_however_they_are_fed(name):
    first, result = trained(name)
    for feeding in ("resident", "read-ahead", "mapped"):
        again, repeated = trained(name, feeding)
        assert again.identity() == first.identity()
        assert repeated.history.val_loss.equals(result.history.val_loss)
    assert result.history.memory_mb.gt(0).all()


@pytest.mark.parametrize("steps", [2, 7])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_stopped_training_goes_on_to_the_same_weights_on_a_gpu(name, steps, tmp_path):
    uninterrupted, result = trained(name)
    with pytest.raises(SystemExit) as left, StopAfter(tmp_path / "state", steps) as checkpoints:
        trained(name, checkpoints=checkpoints)
    assert left.value.code == 75
    with Checkpoints(tmp_path / "state") as checkpoints:
        again, resumed = trained(name, checkpoints=checkpoints)
    assert again.identity() == uninterrupted.identity()
    pd.testing.assert_frame_equal(
        resumed.history.drop(columns=CLOCKS), result.history.drop(columns=CLOCKS)
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_embeddings_of_a_gpu_are_those_of_a_cpu(name):
    net, found = trained(name)[0], {}
    for device in ("cpu", "cuda"):
        with algorithms(Compute()):
            (found[device],) = predict(net, lambda x: (net(x),), loader("test", device=device), 4)
    distance = np.linalg.norm(found["cuda"] - found["cpu"]) / np.linalg.norm(found["cpu"])
    assert distance <= fast_paths.TF32
