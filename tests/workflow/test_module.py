"""The workflow as a module of somebody else's, from a folder of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from locations import ROOT
from planning import SNAKEMAKE

from cxrfmkd.commands.configuration import read_configuration

USER = """
configfile: "study.yaml"


module fmkd:
    snakefile:
        "{root}/Snakefile"
    config:
        config


use rule * from fmkd as {prefix}*


rule mine:
    default_target: True
    input:
        "results/demo/synthetic-chexpert/records/test_resampled.csv",
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Snakemake in `folder`, with nothing of this project in its environment."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment["XDG_CACHE_HOME"] = str(folder / ".cache")
    environment["PYTHONPATH"] = str(ROOT / "src")  # as an installation would have it
    return subprocess.run(
        [*SNAKEMAKE, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def user(tmp_path_factory) -> Path:
    """A user's folder with a configuration of its own."""
    folder = tmp_path_factory.mktemp("user")
    config = read_configuration([ROOT / f"config/{name}.yaml" for name in ("config", "demo")])
    config["synthetic"]["synthetic-chexpert"]["patients"] = 20
    (folder / "study.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "fmkd_"])
def test_jobs_of_the_module_run_in_the_folder_of_its_user(user, prefix):
    (user / "Snakefile").write_text(USER.format(root=ROOT, prefix=prefix))
    done = run(user, "--cores", "1", "--forceall")
    assert done.returncode == 0, done.stderr[-3000:]
    header = (user / "results/demo/synthetic-chexpert/records/test_resampled.csv").read_text()
    assert header.startswith("image_id,")


@pytest.mark.slow
def test_measured_rules_of_a_module_are_found_by_their_own_names(user):
    (user / "Snakefile").write_text(USER.format(root=ROOT, prefix="fmkd_"))
    done = run(user, "-n", "-p", "results/demo/tables/costs.csv")
    assert done.returncode == 0, done.stderr[-3000:]
    told = done.stdout.split("--benchmarks ")[1].split(" --out-dir")[0].split()
    assert "benchmarks/results/demo/distill" in told
    assert not any("fmkd_" in folder for folder in told)


@pytest.mark.slow
def test_jobs_run_in_another_directory(user, tmp_path):
    target = "results/demo/synthetic-chexpert/records/summary.json"
    done = run(
        ROOT,
        *("--directory", str(tmp_path), "--configfile", str(user / "study.yaml")),
        *("--cores", "1", "--nolock", target),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / target).is_file()
