"""CPU of planning the thesis (`snakemake -n`), beside that of starting Snakemake at all.

The goal is at most three times as much. Both run in turn; the least of several counts, without
the first round, which fills the caches. Prints one JSON line.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SNAKEMAKE = [sys.executable, "-m", "snakemake"]
COMMANDS = {
    "version": [*SNAKEMAKE, "--version"],
    "plan": [*SNAKEMAKE, "-n", "--configfile", "config/thesis.yaml"],
}
ROUNDS = 6


def cpu_seconds(command: list[str]) -> tuple[float, str]:
    """CPU time, user and system, of a command with all its children, and what it said."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return seconds, done.stdout + done.stderr


def run() -> list[dict]:
    """One line of results.json; `ratio` and `goal` are Snakemake alone to the plan."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    said = ""
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            taken, said = cpu_seconds(command)
            seconds[name].append(taken)
    baseline, ours = (min(seconds[name][1:]) for name in COMMANDS)
    total = re.search(r"^total +(\d+)", said, re.MULTILINE)
    return [
        {
            "name": "planning the thesis, beside `snakemake --version`",
            "baseline_s": baseline,
            "ours_s": ours,
            "ratio": baseline / ours,
            "goal": 1 / 3,
            "n": int(total[1]) if total else 0,
            "device": "cpu",
        }
    ]


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row))
