"""Other ways to run the workflow: another scheduler, containers, no shared file system."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from locations import ROOT, SCRIPTS
from planning import SNAKEMAKE

from cxrfmkd.commands.configuration import read_configuration

CONTAINERS = ROOT / "containers"


def run(folder: Path, *arguments: str, path: tuple[Path, ...] = (), **variables: str):
    """Snakemake in `folder`, whose programs come first."""
    places = [*map(str, path), str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {
        "PATH": ":".join(places),
        "PYTHONPATH": str(folder / "src"),
        "XDG_CACHE_HOME": str(folder / ".cache"),
    }
    return subprocess.run(
        [*SNAKEMAKE, *arguments],
        cwd=folder,
        env=os.environ | environment | variables,
        capture_output=True,
        text=True,
    )


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(stat.S_IRWXU)


# A scheduler that starts every job at once and writes down what it was asked for.
SUBMIT = """#!/bin/bash
echo "$@" >> "$(dirname "$0")/asked"
bash "${@: -1}" > /dev/null 2>&1 &
echo $!
"""


@pytest.mark.slow
def test_another_scheduler_gets_figures_as_one_job_with_their_sum_of_resources(
    finished, own_study, tmp_path
):
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    folder, (_, instant) = own_study, finished
    program(tmp_path / "submit", SUBMIT)
    figures = sorted((folder / "results/demo/figures").rglob("*.svg"))[:3]
    for path in figures:
        path.unlink()
    command = f"{tmp_path}/submit {{threads}} {{resources.mem_mb}} {{resources.runtime}}"
    done = run(
        folder,
        *("--executor", "cluster-generic", "--cluster-generic-submit-cmd", command),
        *("--jobs", "4", "--cores", "8", "--latency-wait", "20", "--nolock"),
        *("--configfile", "config/demo.yaml", "--", *(str(p.relative_to(folder)) for p in figures)),
        path=(instant,),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert all(path.is_file() for path in figures)
    (asked,) = (tmp_path / "asked").read_text().splitlines()
    assert asked.split()[:3] == ["3", "12000", "20"]


STUDENTS = "results/demo/synthetic-chexpert/students/mse"
# Stands in for a training: goes on from its checkpoint if there is one, fails in its first start
# where the folder of its seed says so, and keeps its checkpoint when it is asked to.
TRAINING = """#!{python}
import os, sys, time
from pathlib import Path

given = dict(zip(sys.argv[2::2], sys.argv[3::2]))
checkpoint = Path(given["--checkpoints"], "state.pt")
said = "goes on" if checkpoint.exists() else "starts"
with open({record!r}, "a") as file:
    file.write(f"{{checkpoint.parent.name}} {{said}}\\n")
if checkpoint.parent.name == "43" and not Path({failed!r}).exists():
    Path({failed!r}).touch()
    sys.exit(1)
time.sleep(2)
for name in ("--weights", "--history", "--run"):
    Path(given[name]).write_text(given[name])
checkpoint.parent.mkdir(parents=True, exist_ok=True)
checkpoint.touch()
if os.environ.get("CXRFMKD_KEEP_CHECKPOINTS") != "1":
    checkpoint.unlink()
"""


@pytest.mark.slow
def test_two_seeds_are_one_job_and_a_failed_one_does_not_lose_the_other(own_study, tmp_path):
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    folder = own_study
    record, failed = tmp_path / "record", tmp_path / "failed"
    text = TRAINING.format(python=sys.executable, record=str(record), failed=str(failed))
    program(tmp_path / "python", text)
    program(tmp_path / "submit", SUBMIT)
    (tmp_path / "seeds.yaml").write_text("distillation: {seeds: [41, 42, 43]}")
    command = f"{tmp_path}/submit {{threads}} {{resources.mem_mb}} {{resources.gres}}"
    targets = [f"{STUDENTS}/seed{seed}/weights.safetensors" for seed in (42, 43)]
    done = run(
        folder,
        *("--executor", "cluster-generic", "--cluster-generic-submit-cmd", command),
        *("--jobs", "4", "--cores", "8", "--latency-wait", "20", "--retries", "1"),
        *("--default-resources", "seeds_per_job=2", "--rerun-triggers", "mtime", "--nolock"),
        *("--configfile", "config/demo.yaml", str(tmp_path / "seeds.yaml"), "--", *targets),
        path=(tmp_path,),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert all((folder / target).read_text() == target for target in targets)
    asked = [line.split()[:3] for line in (tmp_path / "asked").read_text().splitlines()]
    assert asked == [["8", "72000", "gpu:1"]] * 2  # a job, and its second attempt
    starts = record.read_text().splitlines()
    assert sorted(starts[:2]) == ["42 starts", "43 starts"]
    assert sorted(starts[2:]) == ["42 goes on", "43 starts"]
    assert not list((folder / "checkpoints").rglob("state.pt"))


# What Snakemake says to apptainer: the version, or `exec … IMAGE SHELL -c COMMAND`.
APPTAINER = """#!/bin/bash
if [ "$1" = --version ]; then echo "apptainer version 1.3.4"; exit; fi
echo "$@" >> "$(dirname "$0")/asked"
exec "${@: -3:1}" -c "${@: -1}"
"""


@pytest.mark.slow
def test_jobs_run_in_the_image_that_is_asked_for(checkout, tmp_path):
    program(tmp_path / "apptainer", APPTAINER)
    folder = tmp_path / "copy"
    shutil.copytree(checkout, folder, ignore=shutil.ignore_patterns("res*s", ".snakemake"))
    program(tmp_path / "python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    arguments = ("--cores", "1", "--sdm", "apptainer", "--apptainer-args=--nv")
    study = tmp_path / "study.yaml"
    study.write_text("synthetic: {synthetic-chexpert: {site: chexpert, patients: 40, seed: 1}}")
    target = "results/demo/synthetic-chexpert/records/summary.json"
    options = ("--configfile", "config/demo.yaml", str(study), "--", target)
    done = run(folder, *arguments, *options, path=(tmp_path,))
    assert done.returncode == 1
    assert "make image" in done.stdout + done.stderr
    assert not (tmp_path / "asked").exists()
    (folder / "containers").mkdir()
    (folder / "containers" / "cxr-fmkd.sif").write_text("")
    done = run(folder, *arguments, *options, path=(tmp_path,))
    assert done.returncode == 0, done.stderr[-3000:]
    assert (folder / target).is_file()
    asked = (tmp_path / "asked").read_text()
    assert "synthesize_chexpert.py" in asked
    assert asked.count("cxr-fmkd.sif") == asked.count("--nv") == 2


@pytest.fixture(scope="module")
def mounted(tmp_path_factory) -> Path:
    """Raw data on a disk that every job sees at the same place."""
    raw = tmp_path_factory.mktemp("mounted")
    spec = '{"patients": 20, "seed": 1, "site": "chexpert", "traces": {"sex": 0.0}}'
    script = SCRIPTS / "synthesize_chexpert.py"
    out = ("--out", str(raw), "--truth", str(raw / "truth.json"), "--workers", "1")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, str(script), "--spec", spec, *out], env=environment, check=True)
    return raw


def on_cloud(folder: Path, raw: Path) -> Path:
    """The demo's first dataset, its raw data on a mounted disk."""
    config = read_configuration([ROOT / f"config/{name}.yaml" for name in ("config", "demo")])
    dataset = config["datasets"]["synthetic-chexpert"]
    dataset["tables"] = {key: str(raw / Path(path).name) for key, path in dataset["tables"].items()}
    dataset["images"] = str(raw / "images")
    dataset["teacher"] = {"source": "dat", "path": str(raw), "variant": "cxrfm-v1"}
    dataset["teacher"]["key"] = "chexpert-flat"
    config |= {"synthetic": {}, "datasets": {"synthetic-chexpert": dataset}}
    config["transfer"]["pairs"] = []
    for section in ("classification", "distillation"):
        config[section]["datasets"] = ["synthetic-chexpert"]
    (folder / "cloud.yaml").write_text(yaml.safe_dump(config))
    return folder / "cloud.yaml"


UNSHARED = ("--default-storage-provider", "fs", "--shared-fs-usage", "none")


@pytest.mark.slow
def test_jobs_without_a_shared_file_system_get_every_file_that_they_read(
    checkout, mounted, tmp_path
):
    pytest.importorskip("snakemake_storage_plugin_fs")
    if shutil.which("rsync") is None:
        pytest.skip("the storage plugin copies with rsync")
    store = tmp_path / "store"
    done = run(
        checkout,
        *(*UNSHARED, "--default-storage-prefix", str(store), "--cores", "1", "--nolock"),
        *("--configfile", str(on_cloud(tmp_path, mounted))),
        *("--", "results/demo/synthetic-chexpert/features/densenet169/meta.json"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    features = store / "results/demo/synthetic-chexpert/features/densenet169"
    assert {path.name for path in features.iterdir()} == {"data.npy", "index.parquet", "meta.json"}


@pytest.mark.slow
def test_a_head_without_the_data_can_plan_and_trainings_declare_their_arrays(checkout, tmp_path):
    pytest.importorskip("snakemake_storage_plugin_fs")
    absent = Path("/nowhere/mounted")
    done = run(
        checkout,
        *("-n", "--summary", *UNSHARED, "--default-storage-prefix", str(tmp_path)),
        *("--configfile", str(on_cloud(tmp_path, absent)), "--nolock"),
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_every_rule_that_reads_an_array_declares_its_files_too():
    text = "\n".join(file.read_text() for file in ROOT.glob("workflow/rules/*.smk"))
    for name, body in re.findall(r"^rule (\w+):(.*?)(?=^rule |\Z)", text, re.M | re.S):
        script = (SCRIPTS / f"{name}.py").read_text()
        if "KeyedArray" in script or "training.jobs" in script or "ARGUMENTS" in script:
            assert "arrays=beside(" in body, name


def test_both_images_install_the_locked_software_on_one_system():
    docker = (CONTAINERS / "Dockerfile").read_text()
    apptainer = (CONTAINERS / "apptainer.def").read_text()
    (base,) = re.findall(r"^FROM (\S+)", docker, re.MULTILINE)
    assert f"From: {base}\n" in apptainer
    locked = "--require-hashes --requirement requirements.lock"
    packages = re.compile(r"--no-install-recommends ([^\\\n]+)")
    assert packages.search(docker)[1].strip() == packages.search(apptainer)[1].strip()
    ignored = (ROOT / ".dockerignore").read_text()
    for text in (docker, apptainer):
        assert locked in text
        for name in ("requirements.lock", "pyproject.toml", "README.md", "LICENSE", "src"):
            assert name in text
            assert (ROOT / name).exists()
            assert f"!{name}" in ignored
