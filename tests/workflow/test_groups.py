"""Which jobs a cluster gets: every training by itself, and the small ones together."""

import os
import re
import stat
import subprocess
import sys

import pytest
from locations import ROOT
from planning import SNAKEMAKE, jobs, snakemake
from rule_texts import rules

TRAININGS = {"distill", "finetune", "drifting_probe", "transfer_finetune", "transfer_drifting"}
GROUPED = {name for name, body in rules().items() if "together(" in body}
LOCAL = {"all", *(name for name, body in rules().items() if "localrule: True" in body)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config", "thesis"])
def test_beside_the_trainings_a_study_is_at_most_80_submitted_jobs(name):
    status, said = snakemake("-n", "--jobs", "40", "--configfile", f"config/{name}.yaml")
    assert status == 0, said[-3000:]
    counts = jobs(said)
    groups = re.findall(r"Group job (\S+)", said)
    assert len(groups) == len(set(groups))
    alone = {rule: n for rule, n in counts.items() if rule not in TRAININGS | GROUPED | LOCAL}
    assert groups
    assert len(groups) + sum(alone.values()) <= 80


def test_no_training_is_grouped_and_no_group_has_a_local_job():
    """A group with a local job would run on the head."""
    assert not GROUPED & (TRAININGS | LOCAL)
    light = ("select_", "measure_", "check_attributes", "all")
    assert all(name.startswith(light) for name in LOCAL)


def test_members_side_by_side_fit_the_smaller_node():
    """A group's members run as many at a time as its cores allow, whatever memory each asks for."""
    text = (ROOT / "profiles/slurm/config.yaml").read_text()
    cores = int(re.search(r"^cores: (\d+)", text, re.MULTILINE)[1])
    for name in sorted(GROUPED):
        threads, memory = (
            int(re.search(pattern, rules()[name])[1])
            for pattern in (r"threads: (\d+)", r"mem_mb=(?:growing\()?(\d+)")
        )
        assert cores // threads * memory <= 60000, name


SRUN = """#!/bin/bash
echo "$@" >> "$(dirname "$0")/calls"
while [[ $1 == -* ]]; do shift; done
exec "$@"
"""


@pytest.mark.slow
def test_a_group_is_one_job_step_in_which_every_figure_is_drawn(finished, own_study, tmp_path):
    """SLURM's job step would run disconnected members one after the other, each in a Snakemake."""
    folder, (_, instant) = own_study, finished
    (tmp_path / "srun").write_text(SRUN)
    (tmp_path / "srun").chmod(stat.S_IRWXU)
    figures = sorted((folder / "results/demo/figures").rglob("*.svg"))[:3]
    names = [str(path.relative_to(folder / "results/demo/figures"))[:-4] for path in figures]
    for path in figures:
        path.unlink()
    done = subprocess.run(
        [
            *SNAKEMAKE,
            *("--executor", "slurm-jobstep", "--jobs", "1", "--cores", "all", "--mode", "remote"),
            *("--nolock", "--ignore-incomplete", "--force", "--configfile", "config/demo.yaml"),
            *("--allowed-rules", "draw", "--local-groupid", "one", "--target-jobs"),
            *(f"draw:figure={name}" for name in names),
        ],
        cwd=folder,
        env=os.environ
        | {
            "PATH": f"{tmp_path}:{instant}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "src"),
            "XDG_CACHE_HOME": str(folder / ".cache"),
            "SLURM_JOB_ID": "1",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert all(path.is_file() for path in figures)
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


def cpu_seconds(*command: str, environment: dict[str, str]) -> float:
    """CPU time of a command, its children included."""
    before = os.times()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    after = os.times()
    return (
        after.children_user
        - before.children_user
        + (after.children_system - before.children_system)
    )


@pytest.mark.slow
def test_planning_the_thesis_costs_little_more_than_starting_snakemake(tmp_path):
    """About 3 times as much (benchmarks/planning.py); the rest is room for other machines."""
    environment = os.environ | {
        "PYTHONPYCACHEPREFIX": str(tmp_path),
        "PYTHONPATH": str(ROOT / "src"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    version = [*SNAKEMAKE, "--version"]
    plan = [*SNAKEMAKE, "-n", "--configfile", "config/thesis.yaml"]
    seconds = {}
    for _ in range(3):  # the first fills the caches
        for name, command in {"version": version, "plan": plan}.items():
            taken = cpu_seconds(*command, environment=environment)
            seconds[name] = min(taken, seconds.get(name, taken))
    assert seconds["plan"] <= 4 * seconds["version"], seconds
