"""A copy of the project whose study is sent to a cluster, with the profile as it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cluster import PATIENCE, Cluster, wait_for
from locations import ROOT, TESTS
from rule_texts import rules

# Polling sooner than on a real cluster, where 40 s spare the scheduler; nothing else differs.
TESTED = ("--slurm-init-seconds-before-status-checks", "5")
# Nodes of 16 cores share the few of this machine: threads that wait must not spin.
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
# One file of a rule that trains, and one of a light rule that is in no group.
STUDENT = "results/demo/synthetic-chexpert/students/mse/seed41/weights.safetensors"
PATIENTS = "results/demo/synthetic-chexpert-to-synthetic-mimic/patients.json"
CONFIG = ("config/demo.yaml", "tests/slurm/study.yaml")


@dataclass
class Checkout:
    """A copy of the project with a study in it, on a cluster."""

    folder: Path
    cluster: Cluster
    heads: list[subprocess.Popen] = field(default_factory=list)

    # --- what a user does ------------------------------------------------------------------------

    def command(self, *arguments: str) -> list[str]:
        """The user's command."""
        snakemake = [sys.executable, "-m", "snakemake", "--profile", "profiles/slurm", *TESTED]
        return [*snakemake, "--configfile", *CONFIG, *arguments]

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the workflow to its end; output and errors in `stdout`."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=2 * PATIENCE,
        )

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start the workflow and leave it running; what it says is in `said`."""
        with open(self.folder / "head.log", "w") as log:
            head = subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                # Where the tests run in the background Ctrl-C would be ignored, and inherited so.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        self.heads.append(head)
        return head

    @property
    def said(self) -> str:
        """What the workflow that was started has said."""
        return (self.folder / "head.log").read_text()

    @property
    def environment(self) -> dict[str, str]:
        """Variables of whoever submits: this Python, this checkout, this cluster."""
        path = f"{self.cluster.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        places = {"PYTHONPATH": str(self.folder / "src"), "PATH": path}
        return self.cluster.environment | places | PASSIVE

    # --- what the scheduler says of it -----------------------------------------------------------

    def jobs(self) -> list[dict[str, str]]:
        """Its jobs as sacct reports them."""
        return self.cluster.jobs(self.folder)

    def states(self) -> list[str]:
        """The state of each of its jobs, without by whom one was cancelled."""
        return [job["State"].split()[0] for job in self.jobs()]

    def queue(self) -> list[dict[str, str]]:
        """Its jobs that wait or run."""
        return self.cluster.queue(self.folder)

    def running(self) -> dict[str, str]:
        """Its one job, as soon as the stand-in in it is at work."""
        wait_for(lambda: self.events("started") and self.queue(), "a running job")
        (job,) = self.queue()
        return job

    def ended(self, head: subprocess.Popen) -> int:
        """The exit status of a workflow that was started, when it has come to its end."""
        return head.wait(PATIENCE)

    def clear(self) -> None:
        """End what a test has left: heads and jobs."""
        for head in self.heads:
            head.kill()
            head.wait()
        if left := [job["id"] for job in self.queue()]:
            self.cluster.run("scancel", *left)

    # --- stand-ins -------------------------------------------------------------------------------

    def stand_in(self, script: str, **plan: object) -> None:
        """Put the stand-in into the place of a rule's script."""
        shutil.copy(TESTS / "slurm" / "stand_in.py", self.folder / f"workflow/scripts/{script}.py")
        (self.folder / "stand-in.json").write_text(json.dumps(plan))

    def finish(self) -> None:
        """Let the stand-in end, and wait until its job has."""
        (self.folder / "finish").touch()
        wait_for(lambda: not self.queue(), "an end of the job")

    def events(self, kind: str) -> list[dict]:
        """What the stand-in noted of one kind, oldest first."""
        record = self.folder / "stand-in.jsonl"
        lines = record.read_text().splitlines() if record.exists() else []
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def copy(self, folder: Path, cluster: Cluster | None = None) -> Checkout:
        """A copy, results and all, of which jobs are told apart by their folder."""
        copied = shutil.copytree(self.folder, folder / "checkout", copy_function=_copied)
        return Checkout(Path(copied), cluster or self.cluster)

    @contextmanager
    def copied(self, folder: Path, cluster: Cluster | None = None) -> Iterator[Checkout]:
        """A copy for one test, of which neither heads nor jobs are left behind."""
        copy = self.copy(folder, cluster)
        try:
            yield copy
        finally:
            copy.clear()


def _copied(source: str, target: str) -> str:
    """Copy a file; what is large and never written in place takes no space again."""
    if source.endswith((".safetensors", ".npy", ".jpg")):
        os.link(source, target)
        return target
    return shutil.copy2(source, target)


def copy_project(folder: Path) -> Path:
    """A checkout without results, in a folder of its own."""
    ignored = shutil.ignore_patterns(
        ".*", "results", "resources", "logs", "checkpoints", "__pycache__"
    )
    return Path(shutil.copytree(ROOT, folder / "checkout", ignore=ignored))


def rule_of(job: dict[str, str]) -> str:
    """The rule of a job; of a group, the last of its rules."""
    comment = re.sub(r"_wildcards_.*", "", job["Comment"].removeprefix("rule_"))
    return next((name for name in sorted(rules(), key=len)[::-1] if comment.endswith(name)), "")


def in_group(job: dict[str, str]) -> bool:
    """Whether a job runs several of the study's."""
    return "-" in job["Comment"].split("_wildcards_")[0]


def allocated(job: dict[str, str]) -> dict[str, str]:
    """What a job was allocated, by kind: cpu, mem, gres/gpu."""
    return dict(part.split("=") for part in job["AllocTRES"].split(","))


def megabytes(text: str) -> float:
    """SLURM's memory, 1000M or 1.50G, in MB."""
    return float(text[:-1]) * {"M": 1, "G": 1024}[text[-1]]
