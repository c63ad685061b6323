"""A copy of the project whose study is sent to a cluster, with the profile as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cluster import Cluster
from locations import ROOT

# Polling sooner than on a real cluster, where 40 s spare the scheduler; nothing else differs.
TESTED = ("--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "20")
# Nodes of 16 cores share this machine's few: more threads than cores would wait for each other.
ONE_THREAD = {"OMP_THREAD_LIMIT": "1", "OMP_WAIT_POLICY": "PASSIVE"}
CONFIG = ("config/demo.yaml", "tests/slurm/study.yaml")


@dataclass
class Checkout:
    """A copy of the project with a study in it, on a cluster."""

    folder: Path
    cluster: Cluster

    def command(self, *arguments: str) -> list[str]:
        """The user's command."""
        snakemake = [sys.executable, "-m", "snakemake", "--profile", "profiles/slurm", *TESTED]
        return [*snakemake, "--configfile", *CONFIG, *arguments]

    def snakemake(self, *arguments: str, timeout: int = 1200) -> subprocess.CompletedProcess[str]:
        """Run the workflow to its end; output and errors in `stdout`."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start the workflow and leave it running."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def environment(self) -> dict[str, str]:
        """Variables of whoever submits: this Python, this checkout, this cluster."""
        variables = self.cluster.environment
        path = f"{self.cluster.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        places = {"PYTHONPATH": str(self.folder / "src"), "PATH": path}
        return variables | places | ONE_THREAD


def copy_project(folder: Path) -> Path:
    """A checkout without results, in a folder of its own."""
    ignored = shutil.ignore_patterns(
        ".*", "results", "resources", "logs", "checkpoints", "__pycache__"
    )
    return Path(shutil.copytree(ROOT, folder / "checkout", ignore=ignored))
