"""The profile as it is, on a real scheduler: asserted is what SLURM reports, not what we log."""

from __future__ import annotations

import re

import pytest
from checkout import STUDENT, Checkout, allocated, in_group, megabytes, rule_of
from locations import ROOT
from rule_texts import request, rules

HEAVY = {"distill", "finetune", "extract_features", "transfer_finetune"}


def test_every_job_of_the_study_completes_at_the_first_attempt(finished: Checkout):
    jobs = finished.jobs()
    assert {job["State"] for job in jobs} == {"COMPLETED"}
    assert len(jobs) == len({job["Comment"] for job in jobs})
    assert {rule_of(job) for job in jobs} >= HEAVY


def test_heavy_rules_get_a_gpu_on_gpus48_and_light_ones_none_on_gpus24(finished: Checkout):
    for job in finished.jobs():
        heavy = rule_of(job) in HEAVY
        assert job["Partition"] == ("gpus48" if heavy else "gpus24"), job
        assert allocated(job).get("gres/gpu") == ("1" if heavy else None), job


def test_cores_memory_and_time_are_those_of_the_rule(finished: Checkout):
    requests = {name: request(body) for name, body in rules().items()}
    for job in finished.jobs():
        asked, given = requests[rule_of(job)], allocated(job)
        if in_group(job):  # at least what one member asks for, at most its share of a node
            assert asked.threads <= int(given["cpu"]) <= 8, job
            assert asked.mem_mb - 1 <= megabytes(given["mem"]) <= 120000, job
            assert int(job["TimelimitRaw"]) >= asked.runtime, job
            continue
        assert given["cpu"] == str(asked.threads), job
        assert megabytes(given["mem"]) == pytest.approx(asked.mem_mb, abs=1), job
        assert job["TimelimitRaw"] == str(asked.runtime), job


def test_the_line_of_the_cluster_guide_lists_what_the_study_cost(finished: Checkout):
    (line,) = re.findall(r"(?m)^    (sacct -X .*)$", (ROOT / "docs/cluster.md").read_text())
    listed = finished.cluster.run("bash", "-c", line).splitlines()
    rows = {row.split()[0]: row for row in listed}
    for job in finished.jobs():
        row = rows[job["JobID"]]
        assert job["AllocTRES"] in row
        assert f" {job['State']} " in row
        assert job["Comment"][:100] in row
        assert re.search(r" \d\d:\d\d:\d\d ", row)


def test_a_finished_study_has_nothing_to_do(whole_study: Checkout):
    assert "Nothing to be done" in whole_study.snakemake("--", "tables").stdout
    assert whole_study.jobs() == []


def test_one_deleted_student_is_distilled_again_and_its_branch_alone(study: Checkout):
    (study.folder / STUDENT).unlink()
    done = study.snakemake("--", STUDENT)
    assert done.returncode == 0, done.stdout[-3000:]
    assert [rule_of(job) for job in study.jobs()] == ["distill"]
    assert study.states() == ["COMPLETED"]


def test_time_of_one_rule_changes_on_the_command_line_and_nothing_else_with_it(study: Checkout):
    study.stand_in("distill", seconds=0)
    done = study.snakemake("--set-resources", "distill:runtime=77", "--", STUDENT)
    assert done.returncode == 0, done.stdout[-3000:]
    (job,) = study.jobs()
    asked, given = request(rules()["distill"]), allocated(job)
    assert (job["TimelimitRaw"], job["Partition"], given["gres/gpu"]) == ("77", "gpus48", "1")
    assert given["cpu"] == str(asked.threads)
    assert megabytes(given["mem"]) == pytest.approx(asked.mem_mb, abs=1)
