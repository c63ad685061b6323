"""A copy of the workflow, and one whose demo study is finished."""

import shutil
import stat
import sys
from pathlib import Path

import pytest
from locations import ROOT
from planning import INSTANT, snakemake


def copy_of_the_workflow(folder: Path) -> Path:
    for name in ("workflow", "config", "src", "profiles"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    shutil.copy(ROOT / "Snakefile", folder)
    return folder


@pytest.fixture(scope="session")
def checkout(tmp_path_factory) -> Path:
    """A copy of the workflow without results."""
    return copy_of_the_workflow(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> tuple[Path, Path]:
    """The demo study run to its end by the stand-in; its folder and the stand-in's."""
    folder = copy_of_the_workflow(tmp_path_factory.mktemp("finished"))
    instant = folder / "instant"
    instant.mkdir()
    (instant / "python").write_text(INSTANT.replace("{python}", sys.executable))
    (instant / "python").chmod(stat.S_IRWXU)
    status, said = snakemake(
        "--cores", "2", "--configfile", "config/demo.yaml", folder=folder, instant=instant
    )
    assert status == 0, said[-3000:]
    return folder, instant


@pytest.fixture
def own_study(finished, tmp_path) -> Path:
    """The finished study in a folder of its own, for a test that changes it."""
    folder = tmp_path / "study"
    return Path(shutil.copytree(finished[0], folder, ignore=shutil.ignore_patterns("locks")))
