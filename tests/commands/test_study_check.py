"""`cxrfmkd doctor --configfile`: every problem of a study at once, before anything runs."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import raw_layouts
from configurations import configuration

from cxrfmkd.commands import doctor, study_check
from cxrfmkd.commands.study_check import findings
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.grid import Study


@pytest.fixture
def config(tmp_path, monkeypatch) -> dict:
    """A study of two datasets of NIH's layout, with every file that it needs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study_check.shutil, "which", lambda name: None)
    usage = argparse.Namespace(free=1e12)
    monkeypatch.setattr(study_check.shutil, "disk_usage", lambda path: usage)
    config = configuration()
    config["network"] = {"weights": "none"}
    config["resampling"] = {"method": "none"}
    config["evaluation"] = {"attributes": ["sex", "age"]}
    config["bias"] = {"attributes": ["sex", "age"]}
    config["synthetic"] = {}
    for name, dataset in config["datasets"].items():
        raw = raw_layouts.nih(tmp_path / name, raw_layouts.many(60))
        (tmp_path / name / "vectors").mkdir()
        for image in Path(raw.images).iterdir():
            vector = np.zeros(1376, np.float32)
            vector.tofile(tmp_path / name / "vectors" / f"{image.stem}.dat")
        teacher = {"source": "dat", "path": str(tmp_path / name / "vectors")}
        dataset.clear()
        dataset |= raw.model_dump(exclude_unset=True)
        dataset["teacher"] = teacher | {"variant": "cxrfm-v1", "key": "path"}
    return config


def seen(config: dict) -> dict[str, study_check.Finding]:
    return {finding.about: finding for finding in findings(Study(config))}


def test_a_study_that_has_all_it_needs_has_no_problem(config):
    found = seen(config)
    assert [finding for finding in found.values() if not finding.ok] == []
    name = next(iter(config["datasets"]))
    assert found[f"{name}, records"].text.endswith("test images")
    assert "have a vector" in found[f"{name}, teacher"].text
    assert {"disk", "memory", "initial weights"} <= set(found)


def test_every_teacher_is_looked_at(config):
    first, second = config["datasets"]
    own = {"title": "a copy", "licence": "none", "dimension": 1376}
    config["teachers"] = {"copy": own | {"failed": 0.0}}
    config["distillation"] |= {"teachers": ["copy"], "standardise_teacher": "phi-s"}
    for dataset in config["datasets"].values():
        dataset["teachers"] = {"copy": dataset["teacher"] | {"variant": "copy"}}
    config["datasets"][second]["teachers"]["copy"] |= {"path": "nowhere"}
    found = seen(config)
    assert "have a vector" in found[f"{first}, teacher copy"].text
    wrong = found[f"{second}, teacher copy"]
    assert not wrong.ok
    assert f"datasets.{second}.teachers.copy.path is" in wrong.text


def test_declared_attributes_are_looked_at_with_the_records(config):
    config["attributes"] = {"follow_up": {"column": "Follow-up #", "edges": [0]}}
    name = next(iter(config["datasets"]))
    text = seen(config)[f"{name}, records"].text
    assert "follow_up blank for 0 of the test images" in text
    config["attributes"] = {"sides": {"column": "View Position", "values": ["PA", "LL"]}}
    broken = seen(config)[f"{name}, records"]
    assert not broken.ok
    assert "column View Position" in broken.text


def test_every_problem_is_found_at_once(config, tmp_path):
    first, second = config["datasets"]
    for vector in sorted((tmp_path / first / "vectors").iterdir())[:-1]:
        vector.unlink()
    table = tmp_path / second / "entries.csv"
    table.write_text(table.read_text().splitlines()[0] + "\n")
    config["datasets"][second]["images"] = str(tmp_path / "nowhere")
    config["network"] = {"weights": str(tmp_path / "empty")}
    found = seen(config)
    wrong = {about: finding.text for about, finding in found.items() if not finding.ok}
    assert "teacher.failed allows" in wrong.pop(f"{first}, teacher")
    assert "a header and no row" in wrong.pop(f"{second}, entries")
    assert "nowhere, which is no folder" in wrong.pop(f"{second}, images")
    assert all(about.startswith("initial weights, ") for about in wrong)
    assert "neither" in wrong["initial weights, densenet169"]
    assert f"{second}, records" not in found


@pytest.mark.parametrize("there", ["gpus48 gpus24", "main"])
def test_partitions_of_the_profile_are_those_of_the_scheduler(config, tmp_path, monkeypatch, there):
    (tmp_path / "profiles/slurm").mkdir(parents=True)
    profile = "partitions:\n  gpus48: {max_gpu: 1}\n  gpus24: {max_gpu: 0}\n"
    (tmp_path / "profiles/slurm/config.yaml").write_text(profile)
    (tmp_path / "bin").mkdir()
    sinfo = tmp_path / "bin/sinfo"
    sinfo.write_text(f"#!/bin/sh\nprintf '%s\\n' {there}\n")
    sinfo.chmod(0o755)
    monkeypatch.setattr(study_check.shutil, "which", lambda name: str(sinfo))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (found,) = study_check.partition_findings()
    assert found.ok == (there != "main")
    sinfo.write_text("#!/bin/sh\necho 'no controller' >&2; exit 1\n")
    (found,) = study_check.partition_findings()
    assert found.ok
    assert "no scheduler answers here (no controller)" in found.text


def test_too_small_a_disk_is_a_problem(config, monkeypatch):
    usage = argparse.Namespace(free=1)
    monkeypatch.setattr(study_check.shutil, "disk_usage", lambda path: usage)
    assert not seen(config)["disk"].ok


def test_doctor_lists_the_problems_again_at_its_end(monkeypatch, capsys):
    wrong = study_check.Finding("disk", "too small", ok=False)
    right = study_check.Finding("memory", "enough")
    monkeypatch.setattr(doctor, "read_study", lambda *_: None)
    args = argparse.Namespace(configfile=[], config=[])
    monkeypatch.setattr(study_check, "findings", lambda study: iter([right, wrong]))
    with pytest.raises(InputError, match=r"1 to mend before it runs:\n  disk: too small"):
        doctor.check_study(args)
    assert "PROBLEM: too small" in capsys.readouterr().out
    monkeypatch.setattr(study_check, "findings", lambda study: iter([right]))
    doctor.check_study(args)
    assert "The study can run." in capsys.readouterr().out
