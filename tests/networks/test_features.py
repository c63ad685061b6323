"""Frozen means frozen: features are computed once, by key, and change nothing.

Networks are float64 where outputs are compared; what is kept of them is rounded to float32, by at
most HALF_ULP of itself.
"""

import made_images
import numpy as np
import pytest
import torch

from cxrfmkd.networks.batches import BatchLoader
from cxrfmkd.networks.features import extract_features
from cxrfmkd.networks.inference import predict
from cxrfmkd.networks.network import Network
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Network as Compute

made_images.add_tiny_backbone()
TABLES = made_images.records()
IMAGES, _ = made_images.arrays(TABLES)
COMPUTE = Compute(weights="none")
HALF_ULP = 2.0**-24


@pytest.mark.parametrize("backbone", ["tiny", "densenet169"])
def test_not_one_bit_of_the_backbone_changes(backbone):
    network = Network(backbone, 6).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    features = extract_features(network, IMAGES, TABLES["test"].image_id, COMPUTE)
    after = network.state_dict()
    assert list(after) == list(before)
    for name, value in before.items():
        assert value.numpy().tobytes() == after[name].contiguous().numpy().tobytes(), name
    assert not network.training
    assert all(p.grad is None for p in network.parameters())
    assert features.data.shape == (10, network.width)
    assert features.data.dtype == np.float32


def test_features_are_the_backbones_pooled_output_by_key():
    network = Network("tiny", 6).double()
    ids = TABLES["val"].image_id[::-1]
    features = extract_features(network, IMAGES, ids, COMPUTE, {"backbone": "tiny"})
    with torch.no_grad():
        expected = network.features(torch.from_numpy(IMAGES.take(["val/030"])))
    np.testing.assert_allclose(features.take(["val/030"]), expected, rtol=1.01 * HALF_ULP)
    assert features.index.image_id.tolist() == ids.tolist()
    assert features.meta["backbone"] == "tiny"
    assert features.meta["dimension"] == network.width


def test_the_students_projection_of_kept_features_is_its_embedding():
    network = Network("tiny", 6).double()
    features = extract_features(network, IMAGES, TABLES["val"].image_id, COMPUTE)
    weight, bias = (p.detach().numpy() for p in network.projection.parameters())
    with torch.no_grad():
        expected = network(torch.from_numpy(IMAGES.take(TABLES["val"].image_id)))
    error = np.abs(features.data) @ np.abs(weight.T) * HALF_ULP
    assert (np.abs(features.data @ weight.T + bias - expected.numpy()) <= 1.01 * error).all()


def test_features_come_back_from_disk(tmp_path):
    features = extract_features(Network("tiny"), IMAGES, TABLES["val"].image_id, COMPUTE)
    features.save(tmp_path / "features")
    again = KeyedArray.open(tmp_path / "features")
    np.testing.assert_array_equal(again.data, features.data)


def test_an_image_that_is_not_packed_is_an_error():
    with pytest.raises(InputError, match="1 of 1 requested images are not in it"):
        extract_features(Network("tiny"), IMAGES, ["elsewhere"], COMPUTE)


def test_predictions_are_the_networks_own_in_the_order_of_the_loader():
    network = Network("tiny", 6).double().eval()
    ids = TABLES["val"].image_id
    outputs, doubled = predict(
        network, lambda x: (network(x), 2 * network(x)), BatchLoader(IMAGES, ids), 5
    )
    with torch.no_grad():
        expected = network(torch.from_numpy(IMAGES.take(ids)))
    np.testing.assert_allclose(outputs, expected, rtol=1.01 * HALF_ULP)
    np.testing.assert_allclose(doubled, 2 * outputs, rtol=2.02 * HALF_ULP)
