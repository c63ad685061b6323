"""The profile on other clusters: what would be sent to sbatch for every job of a plan."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from locations import ROOT, TESTS

PROFILE = ROOT / "profiles" / "slurm" / "config.yaml"
HEAVY = {"distill", "finetune", "extract_features", "transfer_finetune"}
# Programs that the executor asks before it submits; sacctmgr knows one account.
PROGRAMS = {"squeue": "", "sacct": "", "sshare": "", "scontrol": "", "sacctmgr": "echo chestlab"}


def submissions(checkout: Path, folder: Path, **facts: object) -> list[dict]:
    """The sbatch options of every job of the demo with `facts` in the profile's block."""
    profile = yaml.safe_load(PROFILE.read_text())
    for name, value in facts.items():
        key = name.replace("_", "-")
        profile[key] = profile[key] | value if key == "default-resources" else value
    (folder / "profile").mkdir()
    (folder / "profile" / "config.yaml").write_text(yaml.safe_dump(profile))
    for name, body in PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(stat.S_IRWXU)
    out = folder / "requests.json"
    done = subprocess.run(
        [
            *(sys.executable, str(TESTS / "slurm_requests.py"), str(out)),
            *("--profile", str(folder / "profile"), "--configfile", "config/demo.yaml"),
            *("--forceall", "--nolock"),
        ],
        cwd=checkout,
        env=os.environ
        | {
            "PATH": f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(checkout / "src"),
            "XDG_CACHE_HOME": str(folder / "cache"),
        },
        capture_output=True,
        text=True,
    )
    assert out.is_file(), done.stdout + done.stderr
    jobs = json.loads(out.read_text())
    assert {rule for job in jobs for rule in job["rules"]} > HEAVY
    return jobs


def heavy(job: dict) -> bool:
    return bool(HEAVY & set(job["rules"]))


def number(job: dict, option: str) -> int:
    return int(re.search(rf"{option}[ =](\d+)", job["sbatch"])[1])


@pytest.mark.slow
def test_a_cluster_with_one_partition_gets_every_job_there(checkout, tmp_path):
    node = {"max_gpu": 4, "max_threads": 32, "max_mem_mb": 250000, "max_runtime": 2880}
    for job in submissions(checkout, tmp_path, partitions={"batch": node}):
        assert " -p batch " in job["sbatch"], job
        assert (" --gpus=1" in job["sbatch"]) == heavy(job), job
        assert "--gres" not in job["sbatch"], job
        assert number(job, "--cpus-per-task") <= 32
        assert number(job, "--mem") <= 250000


@pytest.mark.slow
def test_a_cluster_with_gres_an_account_and_a_quality_of_service_gets_them(checkout, tmp_path):
    small = {"max_gpu": 0, "max_threads": 64, "max_mem_mb": 180000, "max_runtime": 600}
    large = {"max_gpu": 2, "max_threads": 24, "max_mem_mb": 90000, "max_runtime": 6000}
    jobs = submissions(
        checkout,
        tmp_path,
        partitions={"cpu": small, "a6000": large},
        default_resources={"gpu_gres": "gpu:a6000:1", "slurm_account": "chestlab"},
        slurm_qos="long",
    )
    for job in jobs:
        assert (" --gres=gpu:a6000:1" in job["sbatch"]) == heavy(job), job
        assert "--gpus" not in job["sbatch"], job
        assert (" -p a6000 " in job["sbatch"]) == heavy(job) or number(job, "-t") > 600, job
        assert "-A chestlab" in job["sbatch"], job
        assert "--qos=long" in job["sbatch"], job


def test_what_is_particular_to_a_cluster_is_in_one_block_of_the_profile():
    before, block, after = re.split(r"# ===.*", PROFILE.read_text())
    for fact in (
        *("partitions:", "max_mem_mb:", "slurm_account:", "slurm-qos:", "gpu_gres:", "tmpdir:"),
        *("slurm-status-command:", "software-deployment-method:", "apptainer-args:"),
    ):
        assert fact in block, fact
        assert fact not in before + after, fact
    keys = yaml.safe_load(after).keys() & {"default-resources", "set-resources", "cores"}
    assert not keys


@pytest.mark.slow
def test_seeds_that_share_a_card_ask_for_one_and_others_for_their_own(checkout, tmp_path):
    """The demo trains one seed: its job asks as a job of several would, for one of them."""
    jobs = submissions(checkout, tmp_path, default_resources={"seeds_per_job": 2})
    for job in jobs:
        training = {"distill", "finetune", "transfer_finetune"} & set(job["rules"])
        assert ("--gres=gpu:1" in job["sbatch"]) == bool(training), job
        if training:
            assert len(job["rules"]) == 1, job
            assert " -p gpus48 " in job["sbatch"], job
            assert "--gpus" not in job["sbatch"], job
            assert (number(job, "--cpus-per-task"), number(job, "--mem")) == (4, 36000)


@pytest.mark.slow
def test_time_limits_follow_the_measured_rates(checkout, tmp_path):
    study = tmp_path / "study"
    shutil.copytree(checkout, study, ignore=shutil.ignore_patterns("res*s", ".snakemake"))
    for name in ("synthetic-chexpert", "synthetic-mimic"):
        summary = study / "results/demo" / name / "records/summary.json"
        summary.parent.mkdir(parents=True)
        counts = {split: {"images": 100_000} for split in ("train", "val", "test")}
        summary.write_text(json.dumps({"counts": counts}))
    rates = {"densenet169": 10_000.0, "densenet121": 10_000.0, "resnet50": 10_000.0}
    facts = {"device": "a card", "measured": "now", "image_size": 32, "batch_size": 8}
    (study / "resources").mkdir(exist_ok=True)
    (study / "resources/rates.json").write_text(json.dumps(facts | {"images_per_second": rates}))
    given = {
        job["rules"][0]: number(job, "-t") for job in submissions(study, tmp_path) if heavy(job)
    }
    settings = yaml.safe_load((ROOT / "config/demo.yaml").read_text())
    size, epochs = settings["images"]["size"], settings["distillation"]["epochs"]
    seconds = (epochs + (epochs + 1) / 3) * 100_000 / (10_000 * (32 / size) ** 2)
    assert given["distill"] == pytest.approx(2 * seconds / 60 + 15, abs=1)
    assert given["distill"] != 1440
