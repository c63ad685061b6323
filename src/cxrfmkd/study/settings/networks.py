"""Settings that students and classifiers have in common."""

from __future__ import annotations

from typing import Literal

from cxrfmkd.study.settings.base import Settings


class Network(Settings):
    """What a network starts from and how it computes."""

    weights: str = "imagenet"
    """initial weights: `imagenet` (torchvision's), `none` (random), or a folder with
    <architecture>.safetensors or .pth files"""
    input: Literal["normalised", "raw"] = "normalised"
    """`normalised`: scaled to 0-1 and standardised; `raw`: 0-255, as the thesis"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 autocast on a GPU, fp32 on a CPU; `fp32`: everywhere, as the thesis, with
    TF32 turned off; `bf16`: autocast on a CPU too"""
    compile: bool = False
    """compile the training step with torch.compile, which needs a C compiler: on a GPU minutes
    once for each network and batch size, half a minute in later trainings, and then up to twice
    the speed"""
    deterministic: bool = False
    """choose deterministic algorithms, at some cost in speed"""


class NetworkSection(Network):
    """What students and classifiers have in common."""

    device: Literal["auto", "cuda", "cpu"] = "auto"
    """`auto`, `cuda` or `cpu`"""
    tensorboard: bool = False
    """write every training's history as TensorBoard events too, below `tensorboard` in the folder
    of logs; needs the extra of that name"""
