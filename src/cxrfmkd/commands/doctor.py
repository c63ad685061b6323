r"""Check what a study depends on: software, GPUs, and a teacher's SavedModel before a long run.

Without --model it prints the versions and what torch and TensorFlow see of the GPU. With --model it
loads the teacher and prints its signature, how its graph decodes images, whether it can be trusted
with a batch, whether different images get different embeddings, and how long your images will take.
A model that is no SavedModel is named by its --source.

With --configfile or --config it looks at all that the study needs, before anything runs, and lists
every problem: settings (with file and line), folders and raw tables, the records that they yield,
the teacher's vectors for a sample of images, initial weights, disk, memory, and the partitions of
the SLURM profile. It ends with status 2 where there is one.

    cxrfmkd doctor
    cxrfmkd doctor --configfile config/config.yaml
    cxrfmkd doctor --model models/elixr-c-v2-pooled --variant elixr-c-v2-gap --device gpu \
        --images 220000
    cxrfmkd doctor --model models/rad-dino --source transformers --pooling cls
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.util import find_spec

import numpy as np
from PIL import Image

from cxrfmkd.commands.configuration import add_arguments, read_study
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.provenance import PACKAGES
from cxrfmkd.study.settings import TeacherSource
from cxrfmkd.teacher.encoder import files_fingerprint
from cxrfmkd.teacher.encoders import canary_vectors, open_encoder, takes_batches
from cxrfmkd.teacher.images import canary_images, encode_png
from cxrfmkd.teacher.model import TOKENS, Model, decoders, model_folder
from cxrfmkd.teacher.tensorflow_setup import choose_device, load_tensorflow
from cxrfmkd.vocabulary.teachers import ENCODERS

TOOLS = (*PACKAGES, "tensorflow-text", "protobuf", "snakemake", "pydicom")
SIZE = (2828, 2320)  # an image of CheXpert or MIMIC-CXR, height and width
CALLS = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    add_arguments(parser)
    add = parser.add_argument
    add("--model", help="folder or file of a model to examine")
    add(
        "--source",
        choices=["savedmodel", *ENCODERS],
        default="savedmodel",
        help="what the model is written by (default %(default)s)",
    )
    add("--architecture", default="", help="timm, open-clip: name of the architecture")
    add("--preprocessing", default="", help="torch, onnx: preprocessor_config.json elsewhere")
    add("--pooling", default="mean", help="from the model's output to a vector (default mean)")
    add("--qformer", default="", help="folder of the Q-Former behind it, for elixr-b-*")
    add(
        "--variant",
        default="elixr-c-v2-gap",
        help="what the model is (default %(default)s)",
    )
    add("--device", choices=["cpu", "gpu"], default="cpu", help="where to run it (default cpu)")
    add("--images", type=int, default=220_000, help="to estimate the time of (default 220,000)")


def main(args: argparse.Namespace) -> None:
    """Print the environment, then the study and the model if they are given."""
    for name, value in environment():
        print(f"{name:24} {value}")
    if args.configfile or args.config:
        check_study(args)
    if args.model:
        print()
        for name, value in (examine if args.source == "savedmodel" else examine_encoder)(args):
            print(f"{name:24} {value}", flush=True)


def check_study(args: argparse.Namespace) -> None:
    """Print what was seen of each of the study's needs; InputError that lists all problems."""
    from cxrfmkd.commands.study_check import findings

    print()
    problems = []
    for finding in findings(read_study(args.configfile, args.config)):
        print(f"{finding.about:24} {'' if finding.ok else 'PROBLEM: '}{finding.text}", flush=True)
        problems += [f"{finding.about}: {finding.text}"] * (not finding.ok)
    if problems:
        raise InputError(f"{len(problems)} to mend before it runs:\n  " + "\n  ".join(problems))
    print("\nThe study can run.")


def environment() -> Iterator[tuple[str, str]]:
    """What is installed, and what torch and TensorFlow see of the GPU."""
    yield "Python", platform.python_version()
    for name in TOOLS:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name, "not installed"
    yield "CPU cores", str(len(os.sched_getaffinity(0)))
    torch_gpus = 0
    if find_spec("torch"):
        import torch

        torch_gpus = torch.cuda.device_count()
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch_gpus))
        yield "torch sees", names or f"no GPU (built for CUDA {torch.version.cuda or 'none'})"
    if find_spec("tensorflow"):
        gpus = len(load_tensorflow().config.list_physical_devices("GPU"))
        advice = "; PyTorch's CUDA libraries may be in its way: give it an environment of its own"
        yield "TensorFlow sees", f"{gpus} GPU" if gpus else "no GPU" + advice * bool(torch_gpus)


def examine(args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Everything that section 9 of the teacher's notes leaves to whoever has the weights first."""
    folder = model_folder(args.model)
    qformer = model_folder(args.qformer) if args.variant in TOKENS and args.qformer else None
    yield "model", str(folder)
    yield "fingerprint", files_fingerprint(folder)
    choose_device(load_tensorflow(), args.device)
    model = Model(folder, args.variant, qformer=qformer)
    for name, tensor in model.signature.structured_input_signature[1].items():
        yield "takes", f"{name}: {tensor.dtype.name} {tensor.shape}"
    for name, tensor in model.signature.structured_outputs.items():
        yield "gives", f"{name}: {tensor.dtype.name} {tensor.shape}"
    for operation, dtype in decoders(model):
        yield "decodes with", f"{operation} to {dtype}"
    yield (
        "embedding",
        f"{len(model.canaries[0])} numbers; two different images differ, as they must",
    )
    refusal = "one image a call (of two images, it does not embed both)"
    yield "batches", "any size" if model.takes_batches else refusal
    yield "8-bit values in 16 bits", _low_range(model)
    png = encode_png(full_size_image())
    yield from _times(lambda: model.vector(png), args)


def examine_encoder(args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """What an image encoder is, and whether it sees what it is given."""
    settings = {
        "source": args.source,
        "path": args.model,
        "variant": "examined",
        "model": args.architecture,
        "preprocessing": args.preprocessing,
        "pooling": args.pooling,
        "device": args.device,
    }
    encoder = open_encoder(TeacherSource.read(settings, "--"))
    for name, value in encoder.identity.items():
        yield name, value if isinstance(value, str) else json.dumps(value)
    canaries = canary_vectors(encoder, args.model)
    yield "embedding", f"{len(canaries[0])} numbers; two different images differ, as they must"
    refusal = "one image a call (of two images, it does not embed both alike)"
    yield "batches", "any size" if takes_batches(encoder, canaries) else refusal
    image = Image.fromarray(full_size_image())
    yield from _times(lambda: encoder([image]), args)


def _low_range(model: Model) -> str:
    """What the model makes of images as newer clients send them. This package never does."""
    image = canary_images()[1]
    low = model.tf.io.encode_png(image[..., None].astype(np.uint16)).numpy()
    if np.allclose(model.vector(low), model.canaries[1], rtol=1e-3, atol=1e-3):
        return "decoded as they are"
    return (
        "black to this graph: do not use files or clients that write them (this package "
        "stretches them)"
    )


def full_size_image() -> np.ndarray:
    """An image as large as those of the datasets: shape SIZE, uint8."""
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    return ((x // 9 + y // 11) % 256).astype(np.uint8)


def _times(call: Callable[[], object], args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Median time of a call with one image of full size, and what follows for all images."""
    call()
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    seconds = float(np.median(times))
    yield "time per image", f"{seconds:.3f} s at {SIZE[1]} x {SIZE[0]} pixels on the {args.device}"
    yield (
        f"time for {args.images:,} images",
        f"{seconds * args.images / 3600:.1f} h on one {args.device}",
    )
