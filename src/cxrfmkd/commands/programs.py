"""A network as a program: of torch.export, and of ONNX where that is installed.

Either takes uint8 images of one size, any number at a time, and scales them itself. It is read back
and compared with the network on images of noise before its file appears.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from cxrfmkd.networks.network import Network
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import atomic_write

# Largest difference to the network, relative to its largest number: float32 in another order.
TOLERANCE = 1e-5
ONNX_TOLERANCE = 1e-4  # of other kernels
ONNX = ("onnx", "onnxscript", "onnxruntime")


def write_program(path: Path, network: Network, size: int, description: dict) -> float:
    """Write a program of torch.export and return its largest difference to the network.

    It holds no pickle: the images that it was traced with are left out. Raises InputError if the
    difference is more than rounding.
    """
    example = torch.zeros(2, size, size, dtype=torch.uint8)
    with torch.no_grad():
        program = torch.export.export(
            portable(network), (example,), dynamic_shapes={"images": {0: torch.export.Dim("n")}}
        )
    program.example_inputs = None
    with atomic_write(path) as partial:
        about = {"about.json": json.dumps(description, indent=2)}
        torch.export.save(program, partial, extra_files=about)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The given buffer is not writable")
            exported = torch.export.load(partial).module()
        return compare(exported, network, size, TOLERANCE, path)


def onnx_is_installed() -> bool:
    """Whether the extra `onnx` is there."""
    return all(map(find_spec, ONNX))


def write_onnx(path: Path, network: Network, size: int) -> float:
    """Write a program of ONNX and return its largest difference to the network in onnxruntime.

    Raises InputError if the difference is more than that of other kernels.
    """
    import onnxruntime

    example = torch.zeros(2, size, size, dtype=torch.uint8)
    with atomic_write(path) as partial:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                portable(network),
                (example,),
                str(partial),
                input_names=["images"],
                output_names=["outputs"],
                dynamic_shapes={"images": {0: torch.export.Dim("n")}},
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        session = onnxruntime.InferenceSession(str(partial), providers=["CPUExecutionProvider"])

        def run(images: Tensor) -> Tensor:
            return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])

        return compare(run, network, size, ONNX_TOLERANCE, path)


def compare(
    program: Callable[[Tensor], Tensor],
    network: Network,
    size: int,
    tolerance: float,
    path: Path,
) -> float:
    """The largest difference on noise, relative to the largest number."""
    noise = torch.Generator().manual_seed(0)
    difference = 0.0
    for n in (1, 3):
        images = torch.randint(0, 256, (n, size, size), dtype=torch.uint8, generator=noise)
        with torch.no_grad():
            expected, found = network(images), program(images)
        largest = (found - expected).abs().max() / expected.abs().max()
        difference = max(difference, float(largest))
    if not difference <= tolerance:
        raise InputError(
            f"{path.name}: the exported program differs from the network by {difference:.3g} of "
            "its largest number, so it is not written. Another version of torch may do better."
        )
    return difference


def portable(network: Network) -> nn.Module:
    """The layers alone, in one module: a program of its own cannot hold autocasting."""

    class Portable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> Tensor:
            outputs = self.network.features(images)
            for layer in (self.network.projection, self.network.head):
                outputs = outputs if layer is None else layer(outputs)
            return outputs

    return Portable().eval()
