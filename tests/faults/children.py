"""The workflow's scripts in processes that start in a moment, so that they can be killed.

A server that has imported everything forks one process a job. It computes nothing itself, so no
thread is lost by the fork.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import runpy
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from locations import SCRIPTS

MODULES = [
    "children",
    "made_images",
    "cxrfmkd.assessment.controls",
    "cxrfmkd.bias.analysis",
    "cxrfmkd.bias.summary",
    "cxrfmkd.datasets.images",
    "cxrfmkd.datasets.sampling",
    "cxrfmkd.evaluation.analysis",
    "cxrfmkd.figures.drawing",
    "cxrfmkd.networks.features",
    "cxrfmkd.probing.runs",
    "cxrfmkd.report.page",
    "cxrfmkd.tables.against_thesis",
    "cxrfmkd.teacher.embedding",
    "cxrfmkd.tradeoff.correlation",
    "cxrfmkd.training.distillation",
    "pandera.pandas",
    "scipy.stats",
    "warm",
]
LIMIT = 900.0  # seconds; whatever takes longer hangs
PROCESSOR = 60  # seconds of a processor that no job may need, whatever the fault
NOBODY = 65534


@dataclass(frozen=True)
class End:
    """How a process ended: its exit status (negative for a signal), and all that it said."""

    status: int
    said: str
    seconds: float


def server() -> multiprocessing.context.ForkServerContext:
    """The server's context; the server starts with the first process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(MODULES)
    return context


class Child:
    """A script at work in a folder. words: its arguments."""

    def __init__(self, script: str, words: list[str], folder: Path, **limits: int) -> None:
        folder.with_suffix(".said").parent.mkdir(exist_ok=True)
        self.said = folder.with_name(f"{folder.name}.{time.monotonic_ns()}.said")
        self.started = time.monotonic()
        arguments = (script, words, str(folder), str(self.said), limits)
        self.process = server().Process(target=_work, args=arguments)
        self.process.start()

    def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.process.is_alive():
            os.kill(self.process.pid, number)

    def end(self) -> End:
        """Wait until it has ended; a process that hangs is an error."""
        self.process.join(LIMIT)
        seconds = time.monotonic() - self.started
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise AssertionError(f"it hung for {seconds:.0f} s: {self.said.read_text()[-2000:]}")
        said = self.said.read_text(errors="replace") if self.said.exists() else ""
        return End(self.process.exitcode, said, seconds)


def _work(script: str, words: list[str], folder: str, said: str, limits: dict[str, int]) -> None:
    """Run a script as `python script words` in `folder` would."""
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(output, 1)
    os.dup2(output, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR, PROCESSOR))
    if size := limits.get("file_size"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    if limits.get("nobody") and os.geteuid() == 0:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    import made_images

    made_images.add_tiny_backbone()
    path = Path(SCRIPTS, f"{script}.py")
    sys.argv = [str(path), *words]
    runpy.run_path(str(path), run_name="__main__")
