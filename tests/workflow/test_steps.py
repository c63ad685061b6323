"""`--logger steps`: a run told in plain words, and what to do when it stops."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from locations import ROOT
from snakemake_interface_logger_plugins.common import LogEvent

import snakemake_logger_plugin_steps as steps

SNAKEFILE = """
rule all:
    input: "b.txt", "c.txt"
rule first:
    output: "a.txt"
    message: "Packing the images of one"
    shell: "touch {output}"
rule second:
    input: "a.txt"
    output: "{name}.txt"
    log: "logs/{name}.log"
    message: "Training {wildcards.name}"
    shell: "(echo why it failed; COMMAND) &> {log}"
"""


def snakemake(folder, command="touch {output}"):
    (folder / "Snakefile").write_text(SNAKEFILE.replace("COMMAND", command))
    arguments = "--cores 1 --logger steps --show-failed-logs --rerun-incomplete".split()
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a terminal's Ctrl-C reaches the jobs too
        # Where the tests run in the background Ctrl-C would be ignored, and inherited so.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_a_run_is_one_line_a_step_with_its_number_and_the_time_left(tmp_path):
    run = snakemake(tmp_path)
    _, told = run.communicate()
    assert run.returncode == 0
    lines = told.splitlines()
    assert lines[0] == "4 steps; the log of each is below logs/"
    assert lines[1] == "[1 of 4] Packing the images of one"
    assert re.fullmatch(r"\[2 of 4\] Training [bc] \(less than a minute left\)", lines[2])
    assert re.fullmatch(r"\[4 of 4\] all \(less than a minute left\)", lines[4])
    assert len(lines) == 5


def test_a_failed_step_is_shown_with_its_log(tmp_path):
    run = snakemake(tmp_path, "false")
    _, told = run.communicate()
    assert run.returncode == 1
    assert "Error in rule second" in told
    assert "why it failed" in told


def test_after_ctrl_c_the_run_says_that_it_goes_on_and_it_does(tmp_path):
    run = snakemake(tmp_path, "sleep 3; touch {output}")
    for line in run.stderr:
        if "Training" in line:
            break
    os.killpg(run.pid, signal.SIGINT)
    _, told = run.communicate()
    assert run.returncode != 0
    assert told.count(steps.STOPPED) == 1
    again = snakemake(tmp_path)
    _, told = again.communicate()
    assert "Training" in told
    assert "Packing" not in told
    assert again.returncode == 0


def test_after_a_kill_the_run_says_how_to_unlock_the_folder(tmp_path):
    run = snakemake(tmp_path, "sleep 20")
    for line in run.stderr:
        if "Training" in line:
            break
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    again = snakemake(tmp_path)
    _, told = again.communicate()
    assert told.count(steps.UNLOCK) == 1
    assert "\nunlock: environment\n\t@$(BIN)/snakemake --unlock" in (ROOT / "Makefile").read_text()


def test_time_left_is_that_of_the_latest_steps(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(steps.time, "monotonic", lambda: clock[0])
    pace = steps.Pace(steps=2)
    assert pace.left(10) == ""
    for done, now in [(1, 600.0), (2, 630.0), (3, 660.0)]:
        clock[0] = now
        pace.step(done)
    assert pace.left(10) == " (about 5 minutes left)"
    assert pace.left(2) == " (about 1 minute left)"
    assert pace.left(1) == " (less than a minute left)"


@pytest.mark.parametrize("text", ["b.txt is missing", "Exiting because a job execution failed."])
def test_any_other_error_is_shown_as_it_is(capsys, text):
    handler = steps.LogHandler(SimpleNamespace(stdout=True), None)
    handler.emit(logging.LogRecord("x", logging.ERROR, "", 0, text, (), None))
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, "Select jobs to execute...", (), None))
    assert capsys.readouterr().out == f"{text}\n"
    assert LogEvent.ERROR in steps.SHOWN


def test_a_dry_run_without_the_raw_data_says_what_is_missing(tmp_path):
    words = ["-n", "--quiet", "rules", "--configfile", str(ROOT / "config/nih.yaml")]
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )
    assert run.returncode == 0, run.stderr
    told = run.stdout + run.stderr
    assert "raw data are not there, so this plan could not run" in told
    assert "datasets.nih-pa.images is /data/nih/images, which does not exist" in told
