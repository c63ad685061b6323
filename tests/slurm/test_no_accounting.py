"""A cluster without an accounting database, on which sacct knows nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import PATIENTS, STUDENT, Checkout
from cluster import Cluster, locked


@pytest.fixture
def plain_study(finished: Checkout, tmp_path: Path) -> Iterator[Checkout]:
    """The finished study in a folder of its own, on a cluster of its own."""
    with (
        locked(finished.cluster.folder / "turn.lock", alone=False),
        Cluster(Path(f"{finished.cluster.folder}-plain"), accounting=False, port=26917) as plain,
    ):
        study = finished.copy(tmp_path)
        study.cluster = plain
        yield study
        study.clear()


def test_without_accounting_a_study_goes_on_to_its_end_and_a_failure_is_seen(plain_study: Checkout):
    plain_study.stand_in("distill", seconds=0)
    (plain_study.folder / PATIENTS).unlink()
    done = plain_study.snakemake("--", STUDENT, PATIENTS)
    assert done.returncode == 0, done.stdout[-3000:]
    show = [plain_study.cluster.describe(number) for number in ("1", "2")]
    assert [job["JobState"] for job in show] == ["COMPLETED", "COMPLETED"]
    assert {job["Partition"] for job in show} == {"gpus48", "gpus24"}
    plain_study.stand_in("check_patients", error="no")
    assert plain_study.snakemake("--", PATIENTS).returncode == 1
    assert plain_study.cluster.describe("3")["JobState"] == "FAILED"
