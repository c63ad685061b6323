"""The profile as it is, on a real scheduler: asserted is what SLURM reports, not what we log."""

from __future__ import annotations

import json
import re
import time

import pytest
from checkout import Checkout

STUDENT = "results/demo/synthetic-chexpert/students/mse/seed41/weights.safetensors"
HEAVY = {"distill", "finetune", "extract_features", "transfer_finetune"}


def requested(job: dict[str, str]) -> dict[str, str]:
    """What a job was allocated, by kind: cpu, mem, gres/gpu."""
    return dict(part.split("=") for part in job["AllocTRES"].split(","))


def rule_of(job: dict[str, str]) -> str:
    return re.sub(r"_wildcards_.*", "", job["Comment"].removeprefix("rule_"))


def test_every_job_of_the_study_completes_at_the_first_attempt(finished: Checkout):
    jobs = finished.cluster.jobs()
    assert {job["State"] for job in jobs} == {"COMPLETED"}
    assert len(jobs) == len({job["Comment"] for job in jobs})
    assert {rule_of(job) for job in jobs} >= HEAVY


def test_heavy_rules_get_a_gpu_on_gpus48_and_light_ones_none_on_gpus24(finished: Checkout):
    for job in finished.cluster.jobs():
        heavy = rule_of(job) in HEAVY
        assert job["Partition"] == ("gpus48" if heavy else "gpus24"), job
        assert requested(job).get("gres/gpu") == ("1" if heavy else None), job


def test_cores_memory_and_time_are_those_of_the_rule(finished: Checkout):
    text = "\n".join(p.read_text() for p in finished.folder.glob("workflow/rules/*.smk"))
    rules = dict(re.findall(r"^rule (\w+):(.*?)(?=^rule |\Z)", text, re.MULTILINE | re.DOTALL))
    for job in finished.cluster.jobs():
        body, given = rules[rule_of(job)], requested(job)
        memory = int(re.search(r"mem_mb=(?:growing\()?(\d+)", body)[1])
        assert given["cpu"] == re.search(r"threads: (\d+)", body)[1], job
        assert megabytes(given["mem"]) == pytest.approx(memory, abs=1), job
        assert job["TimelimitRaw"] == re.search(r"runtime=(\d+)", body)[1], job


def megabytes(text: str) -> float:
    return float(text[:-1]) * {"M": 1, "G": 1024}[text[-1]]


def test_a_finished_study_has_nothing_to_do(finished: Checkout):
    assert "Nothing to be done" in finished.snakemake("--", "tables").stdout


def test_one_deleted_student_is_distilled_again_and_its_branch_alone(finished: Checkout):
    before = len(finished.cluster.jobs())
    (finished.folder / STUDENT).unlink()
    done = finished.snakemake("--", STUDENT)
    assert done.returncode == 0, done.stdout[-3000:]
    assert [rule_of(job) for job in finished.cluster.jobs()[before:]] == ["distill"]


def test_time_of_one_rule_changes_on_the_command_line_and_nothing_else_with_it(finished: Checkout):
    before = len(finished.cluster.jobs())
    (finished.folder / STUDENT).unlink()
    done = finished.snakemake("--set-resources", "distill:runtime=77", "--", STUDENT)
    assert done.returncode == 0, done.stdout[-3000:]
    (job,) = finished.cluster.jobs()[before:]
    assert (job["TimelimitRaw"], job["Partition"]) == ("77", "gpus48")
    assert requested(job)["gres/gpu"] == "1"
    assert requested(job)["cpu"] == "8"


def test_a_configuration_edited_under_a_running_head_does_not_reach_its_jobs(finished: Checkout):
    """The job that waits in the queue trains with the batch size that was planned."""
    folder = (finished.folder / STUDENT).parent
    planned = json.loads((folder / "run.json").read_text())["spec"]["distillation"]["batch_size"]
    (finished.folder / STUDENT).unlink()
    config = finished.folder / "tests" / "slurm" / "study.yaml"
    text = config.read_text()
    nodes = "large1", "large2"
    for node in nodes:
        finished.cluster.run("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
    head = finished.start("--", STUDENT)
    try:
        end = time.monotonic() + 120
        while not finished.cluster.queue():
            assert time.monotonic() < end, "the job was never submitted"
            time.sleep(1)
        config.write_text(
            text.replace("  epochs: 2\n", f"  epochs: 2\n  batch_size: {planned * 2}\n")
        )
        for node in nodes:
            finished.cluster.run("scontrol", "update", f"nodename={node}", "state=resume")
        assert head.wait(600) == 0
    finally:
        config.write_text(text)
        head.kill()
    trained = json.loads((folder / "run.json").read_text())["spec"]["distillation"]["batch_size"]
    assert trained == planned
