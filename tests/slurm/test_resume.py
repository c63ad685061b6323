"""A real training against a real time limit."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from checkout import CONFIG, STUDENT, Checkout
from cluster import MARK, processes, wait_for

LOG = "logs/demo/distill/synthetic-chexpert/mse/seed41.log"
EPOCHS = 6


def log(study: Checkout) -> str:
    """What the training has said."""
    return (study.folder / LOG).read_text() if (study.folder / LOG).exists() else ""


def epochs(text: str) -> int:
    """How many epochs a log tells of."""
    return len(re.findall(r"epoch \d+: train", text))


def lengthen(study: Checkout) -> None:
    config = study.folder / "tests" / "slurm" / "study.yaml"
    config.write_text(config.read_text().replace("  epochs: 2\n", f"  epochs: {EPOCHS}\n", 1))
    (study.folder / LOG).unlink()


def test_a_training_beyond_its_time_limit_ends_with_the_weights_of_an_uninterrupted_one(
    study: Checkout, tmp_path: Path
):
    """It is halted after an epoch until its minute is over, however fast this machine is."""
    lengthen(study)
    local = study.copy(tmp_path / "uninterrupted")
    head = study.start("--", STUDENT)
    wait_for(lambda: epochs(log(study)), "an epoch")
    (job,) = study.queue()
    of_cluster = f"{MARK}={study.cluster.folder}\0"  # others number their jobs alike
    (training,) = processes(of_cluster, f"SLURM_JOB_ID={job['id']}\0", "distill.py\0--spec")
    os.kill(training, signal.SIGSTOP)
    study.cluster.run("scontrol", "update", f"jobid={job['id']}", "timelimit=1")
    wait_for(lambda: study.states()[0] == "TIMEOUT", "an end at the time limit")
    snakemake = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", *CONFIG]
    subprocess.run([*snakemake, "--", STUDENT], cwd=local.folder, env=local.environment, check=True)
    assert study.ended(head) == 0, study.said[-3000:]
    assert study.states() == ["TIMEOUT", "COMPLETED"]
    before, after = log(study).split("stopped, since SIGTERM came; the next start goes on")
    assert f"resuming at epoch {epochs(before)}, step" in after
    assert epochs(before) + epochs(after) == EPOCHS
    run = json.loads((study.folder / STUDENT).with_name("run.json").read_text())
    assert (run["resumed"], run["epochs"]) == (1, EPOCHS)
    weights = [(checkout.folder / STUDENT).read_bytes() for checkout in (study, local)]
    assert weights[0] == weights[1]
