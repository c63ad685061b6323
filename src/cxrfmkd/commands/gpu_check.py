r"""Check this machine's GPU and measure how fast it trains; it takes some minutes.

Every fast path of training (bf16, compilation, channels last, images on the device, read-ahead,
augmentation there, the fused Adam) is compared with the plain fp32 way within a stated bound. Then
images a second of every network are measured, and of the thesis's own loop beside ours. The rates
of a GPU are written to resources/rates.json, from which `cxrfmkd cost` and the time limits of jobs
take them; those of a CPU only where --out says so. Ends with status 1 where a path is beyond its
bound.

    cxrfmkd gpu-check
    srun --gres=gpu:1 cxrfmkd gpu-check          # on a cluster, from the login node
    cxrfmkd gpu-check --device cpu --out cpu.json
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import numpy as np

from cxrfmkd import __version__
from cxrfmkd.commands.options import output_file
from cxrfmkd.runtime import provenance
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.files import write_json
from cxrfmkd.study.rates import RATES, Rates
from cxrfmkd.vocabulary.models import MODELS, STUDENT

if TYPE_CHECKING:
    import torch

    from cxrfmkd.networks.batches import Feeding
    from cxrfmkd.runtime.arrays import KeyedArray
    from cxrfmkd.study.settings import Network as Compute
    from cxrfmkd.training.fast_paths import Check

    Stored = tuple[KeyedArray, np.ndarray]  # images in a file, and a vector for each

# What a study trains by default; the student's first.
NETWORKS = [STUDENT, *sorted({model.backbone for model in MODELS.values()} - {STUDENT, "teacher"})]
# Image size, batch and seconds of each measurement.
DEFAULTS = {"cuda": (224, 128, 6.0), "cpu": (64, 8, 3.0)}
BATCHES = 20  # of images that lie in files for the loops
WORKERS = 4  # the thesis's processes that read images
WORTHWHILE = 1.2  # times as fast, from which on compilation is advised


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to `parser`."""
    add = parser.add_argument
    add("--device", choices=["cuda", "cpu"], default="cuda", help="default %(default)s")
    add("--size", type=int, help="height and width of the images (default 224; on a CPU 64)")
    add("--batch-size", type=int, help="images in a batch (default 128; on a CPU 8)")
    add("--seconds", type=float, help="of each measurement (default 6; on a CPU 3)")
    add(
        "--networks",
        nargs="+",
        default=NETWORKS,
        help="the first is checked (default: %(default)s)",
    )
    add(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="check torch.compile too (default: on a GPU)",
    )
    add("--out", type=output_file, help=f"file to write (default: {RATES}; on a CPU none)")


def main(args: argparse.Namespace) -> None:
    """Print checks and rates, write the file; status 1 where a check failed."""
    from cxrfmkd.networks.architectures import ARCHITECTURES
    from cxrfmkd.networks.devices import device_name, pick_device
    from cxrfmkd.training.speed import stored_images

    if unknown := [name for name in args.networks if name not in ARCHITECTURES]:
        raise InputError(
            f"--networks {unknown[0]}: there is no such network. There are "
            f"{some(ARCHITECTURES, 90)}."
        )
    device = pick_device(args.device)
    size, batch, seconds = DEFAULTS[device.type]
    args.size, args.batch_size = args.size or size, args.batch_size or batch
    args.seconds = args.seconds or seconds
    args.compile = device.type == "cuda" if args.compile is None else args.compile
    args.out = args.out or (RATES if device.type == "cuda" else None)
    print(f"{device_name(device)}: images of {args.size} px in batches of {args.batch_size}\n")
    with tempfile.TemporaryDirectory() as checked, tempfile.TemporaryDirectory() as folder:
        rows = check(args, device, Path(checked))
        rates = {"images_per_second": measure_networks(args, device)}
        stored = stored_images(Path(folder), BATCHES * args.batch_size, args.size)
        facts = measure_loops(args, device, Path(folder), stored)
        rate = rates["images_per_second"][args.networks[0]]
        print(
            f"Ours is {rate / facts['thesis_loop_images_per_second']:.1f} times the thesis's loop."
        )
        write(args, device, rows, rates, facts)
        if args.compile:
            check_compiled(args, device, Path(checked), stored, rows, facts)
            compiled = facts["compiled_images_per_second"]
            rates["compiled_images_per_second"] = {args.networks[0]: compiled}
            write(args, device, rows, rates, facts)
            print(advice(compiled / rate, facts["compile_seconds"]))
    if failed := [row["name"] for row in rows if not row["ok"]]:
        print(
            f"Beyond their bound: {'; '.join(map(str, failed))}. Results of this machine may "
            "differ; set network.precision: fp32 and network.compile: false to do without."
        )
        raise SystemExit(1)


def write(
    args: argparse.Namespace, device: torch.device, rows: list[dict], rates: dict, facts: dict
) -> None:
    """Write what is known to `args.out`, if it names a file. rates: those that `Rates` has."""
    from cxrfmkd.networks.devices import device_name

    content = {
        "device": device_name(device),
        "measured": provenance.now(),
        "image_size": args.size,
        "batch_size": args.batch_size,
        **rates,
        "checks": rows,
        "facts": facts | provenance.versions(("torch", "torchvision")) | {"cxrfmkd": __version__},
    }
    Rates.read(content)
    if args.out:
        write_json(args.out, content)
        print(f"\nWritten to {args.out}.")


def check(args: argparse.Namespace, device: torch.device, folder: Path) -> list[dict]:
    """The fast paths of the first network but compilation, printed as they come."""
    from cxrfmkd.training.fast_paths import checks

    print(f"{'fast path, beside plain fp32':44} {'difference':>10} {'bound':>9}")
    found = checks(folder, args.networks[0], device, args.size, args.batch_size)
    return [row_of(one) for one in found]


def row_of(one: Check) -> dict:
    """A check's row of the file, which is printed."""
    word = "ok" if one.ok else "TOO FAR"
    print(f"{one.name:44} {one.difference:10.2g} {one.bound:9.2g}  {word}", flush=True)
    # JSON has no NaN.
    difference = one.difference if one.difference == one.difference else -1.0
    return {"name": one.name, "difference": difference, "bound": one.bound, "ok": one.ok}


def check_compiled(
    args: argparse.Namespace,
    device: torch.device,
    folder: Path,
    stored: Stored,
    rows: list[dict],
    facts: dict,
) -> None:
    """Check and measure the first network compiled; adds to `rows` and `facts`."""
    from cxrfmkd.study.settings import Network as Compute
    from cxrfmkd.training.fast_paths import compiled_check

    print("Compiling takes minutes; Ctrl-C leaves it out.", flush=True)
    start = time.perf_counter()
    one = compiled_check(folder, args.networks[0], device, args.size, args.batch_size)
    facts["compile_seconds"] = round(time.perf_counter() - start, 1)
    rows.append(row_of(one))
    facts |= measure_fed(args, device, stored, "compiled", "resident", Compute(compile=True))


def advice(ratio: float, seconds: float) -> str:
    """What it means for a study that a network compiled in so long is so many times as fast."""
    from cxrfmkd.networks.devices import PROGRAMS

    pays = "In studies of long trainings, set network.compile: true."
    return (
        f"Compiled, it is {ratio:.2f} times as fast. Compiling took {seconds:.0f} s; later "
        f"trainings of the same shape find the program in {PROGRAMS}. "
        + (pays if ratio > WORTHWHILE else "Leave network.compile: false.")
    )


def measure_networks(args: argparse.Namespace, device: torch.device) -> dict[str, float]:
    """Images a second of every network, printed as they come."""
    from cxrfmkd.training.speed import network_steps

    print(f"\n{'training':44} {'images/s':>10} {'memory':>10} {'busy':>5}")
    rates = {}
    for name in args.networks:
        steps = network_steps(name, device, args.size, args.batch_size)
        facts = measure(f"{name}, images on the device", steps, device, args.seconds)
        rates[name] = float(facts["images_per_second"])
    return rates


def measure_loops(
    args: argparse.Namespace, device: torch.device, folder: Path, stored: Stored
) -> dict:
    """The first network read ahead from files and in the thesis's way; facts for the file."""
    from cxrfmkd.networks.network import Network
    from cxrfmkd.study.settings import Network as Compute
    from cxrfmkd.training import speed, thesis_loop

    facts = measure_fed(args, device, stored, "read ahead", "read-ahead", Compute())
    name, (images, vectors) = args.networks[0], stored
    thesis_loop.write_one_by_one(folder, np.asarray(images.data), vectors)
    workers = min(WORKERS, len(os.sched_getaffinity(0)))
    model = thesis_loop.ThesisStudent(Network(name, speed.DIMENSION))
    steps = speed.thesis_steps(model, folder, len(vectors), args.batch_size, device, workers)
    measured = measure(f"{name}, the thesis's loop", steps, device, args.seconds)
    return facts | {f"thesis_loop_{key}": value for key, value in measured.items()}


def measure_fed(
    args: argparse.Namespace,
    device: torch.device,
    stored: Stored,
    way: str,
    feeding: Feeding,
    compute: Compute,
) -> dict[str, float]:
    """The first network fed from a file in one way, whose name the facts begin with."""
    from cxrfmkd.networks.batches import BatchLoader
    from cxrfmkd.networks.network import Network
    from cxrfmkd.training import speed

    images, vectors = stored
    loader = BatchLoader(images, images.index.image_id, vectors, device, feeding)
    network = Network(args.networks[0], speed.DIMENSION)
    steps = speed.student_steps(network, loader, args.batch_size, compute)
    measured = measure(f"{args.networks[0]}, {way}", steps, device, args.seconds)
    return {f"{way.replace(' ', '_')}_{key}": value for key, value in measured.items()}


def measure(
    name: str, steps: Generator[int], device: torch.device, seconds: float
) -> dict[str, float]:
    """Print and return images a second, and of a GPU its peak memory in MiB and busy share."""
    import torch

    from cxrfmkd.training.speed import images_per_second

    busy: list[float] = []
    rate = images_per_second(steps, device, seconds, busy_share(device, busy))
    facts = {"images_per_second": round(rate, 1)}
    if device.type == "cuda":
        facts["memory_mb"] = torch.cuda.max_memory_allocated(device) >> 20
        torch.cuda.empty_cache()
    if busy:
        facts["busy_share"] = round(mean(busy), 3)
    memory = f"{facts['memory_mb']} MiB" if "memory_mb" in facts else "-"
    share = f"{facts['busy_share']:.0%}" if busy else "-"
    print(f"{name:44} {rate:10.1f} {memory:>10} {share:>5}", flush=True)
    return facts


@contextmanager
def busy_share(device: torch.device, shares: list[float]) -> Iterator[None]:
    """Shares of time in which the GPU computed, one a second, added when the block ends.

    nvidia-smi is asked for them, no more often, so as not to disturb what is measured. There are
    none without a GPU, without that program, and where the driver does not tell, as on a part of a
    shared card.
    """
    if device.type != "cuda":
        yield
        return
    import torch

    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-l", "1"]
    command = ["nvidia-smi", "-i", uuid, *query]
    try:
        smi = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        smi.terminate()
        shares += utilisation(smi.communicate()[0].decode())


def utilisation(text: str) -> list[float]:
    """Shares from nvidia-smi's lines, each a whole number of per cent or `[N/A]`."""
    return [float(line) / 100 for line in text.split("\n") if line.strip().isdigit()]
