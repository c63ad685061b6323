"""Load this model, and images for it, with torch, torchvision, safetensors and Pillow alone.

    from modeling import load, read_images
    model = load(".")
    outputs = model(read_images(["chest.jpg", "chest.dcm"]))  # one row an image

Research use alone; not for clinical use. README.md says what the outputs are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from cxrfmkd.datasets.decoding import decode


class ChestXrayModel(nn.Module):
    """torchvision's network for one grey channel, and linear layers in place of its classifier.

    config: config.json; preprocessing: preprocessor_config.json.
    """

    def __init__(self, config: dict, preprocessing: dict) -> None:
        super().__init__()
        self.config, self.preprocessing = config, preprocessing
        self.network = torchvision.models.get_model(config["backbone"], weights=None)
        old = self.network.get_submodule(config["stem"])
        shape = {k: getattr(old, k) for k in ("out_channels", "kernel_size", "stride", "padding")}
        stem = nn.Conv2d(1, **shape, bias=old.bias is not None)
        self.network.set_submodule(config["stem"], stem)
        layers = [nn.Linear(*sizes) for sizes in config["layers"]]
        classifier = layers[0] if len(layers) == 1 else nn.Sequential(*layers)
        self.network.set_submodule(config["classifier"], classifier)

    def forward(self, images: Tensor) -> Tensor:
        """images: (n, h, w) or (n, 1, h, w), uint8 or float of 0-255 -> (n, outputs)."""
        images = images.unsqueeze(1) if images.ndim == 3 else images
        images = images.float()
        if self.preprocessing["do_rescale"]:
            images = images * self.preprocessing["rescale_factor"]
        if self.preprocessing["do_normalize"]:
            mean, deviation = self.preprocessing["image_mean"], self.preprocessing["image_std"]
            images = (images - mean[0]) / deviation[0]
        if (side := self.config["fixed_size"]) and images.shape[-2:] != (side, side):
            images = nn.functional.interpolate(
                images, (side, side), mode="bilinear", antialias=True
            )
        return self.network(images)


def load(folder: str | Path = ".") -> ChestXrayModel:
    """The model in `folder`, in eval mode on the CPU."""
    folder = Path(folder)
    texts = [(folder / name).read_text() for name in ("config.json", "preprocessor_config.json")]
    model = ChestXrayModel(*map(json.loads, texts))
    model.network.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval()


def read_images(paths: Sequence[str | Path], folder: str | Path = ".") -> Tensor:
    """JPEG, PNG, TIFF or DICOM (with pydicom) files as the network's input: uint8 (n, h, w).

    Grey, squashed or padded to the size in `folder`/preprocessor_config.json. Raises ValueError
    for a file that cannot be read.
    """
    settings = json.loads((Path(folder) / "preprocessor_config.json").read_text())
    size, aspect = settings["size"]["height"], settings["aspect"]
    squares = [decode(Path(path), size, aspect).pixels for path in paths]
    return torch.from_numpy(np.stack(squares))
