"""Processes on a machine with several GPUs each see one, evenly spread."""

import os
import subprocess
import sys

import pytest

from cxrfmkd.runtime import cards

CLAIM = """
import os, sys
from cxrfmkd.runtime.cards import claim
claim()
claim()
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


class Processes:
    """Processes that claim a card and keep it until they are ended."""

    def __init__(self, folder, visible):
        self.environment = os.environ | {"TMPDIR": str(folder)}
        self.environment.pop("CUDA_VISIBLE_DEVICES", None)
        if visible is not None:
            self.environment["CUDA_VISIBLE_DEVICES"] = visible
        self.running = []

    def start(self) -> str:
        """The card that a further process sees."""
        process = subprocess.Popen(
            [sys.executable, "-c", CLAIM],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        return process.stdout.readline().strip()

    def kill(self, number: int) -> None:
        self.running[number].kill()
        self.running[number].wait()


@pytest.fixture
def processes(tmp_path):
    started = []

    def make(visible):
        started.append(Processes(tmp_path, visible))
        return started[-1]

    yield make
    for process in (process for group in started for process in group.running):
        process.kill()
        process.communicate()


def test_each_process_sees_a_card_of_its_own_and_takes_over_that_of_a_killed_one(processes):
    group = processes("2,GPU-b")
    assert [group.start(), group.start()] == ["2", "GPU-b"]
    group.kill(0)
    assert group.start() == "2"


def test_more_processes_than_cards_are_spread_evenly(processes):
    group = processes("0,1")
    assert sorted(group.start() for _ in range(4)) == ["0", "0", "1", "1"]


@pytest.mark.parametrize("visible", ["3", "", "-1"])
def test_what_a_scheduler_or_a_user_has_chosen_stays(processes, visible):
    group = processes(visible)
    assert [group.start(), group.start()] == [visible, visible]


def test_without_a_list_the_cards_are_those_of_the_driver(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(cards, "DRIVER", tmp_path)
    assert cards.cards() == []
    for bus in ("0000:01:00.0", "0000:41:00.0"):
        (tmp_path / bus).mkdir()
    assert cards.cards() == ["0", "1"]


def test_whoever_may_use_a_gpu_claims_a_card_first(monkeypatch):
    import torch

    from cxrfmkd.networks import devices
    from cxrfmkd.teacher import encoder

    calls = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: calls.append("asked") or True)
    for module in (devices, encoder):
        monkeypatch.setattr(module, "claim", lambda: calls.append("claimed"))
    monkeypatch.delenv(devices.VARIABLE, raising=False)
    for pick in (lambda: devices.pick_device("cuda"), lambda: encoder.torch_device("gpu")):
        calls.clear()
        assert pick().type == "cuda"
        assert calls[0] == "claimed"
    calls.clear()
    devices.pick_device("cpu")
    encoder.torch_device("cpu")
    assert "claimed" not in calls
