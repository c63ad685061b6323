"""No name that a user configures is ever run: not of a folder, a table or the checkout itself."""

from __future__ import annotations

import ast
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from locations import ROOT
from rule_texts import rules

# Whatever a shell would do with a part of this leaves a file named PWNED.
HOSTILE = "a $(touch PWNED1) `touch PWNED2`; touch PWNED3 & touch PWNED4 | 'b' \"c\" * $HOME #"

NUMBERS = ("threads", "resources.runtime")

# Says its arguments, as a list in Python, to the file SPOKEN.
SPEAKING = """#!{python}
import os, sys
with open(os.environ["SPOKEN"], "a") as file:
    print(repr(sys.argv[1:]), file=file)
"""


@pytest.mark.parametrize("rule", sorted(rules()))
def test_every_name_in_a_shell_command_is_quoted(rule):
    (command,) = re.findall(r"^    shell:\n((?:        .*\n?)+)", rules()[rule], re.MULTILINE)
    names = re.findall(r"\{([^}]*)\}", command)
    assert [n for n in names if not n.endswith(":q") and n not in NUMBERS] == []


@pytest.fixture(scope="module")
def hostile_study(tmp_path_factory) -> tuple[Path, dict]:
    """A checkout in a folder of that name, and the demo with every path named so."""
    folder = tmp_path_factory.mktemp("quoting") / HOSTILE
    for name in ("workflow", "config", "src"):
        skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, folder / name, ignore=skipped)
    shutil.copy(ROOT / "Snakefile", folder)
    study = yaml.safe_load((ROOT / "config/demo.yaml").read_text())
    study["pathvars"] = {name: f"{name}/{HOSTILE}" for name in study["pathvars"]}
    study["folders"] = {"resources": study["pathvars"]["resources"]}
    study["network"]["weights"] = f"weights/{HOSTILE}"
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return folder, study


def snakemake(folder: Path, *arguments: str) -> str:
    """What Snakemake says of the demo, with `python` of jobs replaced by one that only speaks."""
    places = folder.parent / "places"
    places.mkdir(exist_ok=True)
    (places / "python").write_text(SPEAKING.replace("{python}", sys.executable))
    (places / "python").chmod(stat.S_IRWXU)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--configfile", "study.yaml", *arguments],
        cwd=folder,
        env=os.environ
        | {
            "PATH": f"{places}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "SPOKEN": str(folder.parent / "spoken"),
            "XDG_CACHE_HOME": str(folder.parent / "cache"),
        },
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def pwned(folder: Path) -> list[Path]:
    return list(folder.parent.rglob("PWNED*"))


@pytest.mark.slow
def test_no_hostile_name_is_run_by_any_job(hostile_study):
    folder, _ = hostile_study
    said = snakemake(folder, "-n", "-p", "--cores", "1")
    commands = re.findall(r"^(?:Shell command: |\s+)(exec python .*)$", said, re.MULTILINE)
    scripts = {re.search(r"/(\w+)\.py", command)[1] for command in commands}
    assert len(scripts) >= 25, said[-3000:]
    one_each = {re.search(r"/(\w+)\.py", command)[1]: command for command in commands}
    environment = os.environ | {
        "PATH": f"{folder.parent / 'places'}:{os.environ['PATH']}",
        "SCRIPTS": str(folder / "workflow" / "scripts"),
        "SPOKEN": str(folder.parent / "spoken"),
    }
    for script, command in one_each.items():
        log = re.search(r"&>> (.*)$", command)[1]
        command = command[: -len(f" &>> {log}")]  # Snakemake makes the folder of the log
        subprocess.run(["bash", "-c", command], cwd=folder, env=environment, check=True)
        words = ast.literal_eval((folder.parent / "spoken").read_text().splitlines()[-1])
        assert words[0].endswith(f"{script}.py")
        assert any(HOSTILE in word for word in words[1:])
        assert pwned(folder) == [], script


@pytest.mark.slow
def test_no_hostile_name_is_run_when_a_job_runs(hostile_study):
    folder, study = hostile_study
    target = f"{study['folders']['resources']}/synthetic-chexpert/train.csv"
    said = snakemake(folder, "--cores", "1", "--notemp", "--latency-wait", "0", target)
    assert "synthesize_chexpert.py" in (folder.parent / "spoken").read_text(), said[-3000:]
    assert pwned(folder) == []
