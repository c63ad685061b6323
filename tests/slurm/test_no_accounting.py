"""A cluster without an accounting database, on which sacct knows nothing."""

from __future__ import annotations

from checkout import PATIENTS, STUDENT, Checkout


def test_without_accounting_a_study_goes_on_to_its_end_and_a_failure_is_seen(
    study_without_accounting: Checkout,
):
    study, cluster = study_without_accounting, study_without_accounting.cluster
    study.stand_in("distill", seconds=0)
    (study.folder / PATIENTS).unlink()
    done = study.snakemake("--", STUDENT, PATIENTS)
    assert done.returncode == 0, done.stdout[-3000:]
    show = [cluster.describe(number) for number in ("1", "2")]
    assert [job["JobState"] for job in show] == ["COMPLETED", "COMPLETED"]
    assert {job["Partition"] for job in show} == {"gpus48", "gpus24"}
    study.stand_in("check_patients", error="no")
    assert study.snakemake("--", PATIENTS).returncode == 1
    assert cluster.describe("3")["JobState"] == "FAILED"
