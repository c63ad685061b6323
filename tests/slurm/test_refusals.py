"""What cannot work is tried once, and said."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import PATIENTS, STUDENT, Checkout

IMAGES = "results/demo/synthetic-chexpert/images"


def test_a_rule_that_fails_for_its_input_runs_once_and_its_log_is_shown(study: Checkout):
    study.stand_in("check_patients", error="train.csv, line 3: no number. Mend it.")
    done = study.snakemake("--", PATIENTS)
    assert done.returncode == 1
    assert study.states() == ["FAILED"]
    assert "error: train.csv, line 3: no number. Mend it." in done.stdout
    assert "is not tried again: its settings or its input are wrong" in done.stdout


def test_a_wrong_partition_is_refused_once(study: Checkout):
    profile = study.folder / "profiles" / "slurm" / "config.yaml"
    profile.write_text(profile.read_text().replace("gpus48:", "gpus96:"))
    (study.folder / STUDENT).unlink()
    done = study.snakemake("--", STUDENT)
    assert done.returncode == 1
    assert study.jobs() == []
    assert done.stdout.count("sbatch failed") == 1
    assert "invalid partition specified: gpus96" in done.stdout
    assert "the cluster refuses its request" in done.stdout


def test_a_wrong_account_is_refused_once(study: Checkout):
    profile = study.folder / "profiles" / "slurm" / "config.yaml"
    profile.write_text(
        profile.read_text().replace("# slurm_account: mylab", "slurm_account: nobody")
    )
    (study.folder / PATIENTS).unlink()
    done = study.snakemake("--", PATIENTS)
    assert done.returncode == 1
    assert study.jobs() == []
    assert done.stdout.count("Job submission failed") == 1
    assert "the cluster refuses its request" in done.stdout


@pytest.fixture
def small_disk(study: Checkout) -> Iterator[Path]:
    """A file system of 100 kB at the place of the packed images."""
    folder = study.folder / IMAGES
    for file in folder.iterdir():
        file.unlink()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)]
    if subprocess.run(mount).returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    study.clear()
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_a_plain_error_and_nothing_stays_on_it(study: Checkout, small_disk: Path):
    done = study.snakemake("--retries", "0", "--", f"{IMAGES}/meta.json")
    assert done.returncode == 1
    assert study.states() == ["FAILED"]
    assert "the disk is full" in done.stdout
    assert "Bus error" not in done.stdout
    assert list(small_disk.iterdir()) == []
