"""What interrupts a training or a light job, and what becomes of it, by what SLURM reports.

A stand-in takes the place of the rule's script; rule, profile and signals are the real ones.
"""

from __future__ import annotations

from checkout import PATIENTS, STUDENT, Checkout, megabytes
from cluster import wait_for
from rule_texts import request, rules

SAVING = 20  # seconds; KillWait is 30


def starts(study: Checkout) -> list[bool]:
    """For each start of the stand-in, whether it went on from what an earlier one had saved."""
    return [event["resumed"] for event in study.events("started")]


def test_scancel_lets_a_training_save_and_is_not_undone(study: Checkout):
    study.stand_in("distill", seconds=3600, saving=SAVING)
    head = study.start("--", STUDENT)
    study.cluster.run("scancel", study.running()["id"])
    wait_for(lambda: study.events("saved"), "a checkpoint")
    wait_for(lambda: "it was cancelled" in study.said, "a word of it")
    assert study.ended(head) == 1
    assert study.states() == ["CANCELLED"]
    assert study.snakemake("--", STUDENT).returncode == 0
    assert study.states() == ["CANCELLED", "COMPLETED"]
    assert starts(study) == [False, True]


def test_requeue_lets_a_training_save_and_go_on_in_the_same_job(study: Checkout):
    study.stand_in("distill", seconds=3600, saving=SAVING)
    head = study.start("--", STUDENT)
    job = study.running()["id"]
    study.cluster.run("scontrol", "requeue", job)
    assert study.ended(head) == 0
    assert len(study.events("saved")) == 1
    assert {record["JobID"] for record in study.jobs()} == {job}
    assert study.states()[-1] == "COMPLETED"
    assert study.cluster.describe(job)["Restarts"] == "1"
    assert starts(study) == [False, True]


def test_the_time_limit_lets_a_training_save_and_go_on_in_a_new_job_of_the_same_size(
    study: Checkout,
):
    study.stand_in("distill", seconds=3600, saving=SAVING)
    head = study.start("--", STUDENT)
    study.cluster.run("scontrol", "update", f"jobid={study.running()['id']}", "timelimit=1")
    assert study.ended(head) == 0, study.said[-3000:]
    assert study.states() == ["TIMEOUT", "COMPLETED"]
    first, second = study.jobs()
    assert (first["TimelimitRaw"], first["ReqTRES"]) == ("1", second["ReqTRES"])
    assert len(study.events("saved")) == 1
    assert starts(study) == [False, True]


def test_a_light_job_that_runs_out_of_memory_gets_more(study: Checkout):
    limit = request(rules()["check_patients"]).mem_mb
    study.stand_in("check_patients", seconds=3600, memory_mb=limit + 100)
    head = study.start("--", PATIENTS)
    # SLURM says OUT_OF_MEMORY where it has cgroups, which this one has not.
    wait_for(lambda: study.states()[:1] == ["FAILED"], "a job without memory")
    (study.folder / "finish").touch()
    assert study.ended(head) == 0, study.said[-3000:]
    assert study.states() == ["FAILED", "COMPLETED"]
    first, second = (megabytes(requested(job)["mem"]) for job in study.jobs())
    assert first < limit + 100 < second


def requested(job: dict[str, str]) -> dict[str, str]:
    """What a job asked for, by kind."""
    return dict(part.split("=") for part in job["ReqTRES"].split(","))


def test_a_training_goes_on_at_another_node_when_its_own_is_set_down(study_apart: Checkout):
    study = study_apart
    study.stand_in("distill", seconds=3600, saving=1)
    head = study.start("--", STUDENT)
    job = study.running()
    node = f"nodename={job['node']}"
    # Drained as well: its slurmd still runs, and would report it ready again.
    for state in ("drain", "down"):
        study.cluster.run("scontrol", "update", node, f"state={state}", "reason=test")
    assert study.ended(head) == 0
    first, second = study.jobs()
    assert {first["JobID"], second["JobID"]} == {job["id"]}
    assert (first["State"], second["State"]) == ("NODE_FAIL", "COMPLETED")
    assert first["NodeList"] != second["NodeList"]
