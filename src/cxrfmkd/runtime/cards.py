"""One GPU for each process of a machine that has several: the one with the fewest others on it.

Snakemake counts GPUs (`--resources gpu=2`) and assigns none; a scheduler shows a job its own alone,
and there is nothing to choose.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from itertools import count
from pathlib import Path
from typing import IO

VISIBLE = "CUDA_VISIBLE_DEVICES"
# A folder for each card that NVIDIA's driver knows.
DRIVER = Path("/proc/driver/nvidia/gpus")
# The lock of the claimed card, open until the process ends.
_claims: list[IO[str]] = []


def cards() -> list[str]:
    """The cards that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if VISIBLE in os.environ:
        return [name for name in os.environ[VISIBLE].split(",") if name]
    return [str(number) for number, _ in enumerate(DRIVER.glob("*"))]


def claim() -> None:
    """Let this process see one card of several, before anything in it has asked for CUDA.

    It is the first that no process of this user has claimed; else one that has the fewest claims.
    A claim ends with its process, however that ends.
    """
    names = cards()
    if _claims or len(names) < 2:
        return
    folder = Path(tempfile.gettempdir(), f"cxrfmkd-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    for turn, name in ((turn, name) for turn in count() for name in names):
        lock = open(folder / f"card-{name}-{turn}", "w")  # noqa: SIM115 (held until the end)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _claims.append(lock)
        os.environ[VISIBLE] = name
        return
