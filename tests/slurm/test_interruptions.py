"""Trainings that the scheduler interrupts save, are submitted again, and go on."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from checkout import Checkout
from cluster import wait_for

LOG = Path("logs/demo/distill/synthetic-chexpert/mse/seed41.log")
STUDENT = "results/demo/synthetic-chexpert/students/mse/seed41/weights.safetensors"


@pytest.fixture
def distilling(finished: Checkout) -> Iterator[Callable[..., None]]:
    """Starts a distillation of some minutes; at the end its head is stopped as by Ctrl-C."""
    heads = []

    def start(*arguments: str) -> None:
        (finished.folder / LOG).unlink(missing_ok=True)
        heads.append(finished.start(*arguments, "--", STUDENT, overlay="tests/slurm/long.yaml"))
        wait_for(lambda: "epoch" in log(finished), "a training under way", 240)

    yield start
    for head in heads:
        head.send_signal(signal.SIGINT)
        head.wait(300)
    wait_for(lambda: not finished.cluster.queue(), "an empty queue", 120)


def log(checkout: Checkout) -> str:
    path = checkout.folder / LOG
    return path.read_text() if path.exists() else ""


def last_job(checkout: Checkout) -> dict[str, str]:
    return checkout.cluster.jobs_of("distill")[-1]


def test_a_cancelled_training_saves_is_submitted_again_and_goes_on(finished, distilling):
    distilling()
    job = last_job(finished)
    finished.cluster.run("scancel", job["JobID"])
    wait_for(lambda: "stopped, since SIGTERM came" in log(finished), "a checkpoint", 30)
    wait_for(lambda: last_job(finished)["JobID"] != job["JobID"], "a second job", 120)
    states = {job["JobID"]: job["State"] for job in finished.cluster.jobs_of("distill")}
    assert states[job["JobID"]].startswith("CANCELLED")
    wait_for(lambda: "resuming at epoch" in log(finished), "a resumed training", 120)


def test_a_training_out_of_time_leaves_before_its_limit_and_goes_on(finished, distilling):
    distilling("--set-resources", "distill:runtime=1")
    job = last_job(finished)
    wait_for(lambda: "the time budget is nearly used up" in log(finished), "a timely stop", 120)
    wait_for(lambda: last_job(finished)["JobID"] != job["JobID"], "a second job", 120)
    states = {job["JobID"]: job for job in finished.cluster.jobs_of("distill")}
    assert states[job["JobID"]]["State"] == "FAILED", "it left by itself, no TIMEOUT"
    assert last_job(finished)["AllocTRES"] == job["AllocTRES"], "a time-out asks for no more"
    wait_for(lambda: "resuming at epoch" in log(finished), "a resumed training", 120)
