"""Export a student as one portable file: images in, embeddings out, with torch alone.

STUDENT is the folder of a run (weights.safetensors, run.json), the folder of its loss or
selected.json (the selected seed). What is written is a program of torch.export that takes uint8
images of one size, any number at a time, and scales them itself; before the file appears, it is
read back and compared with the student on images of noise.

    cxrfmkd export results/chexpert/students/mse --out student.pt2

Elsewhere, with the images packed as in the study (0-255, squashed or padded to the same size):

    program = torch.export.load("student.pt2", extra_files={"about.json": ""})
    embeddings = program.module()(images)  # uint8 (n, 224, 224) -> float32 (n, 1376)
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from cxrfmkd import __version__
from cxrfmkd.networks.weights import selected_weights
from cxrfmkd.runtime import provenance
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import atomic_write, read_json

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cxrfmkd.networks.network import Network

SIZE = 224  # the thesis's, where no packed images tell another
TOLERANCE = 1e-5  # largest difference to the student, relative to its largest number: float32
RUN_FACTS = ("loss", "seed", "finished", "images", "scales", "best", "versions", "code")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    parser.add_argument("student", type=Path, help="a student's folder, weights or selected.json")
    parser.add_argument("--out", type=Path, required=True, help="file to write, named .pt2")
    parser.add_argument(
        "--size",
        type=int,
        help=f"height and width of its images; the study's if they are there, else {SIZE}",
    )


def main(args: argparse.Namespace) -> None:
    """Write the program, and print what it takes and gives."""
    from cxrfmkd.networks.network import load_student

    if args.out.suffix != ".pt2":
        raise InputError(f"--out {args.out}: a program of torch.export is named .pt2.")
    weights = find_weights(args.student)
    student = load_student(weights)
    size = args.size or images_size(weights)
    description = describe(weights, student, size)
    with atomic_write(args.out) as partial:
        difference = write(partial, student, size, description)
    print(
        f"{args.out}: {description['takes']} -> {description['gives']}; largest difference to "
        f"{weights}: {difference:.1g}"
    )


def find_weights(student: Path) -> Path:
    """Find the weights of a student's run, of a loss's selected seed, or of either's file."""
    for name in ("weights.safetensors", "selected.json"):
        if (student / name).is_file():
            return selected_weights(student / name)
    if not student.is_file():
        raise InputError(
            f"{student}: neither weights.safetensors nor selected.json is there. Name a folder "
            "below students/."
        )
    return selected_weights(student)


def images_size(weights: Path) -> int:
    """Size of the packed images in the same dataset's folder, else SIZE."""
    folders = weights.resolve().parents
    packed = folders[3] / "images" / "meta.json" if len(folders) > 3 else None
    meta = read_json(packed) if packed is not None and packed.is_file() else {}
    return meta.get("settings", {}).get("size", SIZE)


def describe(weights: Path, student: Network, size: int) -> dict:
    """The file's about.json: aggregates alone, no path and no image."""
    run = weights.with_name("run.json")
    facts = read_json(run) if run.is_file() else {}
    return {
        "what": "a student that reproduces a teacher's embeddings",
        "takes": f"uint8 (n, {size}, {size}), images of 0-255",
        "gives": f"float32 (n, {_projection(student).out_features}), embeddings",
        "architecture": student.architecture,
        "weights": provenance.sha256(weights),
        "cxrfmkd": __version__,
        "run": {name: facts[name] for name in RUN_FACTS if name in facts},
    }


def write(path: Path, student: Network, size: int, description: dict) -> float:
    """Write the program and return its largest difference to the student.

    Raises InputError if the difference is more than rounding.
    """
    import torch

    example = torch.zeros(2, size, size, dtype=torch.uint8)
    with torch.no_grad():
        program = torch.export.export(
            _portable(student), (example,), dynamic_shapes={"images": {0: torch.export.Dim("n")}}
        )
    torch.export.save(program, path, extra_files={"about.json": json.dumps(description, indent=2)})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given buffer is not writable")
        exported = torch.export.load(path).module()
    noise = torch.Generator().manual_seed(0)
    difference = 0.0
    for n in (1, 3):
        images = torch.randint(0, 256, (n, size, size), dtype=torch.uint8, generator=noise)
        with torch.no_grad():
            expected, embeddings = student(images), exported(images)
        largest = (embeddings - expected).abs().max() / expected.abs().max()
        difference = max(difference, float(largest))
    if not difference <= TOLERANCE:
        raise InputError(
            f"{path.name}: the exported program differs from the student by {difference:.3g} of "
            "its largest number, so it is not written. Another version of torch may do better."
        )
    return difference


def _projection(student: Network) -> nn.Linear:
    if student.projection is None:
        raise ValueError("a network without a projection is no student")
    return student.projection


def _portable(student: Network) -> nn.Module:
    """The student's layers alone, in one module: a program of its own cannot hold autocasting."""
    from torch import nn

    class Portable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.student = student

        def forward(self, images: Tensor) -> Tensor:
            return _projection(self.student)(self.student.features(images))

    return Portable().eval()
