"""A real training against a real time limit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import CONFIG, STUDENT, Checkout

LOG = "logs/demo/distill/synthetic-chexpert/mse/seed41.log"


@pytest.fixture
def lengthened(study: Checkout) -> Checkout:
    """The study with so many epochs that a distillation takes about two minutes."""
    run = json.loads((study.folder / STUDENT).with_name("run.json").read_text())
    epochs = max(4, round(120 * run["epochs"] / run["seconds"]))
    config = study.folder / "tests" / "slurm" / "study.yaml"
    text = config.read_text()
    config.write_text(text.replace("  epochs: 2\n", f"  epochs: {epochs}\n", 1))
    return study


def test_a_training_beyond_its_time_limit_ends_with_the_weights_of_an_uninterrupted_one(
    lengthened: Checkout, tmp_path: Path
):
    (tmp_path / "uninterrupted").mkdir()
    local = lengthened.copy(tmp_path / "uninterrupted")
    snakemake = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", *CONFIG]
    plain = subprocess.Popen([*snakemake, "--", STUDENT], cwd=local.folder, env=local.environment)
    try:
        for _ in range(5):  # a busy machine needs more jobs than one run of the head submits
            done = lengthened.snakemake("--set-resources", "distill:runtime=1", "--", STUDENT)
            if not done.returncode:
                break
        assert done.returncode == 0, done.stdout[-3000:]
        assert plain.wait(1800) == 0
    finally:
        plain.kill()
    jobs = lengthened.jobs()
    assert len(jobs) >= 2
    assert {job["TimelimitRaw"] for job in jobs} == {"1"}
    assert {job["State"] for job in jobs[:-1]} <= {"FAILED", "TIMEOUT"}
    assert jobs[-1]["State"] == "COMPLETED"
    log = (lengthened.folder / LOG).read_text()
    assert len(re.findall(r"stopped, since .*; the next start goes on", log)) == len(jobs) - 1
    assert len(re.findall(r"resuming at epoch \d+, step \d+", log)) == len(jobs) - 1
    run = json.loads((lengthened.folder / STUDENT).with_name("run.json").read_text())
    assert run["resumed"] == len(jobs) - 1
    weights = [(checkout.folder / STUDENT).read_bytes() for checkout in (lengthened, local)]
    assert weights[0] == weights[1]
