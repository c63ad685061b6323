"""Checkpoints: refused, locked, written in time, and exact after any kill."""

import contextlib
import fcntl
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import killed
import pandas as pd
import pytest
from locations import TESTS
from made_trainings import CLOCKS, trained

from cxrfmkd.networks.network import load
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.training import checkpoints as checkpoints_module
from cxrfmkd.training.checkpoints import Checkpoints


def interrupt():
    raise KeyboardInterrupt


def test_a_checkpoint_of_other_settings_code_or_data_is_refused_aloud(tmp_path, caplog):
    with contextlib.suppress(KeyboardInterrupt), Checkpoints(tmp_path / "c") as checkpoints:
        assert checkpoints.load("this") is None
        checkpoints.save({"epoch": 3})
        interrupt()
    with contextlib.suppress(KeyboardInterrupt), Checkpoints(tmp_path / "c") as checkpoints:
        assert checkpoints.load("this") == {"epoch": 3}
        assert checkpoints.load("other") is None
        interrupt()
    assert "made by other settings, code or data; starting afresh" in caplog.text


def test_a_torn_checkpoint_is_not_believed(tmp_path, caplog):
    (tmp_path / "state.pt").write_bytes(b"not a checkpoint")
    (tmp_path / ".123.state.pt").write_bytes(b"half a checkpoint")
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.load("x") is None
        assert not (tmp_path / ".123.state.pt").exists()
    assert "cannot be read" in caplog.text


def test_the_folder_goes_when_all_went_well_and_stays_when_not(tmp_path):
    with Checkpoints(tmp_path / "well") as checkpoints:
        checkpoints.save({})
    assert not (tmp_path / "well").exists()
    with contextlib.suppress(KeyboardInterrupt), Checkpoints(tmp_path / "ill") as checkpoints:
        checkpoints.save({})
        interrupt()
    assert (tmp_path / "ill" / "state.pt").exists()


def test_a_kept_checkpoint_stays_when_all_went_well(tmp_path):
    with Checkpoints(tmp_path / "well", keep=True) as checkpoints:
        checkpoints.load("settings")
        checkpoints.save({"epoch": 3})
    with Checkpoints(tmp_path / "well") as checkpoints:
        assert checkpoints.load("settings") == {"epoch": 3}
    assert not (tmp_path / "well").exists()


def test_two_processes_cannot_train_one_run(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints_module, "PATIENCE", 0.1)
    with Checkpoints(tmp_path / "c"):
        with (
            pytest.raises(InputError, match=rf"process {os.getpid()} on .* is at work on this"),
            Checkpoints(tmp_path / "c"),
        ):
            pass
        assert (tmp_path / "c").exists()
    with Checkpoints(tmp_path / "c"):
        pass


@pytest.mark.parametrize("ends_well", [True, False])
def test_a_process_that_is_ending_is_waited_for(tmp_path, ends_well):
    """As a requeued job meets its first process, which still saves on another node."""
    script = (
        "import sys, time; from cxrfmkd.training.checkpoints import Checkpoints\n"
        "with Checkpoints(sys.argv[1]):\n    print('held', flush=True)\n    time.sleep(1)\n"
        f"    {ends_well} or sys.exit(75)"
    )
    former = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "c")], stdout=subprocess.PIPE, text=True
    )
    assert former.stdout.readline() == "held\n"
    with Checkpoints(tmp_path / "c") as checkpoints:
        assert former.wait(10) == (0 if ends_well else 75)
        checkpoints.save({"step": 1})
        with open(tmp_path / "c" / "lock") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, caplog):
    def none(*arguments):
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with Checkpoints(tmp_path):
        pass
    assert "has no locks" in caplog.text


def test_a_used_up_time_budget_saves_and_leaves_with_75(tmp_path):
    with pytest.raises(SystemExit) as left, Checkpoints(tmp_path / "c", minutes=0) as checkpoints:
        trained(checkpoints)
    assert left.value.code == 75
    assert (tmp_path / "c" / "state.pt").exists()


def test_checkpoints_come_as_often_as_asked(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(checkpoints_module.time, "monotonic", lambda: now)
    with Checkpoints(tmp_path, every=10) as checkpoints:
        now = 9.0
        assert not checkpoints.due
        now = 11.0
        assert checkpoints.due
        checkpoints.save({})
        now = 12.0
        assert not checkpoints.due


def test_without_a_folder_nothing_is_kept():
    with Checkpoints(None) as checkpoints:
        checkpoints.save({})
        assert checkpoints.load("x") is None
        assert not checkpoints.due
        assert not checkpoints.stop_reason


def run_in_a_process(folder: Path) -> subprocess.Popen:
    tests = TESTS
    code = (
        f"import sys, logging; from pathlib import Path; sys.path.insert(0, {str(tests)!r}); "
        "import killed;"
        f"logging.basicConfig(level='INFO');"
        f"killed.distilled(Path({str(folder / 'c')!r}), Path({str(folder / 'out')!r}))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=os.environ
    )


@pytest.mark.slow
def test_sigterm_saves_leaves_with_75_and_the_next_start_goes_on(tmp_path):
    process = run_in_a_process(tmp_path)
    while not (tmp_path / "c" / "state.pt").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, log_text = process.communicate(timeout=600)
    assert process.returncode == 75
    assert "SIGTERM came; the next start goes on from here" in log_text
    again = run_in_a_process(tmp_path)
    _, log_text = again.communicate(timeout=600)
    assert again.returncode == 0
    assert "epoch 13" in log_text
    assert "resuming at epoch" in log_text
    assert (tmp_path / "out" / "weights.safetensors").exists()
    assert not (tmp_path / "c").exists()


@pytest.mark.slow
def test_killed_twenty_times_a_training_ends_with_the_same_weights(tmp_path):
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["cxrfmkd.training.distillation"])
    uninterrupted = server.Process(target=killed.distilled, args=(None, tmp_path / "whole"))
    uninterrupted.start()
    uninterrupted.join()
    state, out = tmp_path / "c" / "state.pt", tmp_path / "out"
    chance, kills = random.Random(1), 0
    while not out.exists():
        before = state.stat().st_mtime_ns if state.exists() else 0
        process = server.Process(target=killed.distilled, args=(tmp_path / "c", out))
        process.start()
        while kills < 24 and process.is_alive():
            if state.exists() and state.stat().st_mtime_ns != before:
                time.sleep(chance.random() * 0.02)  # a few of its 170 steps, on any machine
                process.kill()
                kills += process.is_alive() or process.exitcode == -signal.SIGKILL
                break
            time.sleep(0.002)
        process.join()
    assert kills >= 20
    folders = [out, tmp_path / "whole"]
    weights, expected = (load(folder / "weights.safetensors").identity() for folder in folders)
    assert weights == expected
    histories = [pd.read_csv(folder / "history.csv").drop(columns=CLOCKS) for folder in folders]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
