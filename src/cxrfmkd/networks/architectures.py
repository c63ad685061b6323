"""Backbones of torchvision with one input channel, and the weights that they start from.

The first convolution holds the sum of the three channels' weights, which gives the numbers that an
image copied to three channels would give. Source: thesis method, sections 1.2 and 3.3.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from cxrfmkd.runtime.errors import InputError


@dataclass(frozen=True)
class Architecture:
    """How to build an image network, and the names of its first convolution and its classifier."""

    build: Callable[[], nn.Module]
    stem: str
    classifier: str


ARCHITECTURES = {
    "densenet169": Architecture(torchvision.models.densenet169, "features.conv0", "classifier"),
    "densenet121": Architecture(torchvision.models.densenet121, "features.conv0", "classifier"),
    "resnet50": Architecture(torchvision.models.resnet50, "conv1", "fc"),
}


def initial_weights(architecture: str, weights: str) -> dict[str, Tensor]:
    """Weights of a backbone under torchvision's names, its classifier left out, its stem with one
    channel.

    weights: `imagenet` for torchvision's default ones (downloaded once into torch's cache), or a
    folder with <architecture>.safetensors or <architecture>*.pth, of three channels or one.
    """
    found = (
        _imagenet(architecture) if weights == "imagenet" else _from_folder(architecture, weights)
    )
    kind = ARCHITECTURES[architecture]
    state = {
        _present_name(name): value
        for name, value in found.items()
        if not name.startswith(f"{kind.classifier}.")
    }
    stem = f"{kind.stem}.weight"
    if stem in state:
        state[stem] = state[stem].sum(1, keepdim=True)
    return state


def _imagenet(architecture: str) -> dict[str, Tensor]:
    url = torchvision.models.get_model_weights(architecture).DEFAULT.url
    name = url.rpartition("/")[2]
    cache = Path(torch.hub.get_dir()) / "checkpoints" / name
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)
    try:
        return torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"network.weights: the ImageNet weights of {architecture} could not be fetched "
            f"({error}). "
            f"On a machine with internet access, download {url} and put it at {cache}, or put it "
            "into a folder of "
            "your choice and set network.weights to that folder; `network.weights: none` starts "
            "from random weights."
        ) from None
    finally:
        socket.setdefaulttimeout(patience)


def _from_folder(architecture: str, folder: str) -> dict[str, Tensor]:
    places = [
        Path(folder) / f"{architecture}.safetensors",
        *sorted(Path(folder).glob(f"{architecture}*.pth")),
    ]
    for place in places:
        if place.exists() and place.suffix == ".safetensors":
            return load_file(place)
        if place.exists():
            return torch.load(place, map_location="cpu", weights_only=True)
    raise InputError(
        f"network.weights: {folder} has neither {architecture}.safetensors nor "
        f"{architecture}*.pth. Put "
        f"{torchvision.models.get_model_weights(architecture).DEFAULT.url} there, or weights of "
        "your own."
    )


def _present_name(name: str) -> str:
    """Torchvision's DenseNet files still say `norm.1` where its code says `norm1`."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)


def one_channel_backbone(name: str) -> tuple[nn.Module, int]:
    """A torchvision network without its classifier and with a one-channel stem; width of its pooled output."""
    kind = ARCHITECTURES[name]
    backbone = kind.build()
    width = getattr(backbone, kind.classifier).in_features
    setattr(backbone, kind.classifier, nn.Identity())
    three = backbone.get_submodule(kind.stem)
    stem = nn.Conv2d(
        1, three.out_channels, three.kernel_size, three.stride, three.padding, bias=False
    )
    stem.weight = nn.Parameter(three.weight.detach().sum(1, keepdim=True))
    parent, _, last = kind.stem.rpartition(".")
    setattr(backbone.get_submodule(parent), last, stem)
    return backbone, width
