"""What every image encoder that torch or onnxruntime runs has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cxrfmkd.runtime.cards import claim
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import describe_file
from cxrfmkd.runtime.provenance import fingerprint
from cxrfmkd.runtime.seals import sha256
from cxrfmkd.study.settings import TeacherSource


class Encoder(ABC):
    """An image encoder of one library, loaded.

    identity: what decides its vectors (files, versions, preprocessing), JSON-serialisable.
    """

    identity: dict[str, Any]

    @abstractmethod
    def __call__(self, images: Sequence[Image.Image]) -> np.ndarray:
        """images: greyscale, 8 bit, any size -> (n, dimension), float32.

        Raises RuntimeError or ValueError for what the model refuses.
        """


def library(name: str, distribution: str) -> Any:
    """Import a library of the extra `teachers`; raises InputError where it is not installed."""
    if find_spec(name) is None:
        raise InputError(
            f"this teacher needs {distribution}, which is not installed. Install the extra: "
            "pip install 'cxrfmkd[teachers]', or `make teachers` in a checkout."
        )
    return import_module(name)


def torch_device(name: str) -> Any:
    """The device `cpu` or `gpu` of the settings; raises InputError for a GPU that is not there."""
    import torch

    if name == "gpu":
        claim()  # before torch looks for a card
    if name == "gpu" and not torch.cuda.is_available():
        raise InputError(
            "teacher.device is gpu, but torch sees no GPU here. Set it to cpu, or ask the "
            "scheduler for one."
        )
    return torch.device("cuda" if name == "gpu" else "cpu")


def files_fingerprint(path: Path) -> str:
    """Hash of a file, or of every file of a folder.

    A SavedModel's `fingerprint.pb`, which differs at each saving, does not count.
    """
    if path.is_file():
        return sha256(path)
    files = (file for file in path.rglob("*") if file.is_file())
    contents = {str(file.relative_to(path)): sha256(file) for file in files}
    contents.pop("fingerprint.pb", None)
    return fingerprint(contents)


def only_path(settings: TeacherSource) -> Path:
    """The one file or folder of a model; raises InputError for several."""
    if len(settings.path) != 1:
        raise InputError(f"teacher.path has {len(settings.path)} entries; a model is one.")
    return Path(settings.path[0])


def check_weights(path: Path, suffixes: Sequence[str] = (".safetensors",)) -> None:
    """Raises InputError unless a file is there and may be read: no pickle, no download gone bad."""
    if not path.is_file():
        raise InputError(
            f"{path}: there is no such file. Fetch it on a machine with internet access, and set "
            "teacher.path to it."
        )
    if path.suffix.lower() not in suffixes:
        raise InputError(
            f"{path}: weights must be {' or '.join(suffixes)}. Other formats hold Python pickles, "
            "which could run any code; safetensors.torch.save_file writes tensors alone."
        )
    if kind := describe_file(path, binary=path.suffix == ".safetensors"):
        raise InputError(f"{path}: the file is {kind}. Fetch it again.")


def pool_outputs(outputs: np.ndarray, pooling: str, prefix: int = 0) -> np.ndarray:
    """A model's outputs to one vector an image: shape (n, dimension), float32.

    outputs: (n, dimension), tokens (n, tokens, dimension) or a map (n, dimension, height, width).
    pooling: `mean` over map or tokens without the first `prefix` of them, `cls` for the first
    token, `flatten` for all numbers. Means are taken in float64.
    """
    outputs = np.asarray(outputs)
    if pooling == "flatten":
        outputs = outputs.reshape(len(outputs), -1)
    elif outputs.ndim == 4:
        outputs = outputs.mean((2, 3), dtype=np.float64)
    elif outputs.ndim == 3 and pooling == "cls":
        outputs = outputs[:, 0]
    elif outputs.ndim == 3:
        outputs = outputs[:, prefix:].mean(1, dtype=np.float64)
    if outputs.ndim != 2:
        raise ValueError(f"outputs of shape {outputs.shape} are no vector, tokens or map an image")
    return np.ascontiguousarray(outputs, np.float32)
