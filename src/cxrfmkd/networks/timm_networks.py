"""The networks of timm as backbones, under its names with `timm_` in front."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from torch import Tensor, nn

from cxrfmkd.runtime.errors import InputError, did_you_mean
from cxrfmkd.vocabulary.backbones import TIMM


class TimmNetworks(Mapping[str, Callable[[], nn.Module]]):
    """What builds each of timm's networks; it is looked for once it is asked for."""

    def __getitem__(self, name: str) -> Callable[[], nn.Module]:
        if not str(name).startswith(TIMM):
            raise KeyError(name)
        return partial(make, name)

    def __iter__(self) -> Iterator[str]:
        return iter(())  # timm has a thousand, and is not always installed

    def __len__(self) -> int:
        return 0


def make(name: str, pretrained: bool = False) -> nn.Module:
    """The network `name` of random weights or timm's own, with three channels.

    Raises InputError where timm is not installed, has no such network, or where that does not begin
    with one convolution and end with a linear layer.
    """
    timm = _timm()
    known = timm.list_models()
    own = name.removeprefix(TIMM)
    if own not in known:
        hint = did_you_mean(name, [TIMM + one for one in known], 3, mark="")
        raise InputError(f"distillation.backbones: timm has no network {own}.{hint}")
    network = timm.create_model(own, pretrained=pretrained)
    layers = list(network.named_modules())
    ends = {
        "first_conv": next((n for n, one in layers if isinstance(one, nn.Conv2d)), None),
        "classifier": next((n for n, one in layers[::-1] if isinstance(one, nn.Linear)), None),
    }
    if any(network.pretrained_cfg.get(key) != found for key, found in ends.items()):
        raise InputError(
            f"distillation.backbones: {name} does not begin with one convolution and end with a "
            "linear layer, which are replaced in a backbone. Choose another network."
        )
    return network


def pretrained(name: str) -> dict[str, Tensor]:
    """The weights that timm publishes for a network; InputError where they cannot be fetched."""
    try:
        return make(name, pretrained=True).state_dict()
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"network.weights: timm's weights of {name} could not be fetched "
            f"({str(error).splitlines()[0]}). Put them, under timm's names, into a folder as "
            f"{name}.safetensors and set network.weights to it; `none` starts from random weights."
        ) from None


def fixed_side(network: Any) -> int | None:
    """Side of the square that a network of timm takes, in pixels; None where it takes any."""
    facts = getattr(network, "pretrained_cfg", {})
    return facts["input_size"][-1] if facts.get("fixed_input_size") else None


def _timm() -> Any:
    if find_spec("timm") is None:
        raise InputError(
            "distillation.backbones: timm is not installed. Install the extra: pip install "
            "'cxrfmkd[teachers]', or `make teachers` in a checkout."
        )
    return import_module("timm")
