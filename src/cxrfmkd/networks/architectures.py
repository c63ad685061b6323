"""Backbones of torchvision with one input channel, and the weights that they start from.

The first convolution holds the sum of the three channels' weights, which gives the numbers that an
image copied to three channels would give. Source: thesis method, sections 1.2 and 3.3.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from cxrfmkd.networks.weights import UNREADABLE, reading_weights
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import describe_file


@dataclass(frozen=True)
class Architecture:
    """How to build an image network, and the names of its first convolution and its classifier."""

    build: Callable[[], nn.Module]
    stem: str
    classifier: str


REMEDY = (
    "Fetch it again, or set `network.weights: imagenet`, which fetches torchvision's. Of a model "
    "of your own, `torch.save(model.state_dict(), ...)` writes the tensors alone."
)

ARCHITECTURES = {
    "densenet169": Architecture(torchvision.models.densenet169, "features.conv0", "classifier"),
    "densenet121": Architecture(torchvision.models.densenet121, "features.conv0", "classifier"),
    "resnet50": Architecture(torchvision.models.resnet50, "conv1", "fc"),
}


def initial_weights(architecture: str, weights: str) -> dict[str, Tensor]:
    """A backbone's weights under torchvision's names, without classifier, for one input channel.

    weights: `imagenet` for torchvision's default ones (downloaded once into torch's cache), or a
    folder with <architecture>.safetensors or <architecture>*.pth, of three channels or one.
    """
    read = _imagenet_weights if weights == "imagenet" else partial(_weights_from, Path(weights))
    parts = ARCHITECTURES[architecture]
    state = {
        _present_name(name): value
        for name, value in read(architecture).items()
        if not name.startswith(f"{parts.classifier}.")
    }
    stem = f"{parts.stem}.weight"
    if stem in state:
        state[stem] = state[stem].sum(1, keepdim=True)
    return state


def _imagenet_url(architecture: str) -> str:
    return torchvision.models.get_model_weights(architecture).DEFAULT.url


def _imagenet_weights(architecture: str) -> dict[str, Tensor]:
    url = _imagenet_url(architecture)
    cache = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)
    try:
        return torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (OSError, *UNREADABLE) as error:
        reason = f"{cache} is {describe_file(cache) or 'damaged'}" if cache.exists() else error
        raise InputError(
            f"network.weights: the ImageNet weights of {architecture} could not be fetched "
            f"({reason}). On a machine with internet access, download {url} and put it at {cache}, "
            "or put it into a folder of your choice and set network.weights to that folder; "
            "`network.weights: none` starts from random weights."
        ) from None
    finally:
        socket.setdefaulttimeout(timeout)


def _weights_from(folder: Path, architecture: str) -> dict[str, Tensor]:
    if (path := folder / f"{architecture}.safetensors").exists():
        with reading_weights(path, REMEDY):
            return load_file(path)
    for path in sorted(folder.glob(f"{architecture}*.pth")):
        with reading_weights(path, REMEDY):
            state = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(state, dict) or not all(
                isinstance(v, Tensor) for v in state.values()
            ):
                raise InputError(f"{path}: it does not hold tensors by name. {REMEDY}")
            return state
    raise InputError(
        f"network.weights: {folder} has neither {architecture}.safetensors nor "
        f"{architecture}*.pth. Put {_imagenet_url(architecture)} there, or weights of your own."
    )


def _present_name(name: str) -> str:
    """Torchvision's DenseNet files still say `norm.1` where its code says `norm1`."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)


def one_channel_backbone(name: str) -> tuple[nn.Module, int]:
    """A torchvision network without classifier, for one channel, and its pooled output's width."""
    parts = ARCHITECTURES[name]
    backbone = parts.build()
    width = backbone.get_submodule(parts.classifier).in_features
    backbone.set_submodule(parts.classifier, nn.Identity())
    three = cast(nn.Conv2d, backbone.get_submodule(parts.stem))
    # A new layer, though its random weights are replaced: initial heads are drawn after it.
    stem = nn.Conv2d(1, three.out_channels, 7, 2, 3, bias=False)
    stem.weight = nn.Parameter(three.weight.detach().sum(1, keepdim=True))
    backbone.set_submodule(parts.stem, stem)
    return backbone, cast(int, width)
