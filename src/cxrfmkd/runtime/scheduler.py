"""What SLURM says of jobs: which failures are final, and which jobs are still at work."""

from __future__ import annotations

import getpass
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

# What sbatch and the executor's checks say of a request that this cluster will never accept. All
# else (no answer, too many jobs, a controller that is away) may pass later.
REFUSED = re.compile(
    r"[Ii]nvalid|node configuration is not available|not permitted|can ?not be satisfied"
)
SUBMISSION = re.compile(r"sbatch failed|submission failed")
# A job's log after scancel; after a time limit, a requeue or a lost node it says DUE TO what.
CANCELLED = re.compile(r"CANCELLED AT \S+ \*\*\*")
# A cluster without cgroups cancels what has taken too much memory.
OVER_MEMORY = re.compile(r"[Ee]xceeded (job )?memory limit")
EXIT_STATUS = re.compile(r"returned non-zero exit status (\d+)")
# Exit status of a script whose input or settings are wrong.
INPUT_ERROR = 2


def final_failure(message: str, log: str | Path | None = None) -> str:
    """Why a failed job would fail again; empty where another attempt may pass.

    message: of the executor, with the scheduler's state or the refusal of a submission. log: of
    this one attempt, in which Snakemake says the exit status of the rule's command.
    """
    if "'CANCELLED'" in message:
        return "it was cancelled"
    if SUBMISSION.search(message):
        return "the cluster refuses its request" if REFUSED.search(message) else ""
    try:
        text = Path(log).read_text(errors="replace") if log else ""
    except OSError:
        return ""
    if CANCELLED.search(text) and not OVER_MEMORY.search(text):
        return "it was cancelled"
    statuses = EXIT_STATUS.findall(text)
    if statuses and int(statuses[-1]) == INPUT_ERROR:
        return "its settings or its input are wrong (see its log)"
    return ""


def active_jobs(folder: str | Path) -> dict[str, list[str]]:
    """Jobs of this user that wait or run with `folder` as their directory: numbers by comment.

    Empty where there is no SLURM, or none that answers.
    """
    command = ["squeue", "--noheader", "--format", "%i|%Z|%k", "--user", getpass.getuser()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    jobs: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        number, directory, comment = line.split("|", 2)
        if directory == str(folder):
            jobs.setdefault(comment, []).append(number)
    return jobs


def comment(rule: str, wildcards: Iterable[str]) -> str:
    """What the executor writes beside a job: its rule and the values of its wildcards."""
    values = "_".join(wildcards).replace("/", "_")
    return f"rule_{rule}_wildcards_{values}" if values else f"rule_{rule}"
