"""Backbones of torchvision with one input channel, and the weights that they start from.

The first convolution holds the sum of the three channels' weights, which gives the numbers that an
image copied to three channels would give. Source: thesis method, sections 1.2 and 3.3.
"""

from __future__ import annotations

import re
import socket
from collections import ChainMap
from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from cxrfmkd.networks.timm_networks import TimmNetworks, pretrained
from cxrfmkd.networks.weights import UNREADABLE, reading_weights
from cxrfmkd.runtime import plugins
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import describe_file
from cxrfmkd.vocabulary.backbones import BACKBONES, TIMM

REMEDY = (
    "Fetch it again, or set `network.weights: imagenet`, which fetches torchvision's. Of a model "
    "of your own, `torch.save(model.state_dict(), ...)` writes the tensors alone."
)

# What builds each network, of random weights and three channels: torchvision's, then those of
# users' files and of timm.
ARCHITECTURES: MutableMapping[str, Callable[[], nn.Module]] = ChainMap(
    {name: partial(torchvision.models.get_model, name, weights=None) for name in BACKBONES},
    plugins.REGISTERED["backbone"],
    TimmNetworks(),  # type: ignore[arg-type]  # nothing is written to any but the first
)


def empty(name: str) -> AbstractContextManager:
    """Build `name` without numbers, for weights that are loaded next; RegNets need theirs."""
    return nullcontext() if name.startswith("regnet") else torch.device("meta")


def stem_of(network: nn.Module) -> str:
    """Name of the first convolution, the only layer that knows the number of channels."""
    return next(name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d))


def classifier_of(network: nn.Module) -> str:
    """Name of the last linear layer, which gives ImageNet's 1,000 logits."""
    linear = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    return linear[-1]


def initial_weights(architecture: str, weights: str) -> dict[str, Tensor]:
    """A backbone's weights under torchvision's names, without classifier, for one input channel.

    weights: `imagenet` for torchvision's default ones (downloaded once into torch's cache) and
    timm's own, or a folder with <architecture>.safetensors or <architecture>*.pth, of three
    channels or one.
    """
    read = _imagenet_weights if weights == "imagenet" else partial(_weights_from, Path(weights))
    with empty(architecture):
        network = ARCHITECTURES[architecture]()
    classifier = classifier_of(network)
    state = {
        _present_name(name): value
        for name, value in read(architecture).items()
        if not name.startswith(f"{classifier}.")
    }
    stem = f"{stem_of(network)}.weight"
    if stem in state:
        state[stem] = state[stem].sum(1, keepdim=True)
    return state


def imagenet_url(architecture: str) -> str:
    """Where torchvision's default weights are; torch keeps them under the address's last part.

    Raises InputError for a network that is not torchvision's.
    """
    if architecture not in BACKBONES:
        raise InputError(
            f"network.weights: {architecture} is a network of yours, for which there are no "
            f"ImageNet weights. Set network.weights to a folder with {architecture}.safetensors, "
            "or to none."
        )
    return torchvision.models.get_model_weights(architecture).DEFAULT.url


def imagenet_file(architecture: str) -> Path:
    """Where torch keeps torchvision's default weights once they are fetched."""
    name = imagenet_url(architecture).rpartition("/")[2]
    return Path(torch.hub.get_dir()) / "checkpoints" / name


def weights_files(folder: Path, architecture: str) -> list[Path]:
    """The files of a folder that hold an architecture's initial weights, the one to use first."""
    files = [folder / f"{architecture}.safetensors", *sorted(folder.glob(f"{architecture}*.pth"))]
    return [file for file in files if file.is_file()]


def _imagenet_weights(architecture: str) -> dict[str, Tensor]:
    if architecture.startswith(TIMM):
        return pretrained(architecture)
    url, cache = imagenet_url(architecture), imagenet_file(architecture)
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
    files = weights_files(folder, architecture)
    if not files:
        raise InputError(
            f"network.weights: {folder} has neither {architecture}.safetensors nor "
            f"{architecture}*.pth. Put weights of your own there"
            + (f", or {imagenet_url(architecture)}." if architecture in BACKBONES else ".")
        )
    path = files[0]
    with reading_weights(path, REMEDY):
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
            raise InputError(f"{path}: it does not hold tensors by name. {REMEDY}")
        return state


def _present_name(name: str) -> str:
    """Torchvision's DenseNet files still say `norm.1` where its code says `norm1`."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)


def one_channel_backbone(name: str) -> tuple[nn.Module, str, int]:
    """A torchvision network without classifier, for one channel.

    Returns it, the name of its first convolution, and the width of its pooled output.
    """
    backbone = ARCHITECTURES[name]()
    classifier, stem = classifier_of(backbone), stem_of(backbone)
    width = cast(nn.Linear, backbone.get_submodule(classifier)).in_features
    backbone.set_submodule(classifier, nn.Identity())
    three = cast(nn.Conv2d, backbone.get_submodule(stem))
    # A new layer, though its random weights are replaced: initial heads are drawn after it.
    shape: dict[str, Any] = {
        name: getattr(three, name) for name in ("out_channels", "kernel_size", "stride", "padding")
    }
    one = nn.Conv2d(1, **shape, bias=three.bias is not None)
    one.weight = nn.Parameter(three.weight.detach().sum(1, keepdim=True))
    if three.bias is not None:
        one.bias = three.bias
    backbone.set_submodule(stem, one)
    return backbone, stem, width
