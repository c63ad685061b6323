"""The history as TensorBoard's scalars."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
from made_trainings import StopAfter, trained

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.training.checkpoints import Checkpoints
from cxrfmkd.training.events import events_folder


def test_tensorboard_shows_the_history_of_all_starts(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.raises(SystemExit), StopAfter(tmp_path / "c", 7) as checkpoints:
        trained(checkpoints, events=tmp_path / "events")
    with Checkpoints(tmp_path / "c") as checkpoints:
        _, result = trained(checkpoints, events=tmp_path / "events")
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert set(events.Tags()["scalars"]) == set(result.history) - {"epoch"}
    for name in ("train_loss", "val_cosine", "learning_rate", "seconds"):
        scalars = events.Scalars(name)
        assert [event.step for event in scalars] == [0, 1, 2]
        expected = result.history[name].astype(np.float32)
        np.testing.assert_array_equal([event.value for event in scalars], expected)


def test_every_scalar_of_the_history_is_written_at_its_epoch(tmp_path, monkeypatch):
    written, begun = [], []

    class Writer:
        def __init__(self, folder, purge_step):
            begun.append((folder, purge_step))

        def add_scalar(self, name, value, step):
            written.append((step, name, value))

        def flush(self):
            pass

        close = flush

    stand_in = types.SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stand_in)
    _, result = trained(events=tmp_path)
    rows = result.history.to_dict("records")
    assert written == [(r["epoch"], k, v) for r in rows for k, v in r.items() if k != "epoch"]
    assert begun == [(str(tmp_path), 0)]


def test_without_the_package_tensorboard_one_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"pip install tensorboard"):
        trained(events=tmp_path)


def test_events_lie_at_the_path_of_their_run_below_the_workflow_s_folder(monkeypatch):
    run = Path("results/demo/chexpert/students/mse/seed41")
    assert events_folder(run) is None
    monkeypatch.setenv("CXRFMKD_TENSORBOARD", "logs/demo/tensorboard")
    assert events_folder(run) == Path("logs/demo/tensorboard") / run
    assert events_folder(Path("/data") / run) == Path("logs/demo/tensorboard/data") / run
