"""Faults of the running process: stopped, short of disk, in a folder that it may not write, two."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from children import End
from small_study import Job, jobs

JOBS = jobs()
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}
# Every kind of job; a training of a network has its own, with its checkpoints.
STOPPED = ("sample", "pack", "pixels", "resample", "embed", "features", "probe", "direct")
STOPPED += ("select student", "tables", "draw", "report", "training")
# How a job may end that got the signal: a training saves at SIGTERM, and asks to be called again.
ENDS = {
    signal.SIGKILL: {-signal.SIGKILL},
    signal.SIGTERM: {128 + signal.SIGTERM, 75},
    signal.SIGINT: {128 + signal.SIGINT},
}
COUNTED: dict[str, int] = {}
TRAINING = Job(str(Path(__file__).parent / "train_tiny"), {}, {}, ("trained",))


@dataclass(frozen=True)
class Trouble:
    """A fault of a running process. act: what happens; it returns how the last process ended."""

    stage: str
    what: str
    job: Job
    act: Callable[[Job, Path], End]
    outcome: str
    pattern: str = ""

    @property
    def name(self) -> str:
        """What a test is called by."""
        return f"{self.stage}: {self.what}"


def operations(job: Job, folder: Path) -> int:
    """On how many files the job does something, counted once."""
    command = " ".join([job.script, *job.words()])
    if command not in COUNTED:
        COUNTED[command] = job.count_operations(folder)
    return COUNTED[command]


def stopped(number: int) -> Callable[[Job, Path], End]:
    """The job is stopped twice, each time at a random operation on a file; then it runs to its end.

    What it left is in the way of the next start, which may be done before it is stopped.
    """

    def act(job: Job, folder: Path) -> End:
        moments = random.Random(f"{job.script} {number}")
        last = operations(job, folder)
        job.remove_outputs(folder)
        for start in range(2):
            end = job.run(folder, signal=number, at=moments.randint(1, last))
            assert end.status in ENDS[number] | ({0} if start else set()), end
            assert "Traceback" not in end.said, end.said[-3000:]
        return job.run(folder)

    return act


def at_once(job: Job, folder: Path) -> End:
    """Two processes do the same job; one may be refused, then it is the other's to end."""
    job.remove_outputs(folder)
    children = [job.start(folder), job.start(folder)]
    ends = [child.end() for child in children]
    for end in ends:
        assert "Traceback" not in end.said, end.said[-3000:]
        refusal = "another process" in end.said
        assert end.status == 0 or refusal, (end.status, end.said[-2000:])
    assert any(end.status == 0 for end in ends)
    return next(end for end in ends if end.status == 0)


def limited(size: int) -> Callable[[Job, Path], End]:
    """No file may be larger than `size` bytes, as where a quota is used up."""

    def act(job: Job, folder: Path) -> End:
        job.remove_outputs(folder)
        return job.run(folder, file_size=size)

    return act


def forbidden(job: Job, folder: Path) -> End:
    """The job runs as a user who may read the study, and write nothing in it."""
    job.remove_outputs(folder)
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        return job.run(folder, nobody=1)
    finally:
        for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
            path.chmod(0o755)


def in_the_way(job: Job, folder: Path) -> End:
    """A file stands where the job's folder must be."""
    job.remove_outputs(folder)
    parent = (folder / job.outputs[0]).parent
    aside = parent.with_name("aside")
    if parent.exists():
        parent.rename(aside)
    parent.parent.mkdir(parents=True, exist_ok=True)
    parent.write_text("in the way")
    return job.run(folder)


def full(job: Job, folder: Path) -> End:
    """The results lie on a disk of 150 kB; needs the right to mount one."""
    job.remove_outputs(folder)
    target = folder / job.outputs[0]
    target.mkdir(parents=True, exist_ok=True)
    os.system(f"mount -t tmpfs -o size=150k faults '{target}'")
    try:
        filler = target / "filler"
        with open(filler, "wb") as file:
            file.write(b"0" * 140 * 1024)
        return job.run(folder)
    finally:
        os.system(f"umount '{target}'")


def can_mount(folder: Path) -> bool:
    """Whether this process may mount a file system."""
    if os.geteuid() != 0:
        return False
    mounted = os.system(f"mount -t tmpfs -o size=100k faults '{folder}' 2> /dev/null") == 0
    return mounted and os.system(f"umount '{folder}'") == 0


def troubles() -> Iterator[Trouble]:
    """All of them."""
    for kind in STOPPED:
        job = TRAINING if kind == "training" else JOBS[kind]
        for name, number in SIGNALS.items():
            yield Trouble("interruption", f"{name} in {kind}", job, stopped(number), "survived")
    for kind in (
        "sample",
        "pack",
        "resample",
        "embed",
        "probe",
        "select student",
        "tables",
        "draw",
    ):
        yield Trouble("two processes", f"{kind} twice at once", JOBS[kind], at_once, "survived")
    for kind, size in {
        "sample": 2000,
        "pack": 20_000,
        "resample": 100,
        "embed": 600,
        "features": 1000,
        "probe": 1000,
        "direct": 1000,
        "tables": 2000,
        "draw": 5000,
        "report": 20_000,
        "select student": 50,
        "thesis": 500,
    }.items():
        message = "it cannot be written, (the file is larger|the disk is full)"
        yield Trouble(
            "full disk",
            f"no file above {size} bytes in {kind}",
            JOBS[kind],
            limited(size),
            "refused",
            message,
        )
    for kind in ("pack", "embed"):
        yield Trouble(
            "full disk", f"a full disk in {kind}", JOBS[kind], full, "refused", "the disk is full"
        )
    for kind in (
        "sample",
        "pack",
        "embed",
        "features",
        "probe",
        "tables",
        "draw",
        "select student",
    ):
        yield Trouble(
            "read-only folder",
            kind,
            JOBS[kind],
            forbidden,
            "refused",
            "it cannot be written, Permission denied",
        )
    for kind in ("sample", "pack", "probe", "draw"):
        yield Trouble(
            "read-only folder",
            f"a file in the way of {kind}",
            JOBS[kind],
            in_the_way,
            "refused",
            "it cannot be written|Not a directory|there is no such file|no keyed array|File exists",
        )
