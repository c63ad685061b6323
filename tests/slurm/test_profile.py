"""The profile as it is, on a real scheduler: asserted is what SLURM reports, not what we log."""

from __future__ import annotations

import json
import re

import pytest
from checkout import Checkout
from cluster import wait_for
from rule_texts import request, rules

STUDENT = "results/demo/synthetic-chexpert/students/mse/seed41/weights.safetensors"
HEAVY = {"distill", "finetune", "extract_features", "transfer_finetune"}


def allocated(job: dict[str, str]) -> dict[str, str]:
    """What a job was allocated, by kind: cpu, mem, gres/gpu."""
    return dict(part.split("=") for part in job["AllocTRES"].split(","))


def rule_of(job: dict[str, str]) -> str:
    """The rule of a job; of a group, the last of its rules."""
    comment = re.sub(r"_wildcards_.*", "", job["Comment"].removeprefix("rule_"))
    return next((name for name in sorted(rules(), key=len)[::-1] if comment.endswith(name)), "")


def in_group(job: dict[str, str]) -> bool:
    return "-" in job["Comment"].split("_wildcards_")[0]


def test_every_job_of_the_study_completes_at_the_first_attempt(finished: Checkout):
    jobs = finished.cluster.jobs()
    assert {job["State"] for job in jobs} == {"COMPLETED"}
    assert len(jobs) == len({job["Comment"] for job in jobs})
    assert {rule_of(job) for job in jobs} >= HEAVY


def test_heavy_rules_get_a_gpu_on_gpus48_and_light_ones_none_on_gpus24(finished: Checkout):
    for job in finished.cluster.jobs():
        heavy = rule_of(job) in HEAVY
        assert job["Partition"] == ("gpus48" if heavy else "gpus24"), job
        assert allocated(job).get("gres/gpu") == ("1" if heavy else None), job


def test_cores_memory_and_time_are_those_of_the_rule(finished: Checkout):
    requests = {name: request(body) for name, body in rules().items()}
    for job in finished.cluster.jobs():
        asked, given = requests[rule_of(job)], allocated(job)
        if in_group(job):  # at least what one member asks for, at most its share of a node
            assert asked.threads <= int(given["cpu"]) <= 8, job
            assert asked.mem_mb - 1 <= megabytes(given["mem"]) <= 120000, job
            assert int(job["TimelimitRaw"]) >= asked.runtime, job
            continue
        assert given["cpu"] == str(asked.threads), job
        assert megabytes(given["mem"]) == pytest.approx(asked.mem_mb, abs=1), job
        assert job["TimelimitRaw"] == str(asked.runtime), job


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
    assert allocated(job)["gres/gpu"] == "1"
    assert allocated(job)["cpu"] == "8"


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
        wait_for(finished.cluster.queue, "a submitted job", 120)
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
