"""The device that a network computes on, its precision and its algorithms."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from cxrfmkd.runtime.cards import claim
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Network

# The workflow sets it to network.device, which changes no result and so is not among a rule's
# settings.
VARIABLE = "CXRFMKD_DEVICE"

# Where torch keeps compiled networks, unless its own variable says it: beside what else Snakemake
# keeps of a working directory, so that every node of a cluster finds what one has compiled. In a
# folder whose path has a blank it is torch's own.
PROGRAMS = Path(".snakemake/compiled")


def pick_device(name: str = "auto") -> torch.device:
    """`auto` is what the variable CXRFMKD_DEVICE says, else the GPU where there is one."""
    limit_threads()
    name = os.environ.get(VARIABLE, name) if name == "auto" else name
    if name != "cpu":
        claim()  # before torch looks for a card
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "network.device is cuda, but torch sees no GPU here. Set it to auto or cpu, or ask the "
            "scheduler for one."
        )
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(automatic if name == "auto" else name)


def limit_threads() -> None:
    """Have torch count on no more threads than OpenMP may start, which OMP_THREAD_LIMIT says.

    Where it counts on more, parts of sums are never added: torch 2.11 then computes wrong gradients
    and says nothing.
    """
    limit = os.environ.get("OMP_THREAD_LIMIT", "")
    if limit.isdigit() and 0 < int(limit) < torch.get_num_threads():
        torch.set_num_threads(int(limit))


def device_name(device: torch.device) -> str:
    """The model of the GPU, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def precision(settings: Network, device: torch.device) -> AbstractContextManager:
    """Autocast to bf16, which `auto` means on a GPU alone: a CPU was slower with it."""
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


def compiled(network: nn.Module, settings: Network) -> Callable[[Tensor], Tensor]:
    """The network as it is, or compiled for batches of one size if the settings say so.

    Raises InputError where torch finds no C compiler, which it needs for either device.
    """
    if not settings.compile:
        return network
    names = [name for name in (os.environ.get("CXX"), os.environ.get("CC")) if name]
    if not any(map(shutil.which, [*names, "g++", "gcc", "cc", "clang"])):
        raise InputError(
            "network.compile is true, but there is no C compiler here, which torch.compile needs. "
            "Install one (g++), name it in the variable CXX, or set network.compile: false."
        )
    programs = str(PROGRAMS.absolute())
    if " " not in programs:  # torch does not quote it for the C compiler
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", programs)
    # In CUDA graphs: started one by one, a step's thousands of kernels take longer than they run.
    return torch.compile(network, dynamic=False, mode="reduce-overhead")


@contextmanager
def algorithms(settings: Network) -> Iterator[None]:
    """Deterministic algorithms if the settings say so, else the quickest that cuDNN finds.

    Precision `fp32` is full: cuDNN's convolutions round to TF32 by default, which is turned off.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    rounded = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.use_deterministic_algorithms(settings.deterministic, warn_only=True)
    torch.backends.cudnn.benchmark = not settings.deterministic
    if settings.precision == "fp32":
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = rounded
