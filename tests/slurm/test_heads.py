"""What becomes of a study whose head ends, or under which something changes."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

from checkout import PATIENTS, STUDENT, Checkout
from cluster import wait_for


def test_jobs_of_a_killed_head_go_on_and_none_is_submitted_twice(study: Checkout):
    study.stand_in("distill", seconds=3600)
    head = study.start("--", STUDENT)
    job = study.running()["id"]
    head.kill()
    head.wait()
    assert "--unlock" in study.snakemake("--", STUDENT).stdout
    assert study.snakemake("--unlock").returncode == 0
    refused = study.snakemake("--", STUDENT)
    assert refused.returncode == 1
    assert f"{job} (rule_distill_wildcards_synthetic-chexpert_mse_41)" in refused.stdout
    study.finish()
    assert "Nothing to be done" in study.snakemake("--", STUDENT).stdout
    assert study.states() == ["COMPLETED"]
    assert len(study.events("started")) == 1


def test_sigterm_lets_a_head_end_with_its_jobs_and_none_is_lost(study: Checkout):
    study.stand_in("distill", seconds=3600)
    head = study.start("--", STUDENT)
    study.running()
    head.terminate()
    wait_for(lambda: "finishing currently running jobs" in study.said, "an answer")
    assert [job["state"] for job in study.queue()] == ["RUNNING"]
    study.finish()
    study.ended(head)
    assert study.states() == ["COMPLETED"]
    assert "Nothing to be done" in study.snakemake("--", STUDENT).stdout
    assert len(study.events("started")) == 1


def test_ctrl_c_cancels_the_jobs_which_save_and_go_on_when_asked(study: Checkout):
    study.stand_in("distill", seconds=3600, saving=3)
    head = study.start("--", STUDENT)
    study.running()
    head.send_signal(signal.SIGINT)
    wait_for(lambda: not study.queue(), "an end of the jobs")
    assert study.ended(head) == 1
    assert study.states() == ["CANCELLED"]
    assert study.snakemake("--", STUDENT).returncode == 0
    assert study.states() == ["CANCELLED", "COMPLETED"]
    assert [event["resumed"] for event in study.events("started")] == [False, True]


def test_a_configuration_edited_under_a_running_head_does_not_reach_its_jobs(study: Checkout):
    """The job that waits in the queue trains with the batch size that was planned."""
    planned = batch_size(json.loads((study.folder / STUDENT).with_name("run.json").read_text()))
    study.stand_in("distill", seconds=0)
    head = study.start("--set-resources", "distill:slurm_extra='--hold'", "--", STUDENT)
    wait_for(study.queue, "a submitted job")
    (job,) = study.queue()
    config = study.folder / "tests" / "slurm" / "study.yaml"
    edited = f"  epochs: 2\n  batch_size: {planned * 2}\n"
    config.write_text(config.read_text().replace("  epochs: 2\n", edited, 1))
    study.cluster.run("scontrol", "release", job["id"])
    assert study.ended(head) == 0
    (started,) = study.events("started")
    assert batch_size(started) == planned


def batch_size(run: dict) -> int:
    return run["spec"]["distillation"]["batch_size"]


def test_a_controller_that_is_away_for_a_minute_loses_no_job(study_apart: Checkout, tmp_path: Path):
    """One job runs meanwhile, and one is to be submitted."""
    study, cluster = study_apart, study_apart.cluster
    study.stand_in("distill", seconds=3600)
    head = study.start("--", STUDENT)
    study.running()
    with study.copied(tmp_path / "other") as other:
        (other.folder / PATIENTS).unlink()
        cluster.stop_controller()
        try:
            second = other.start("--", PATIENTS)
            time.sleep(60)
        finally:
            cluster.start_controller()
        assert other.ended(second) == 0
        assert other.states() == ["COMPLETED"]
    study.finish()
    assert study.ended(head) == 0
    assert study.states() == ["COMPLETED"]
    assert len(study.events("started")) == 1
