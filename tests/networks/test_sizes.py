"""Sizes of backbones, against counts by hand."""

from __future__ import annotations

import pytest
import torch
import torchvision
from made_images import add_tiny_backbone
from torch import nn

from cxrfmkd.networks.sizes import COLUMNS, measure_sizes

add_tiny_backbone()


def operations_by_hand(network: nn.Module, image: torch.Tensor) -> int:
    """Twice the multiplications of every convolution and linear layer."""
    total = 0

    def count(layer, inputs, output):
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            h, w = layer.kernel_size
            total += 2 * output.numel() * layer.in_channels // layer.groups * h * w
        elif isinstance(layer, nn.Linear):
            total += 2 * output.numel() * layer.in_features

    for layer in network.modules():
        layer.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(image)
    return total


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet18"])
def test_parameters_and_operations_are_those_of_a_count_by_hand(name):
    (row,) = measure_sizes([name], 64, 6, seconds=0.0).to_dict("records")
    theirs = torchvision.models.get_model(name)
    first = next(layer for layer in theirs.modules() if isinstance(layer, nn.Conv2d))
    path = next(n for n, layer in theirs.named_modules() if layer is first)
    shape = (first.out_channels, first.kernel_size, first.stride, first.padding)
    theirs.set_submodule(path, nn.Conv2d(1, *shape, bias=False))
    path, last = [(n, m) for n, m in theirs.named_modules() if isinstance(m, nn.Linear)][-1]
    theirs.set_submodule(path, nn.Linear(last.in_features, 6))
    assert row["parameters"] == sum(p.numel() for p in theirs.parameters())
    expected = operations_by_hand(theirs, torch.zeros(1, 1, 64, 64))
    assert row["gflops"] == pytest.approx(expected / 1e9, rel=1e-9)


def test_every_backbone_is_timed():
    table = measure_sizes(["tiny", "tiny"], 32, 6, seconds=0.01)
    assert list(table.columns) == COLUMNS
    assert (table.images_per_second > 0).all()
