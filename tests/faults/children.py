"""The workflow's scripts in processes that start in a moment, so that they can be killed.

A server that has imported everything forks one process a job. It computes nothing itself, so no
thread is lost by the fork.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import runpy
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
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


# Operations of Python on files, as its audit events call them.
OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}


@dataclass(frozen=True)
class End:
    """How a process ended: its exit status (negative for a signal), and all that it said.

    operations: on files of the study, as far as it got to its end by itself.
    """

    status: int
    said: str
    operations: int


def server() -> multiprocessing.context.ForkServerContext:
    """The server's context; the server starts with the first process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(MODULES)
    return context


class Child:
    """A script at work in a folder. words: its arguments.

    limits: `file_size` in bytes; `nobody`, to run as a user who owns nothing; `signal`, which it
    gets at its operation number `at` on a file of the study, so that the moment does not depend on
    the machine.
    """

    def __init__(self, script: str, words: list[str], folder: Path, **limits: int) -> None:
        self.counted = folder.with_name(f"{folder.name}.{time.monotonic_ns()}.operations")
        # A pipe, since no limit on the size of files holds for it.
        self.receiver, sender = server().Pipe(duplex=False)
        arguments = (script, words, str(folder), sender, str(self.counted), limits)
        self.process = server().Process(target=_work, args=arguments)
        self.process.start()
        sender.close()

    def end(self) -> End:
        """Wait until it has ended; a process that hangs is an error."""
        content, ended = b"", time.monotonic() + LIMIT
        while select.select([self.receiver], [], [], max(0.0, ended - time.monotonic()))[0]:
            block = os.read(self.receiver.fileno(), 1 << 16)
            if not block:
                break
            content += block
        self.receiver.close()
        self.process.join(max(1.0, ended - time.monotonic()))
        said = content.decode(errors="replace")
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise AssertionError(f"it hung for {LIMIT:.0f} s: {said[-2000:]}")
        operations = int(self.counted.read_text()) if self.counted.exists() else 0
        return End(self.process.exitcode, said, operations)


def _work(
    script: str,
    words: list[str],
    folder: str,
    sender: Connection,
    counted: str,
    limits: dict[str, int],
) -> None:
    """Run a script as `python script words` in `folder` would."""
    os.dup2(sender.fileno(), 1)
    os.dup2(sender.fileno(), 2)
    sender.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR, PROCESSOR))
    if size := limits.get("file_size"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    if limits.get("nobody") and os.geteuid() == 0:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    import made_images

    from cxrfmkd.runtime import arguments

    made_images.add_tiny_backbone()
    path = Path(SCRIPTS, f"{script}.py")
    sys.argv = [str(path), *words]
    run = arguments.run

    def counted_run(main: Callable[[], None]) -> None:
        """The script's own `run`; operations on files count from its `main` on."""

        def counted_main() -> None:
            operations = count_operations(Path(folder), limits.get("at", 0), limits.get("signal"))
            main()
            Path(counted).write_text(str(len(operations)))

        run(counted_main)

    arguments.run = counted_run
    runpy.run_path(str(path), run_name="__main__")


def count_operations(folder: Path, at: int, number: int | None) -> list[str]:
    """A list that grows with every operation on a file below `folder`, in this process.

    At operation `at` the process sends itself the signal `number`.
    """
    seen: list[str] = []

    def look(event: str, arguments: tuple) -> None:
        if event not in OPERATIONS or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if path.startswith(f"{folder}/"):
            seen.append(event)
            if len(seen) == at and number is not None:
                os.kill(os.getpid(), number)

    sys.addaudithook(look)
    return seen
