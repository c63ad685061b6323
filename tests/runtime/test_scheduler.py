"""What SLURM says of jobs, in its own words: texts of SLURM 22.05 and of the executor 2.8.0."""

import stat
import subprocess
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_slurm.utils import get_job_wildcards

from cxrfmkd.runtime.scheduler import active_jobs, comment, final_failure

REFUSAL = "SLURM sbatch failed. The error message was 'sbatch: error: {}'.\n    sbatch call: …"
FAILED = "SLURM-job '7' failed, SLURM status is: '{}'. Detailed failure reason unavailable"
COMMAND = (
    "Command 'set -euo pipefail;  exec python x.py &>> x.log' returned non-zero exit status {}."
)


@pytest.mark.parametrize(
    "refusal",
    [
        "invalid partition specified: gpus96",
        "Batch job submission failed: Invalid partition name specified",
        "Batch job submission failed: Invalid account or account/partition combination specified",
        "Batch job submission failed: Requested node configuration is not available",
        "Batch job submission failed: Requested time limit is invalid (missing or exceeds …)",
        "Memory specification can not be satisfied",
        "Batch job submission failed: User's group not permitted to use this partition",
    ],
)
def test_what_the_cluster_will_never_accept_is_final(refusal):
    assert final_failure(REFUSAL.format(refusal))


@pytest.mark.parametrize(
    "refusal",
    [
        "Batch job submission failed: Unable to contact slurm controller (connect failure)",
        "Batch job submission failed: Socket timed out on send/recv operation",
        "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, …)",
        "Batch job submission failed: Requested partition configuration not available now",
        "Slurm temporarily unable to accept job, sleeping and retrying",
    ],
)
def test_what_may_be_accepted_later_is_not(refusal):
    assert not final_failure(REFUSAL.format(refusal))


def test_a_wrong_account_is_final():
    assert final_failure(
        "Job submission failed with exception: The given account nobody appears to be invalid. "
        "Available accounts:\nlab"
    )


def test_a_cancelled_job_is_final_and_one_that_ran_out_of_time_or_memory_is_not():
    assert final_failure(FAILED.format("CANCELLED")) == "it was cancelled"
    for state in ("TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "FAILED"):
        assert not final_failure(FAILED.format(state))


@pytest.mark.parametrize(("status", "final"), [(2, True), (1, False), (75, False), (137, False)])
def test_bad_input_is_final_and_no_other_exit_status(tmp_path, status, final):
    (tmp_path / "7.log").write_text(f"Job 0: …\n{COMMAND.format(status)}\n[Thu Nov 26]\n")
    assert bool(final_failure(FAILED.format("FAILED"), tmp_path / "7.log")) == final


def test_the_last_exit_status_of_a_requeued_job_counts(tmp_path):
    lines = [COMMAND.format(2), COMMAND.format(75)]
    (tmp_path / "7.log").write_text("\n".join(lines))
    assert not final_failure(FAILED.format("FAILED"), tmp_path / "7.log")


@pytest.mark.parametrize(
    ("reason", "final"),
    [("", True), (" DUE TO TIME LIMIT", False), (" DUE TO NODE FAILURE", False)],
)
def test_scancel_is_found_in_a_groups_log_where_no_message_tells_of_it(tmp_path, reason, final):
    line = f"slurmstepd: error: *** JOB 7 ON large1 CANCELLED AT 2026-11-26T01:24:26{reason} ***"
    (tmp_path / "7.log").write_text(f"Job 0: …\n{line}\n")
    assert bool(final_failure("", tmp_path / "7.log")) == final


def test_what_is_cancelled_for_its_memory_is_not_final(tmp_path):
    lines = (
        "slurmstepd: error: StepId=12.0 exceeded memory limit (4251357184 > 4194304000), being",
        "slurmstepd: error: *** STEP 12.0 ON small1 CANCELLED AT 2026-11-26T04:51:54 ***",
    )
    (tmp_path / "12.log").write_text("\n".join(lines))
    assert not final_failure(FAILED.format("FAILED"), tmp_path / "12.log")


def test_a_log_that_is_not_there_yet_leaves_another_attempt(tmp_path):
    assert not final_failure(FAILED.format("FAILED"), tmp_path / "absent.log")


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """A stand-in for squeue that prints what it is given."""

    def prints(text: str) -> None:
        program = tmp_path / "squeue"
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        program.chmod(stat.S_IRWXU)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return prints


def test_active_jobs_are_those_of_the_folder(squeue):
    squeue("11|/study|rule_distill_wildcards_a|b\n12|/other|rule_distill\n13|/study|(null)")
    assert active_jobs("/study") == {"rule_distill_wildcards_a|b": ["11"], "(null)": ["13"]}


def test_a_comment_is_the_executors():
    """Asked of the plugin itself, with a wildcard that has slashes and without any."""
    for wildcards in (["chexpert", "focused/auc"], []):
        values = get_job_wildcards(SimpleNamespace(wildcards=wildcards))
        expected = f"rule_draw_wildcards_{values}" if values else "rule_draw"
        assert comment("draw", wildcards) == expected


def test_without_slurm_or_its_answer_there_are_no_active_jobs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert active_jobs("/study") == {}

    def late(*arguments, **options):
        raise subprocess.TimeoutExpired("squeue", 60)

    monkeypatch.setattr(subprocess, "run", late)
    assert active_jobs("/study") == {}
