"""The tutorial of a table of one's own, done as its page says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from locations import ROOT

from cxrfmkd.commands.configuration import read_study
from cxrfmkd.commands.study_check import dataset_findings

PAGE = (ROOT / "docs" / "own-table.md").read_text(encoding="utf-8")
BLOCK = re.compile(r'(?ms)^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$')
MISTAKE = re.compile(r"Try it with a mistake: write `(\w+)` for `(\w+)`")


def shell(command: str, folder: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "src"),
        "XDG_CACHE_HOME": str(folder / ".cache"),
    }
    return subprocess.run(
        ["bash", "-euc", command], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def followed(checkout, tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """The folder after all blocks of the page, and what each command said."""
    folder = tmp_path_factory.mktemp("tutorial") / "checkout"
    shutil.copytree(checkout, folder, ignore=shutil.ignore_patterns("res*s", ".snakemake"))
    environment, *blocks = BLOCK.findall(PAGE)
    assert "make environment" in environment[2]
    said = {}
    for kind, title, text in blocks:
        if title:
            path = folder / title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            continue
        assert kind == "bash"
        done = shell(text, folder)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        said[text.split("\n")[0].split(" --")[0]] = done.stdout + done.stderr
    return folder, said


@pytest.mark.slow
def test_every_command_of_the_tutorial_runs(followed):
    _, said = followed
    assert len(said) == 5
    plan = dict(re.findall(r"(?m)^(\w+) +(\d+)$", said["snakemake -n"]))
    assert plan["distill"] == "1"
    assert plan["write_report"] == "1"
    assert "sample_records" not in plan  # the step before has made them


@pytest.mark.slow
def test_the_records_are_those_of_the_table(followed):
    folder, _ = followed
    table = (folder / "resources/example/hospital.csv").read_text().splitlines()
    shown = re.findall(r"(?m)^    (file,patient.*)\n    (.*)$", PAGE)
    assert [tuple(table[:2])] == shown  # the page shows its first lines
    summary = json.loads((folder / "results/own/hospital/records/summary.json").read_text())
    assert summary["flow"][0]["kept"] == len(table) - 1
    assert summary["flow"][0]["patients"] == 150


@pytest.mark.slow
def test_the_mistake_that_the_tutorial_suggests_is_named(followed, monkeypatch):
    folder, _ = followed
    ((wrong, right),) = MISTAKE.findall(PAGE)
    settings = (folder / "config/own.yaml").read_text()
    assert f"sex: {right}\n" in settings
    path = folder / "config/wrong.yaml"
    path.write_text(settings.replace(f": {right}\n", f": {wrong}\n"))
    monkeypatch.chdir(folder)
    *_, last = dataset_findings(read_study([path], []), "hospital", [])
    assert not last.ok
    assert f"datasets.hospital.columns.sex is {wrong}, which the file does not have" in last.text
