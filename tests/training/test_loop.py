"""The loop, its feeding, its schedules and its checkpoints."""

import logging
import math
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import killed
import made_images
import numpy as np
import pandas as pd
import pytest
import torch
from locations import TESTS
from torch import nn

from cxrfmkd.networks.batches import BatchLoader, shuffled
from cxrfmkd.networks.devices import pick_device
from cxrfmkd.networks.inference import predict
from cxrfmkd.networks.network import Network, load
from cxrfmkd.runtime import progress as progress_module
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.training import checkpoints as checkpoints_module
from cxrfmkd.training.augmentation import Augmentation
from cxrfmkd.training.checkpoints import Checkpoints
from cxrfmkd.training.events import events_folder
from cxrfmkd.training.loop import DivergedError, Plan, evaluate, train
from cxrfmkd.training.losses import Objective
from cxrfmkd.training.schedules import SCHEDULES

made_images.add_tiny_backbone()
TABLES = made_images.records()
IMAGES, TEACHER = made_images.arrays(TABLES)
COMPUTE = Compute(weights="none")
CLOCKS = ["images_per_second", "seconds", "memory_mb"]


def feed(part="train", targets=None):
    ids = TABLES[part].image_id
    return BatchLoader(IMAGES, ids, TEACHER.take(ids) if targets is None else targets)


def plan(**changes):
    chosen = {
        "epochs": 3,
        "batch_size": 5,
        "learning_rate": 0.01,
        "schedule": "one-cycle",
        "seed": 1,
        "augmentation": Augmentation(True, True),
    }
    return Plan(**chosen | changes)


def network():
    torch.manual_seed(0)
    return Network("tiny", 6)


def trained(kept=None, fingerprint="x", loss="mse-cosine-learned", events=None, **changes):
    net, objective = network(), Objective(loss, {"mse": 1, "cosine": 1})
    outcome = train(
        net, objective, feed(), feed("val"), plan(**changes), COMPUTE, kept, fingerprint, events
    )
    return net, outcome


class StopAfter(Checkpoints):
    """Checkpoints that ask for a stop after so many steps."""

    def __init__(self, folder, steps):
        super().__init__(folder, every=math.inf)
        self.left = steps

    @property
    def stop(self):
        self.left -= 1
        return "the test says so" if self.left < 0 else ""


# --- the loop
# ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 2, 4, 7, 11])
def test_a_stopped_training_goes_on_to_the_same_weights_and_history(steps, tmp_path):
    whole, outcome = trained()
    with (
        pytest.raises(SystemExit) as left,
        StopAfter(tmp_path / "checkpoint", steps) as kept,
    ):
        trained(kept)
    assert left.value.code == 75
    saved = torch.load(tmp_path / "checkpoint" / "state.pt", weights_only=True)["state"]
    with Checkpoints(tmp_path / "checkpoint") as kept:
        again, resumed = trained(kept)
    assert again.identity() == whole.identity()
    pd.testing.assert_frame_equal(
        resumed.history.drop(columns=CLOCKS), outcome.history.drop(columns=CLOCKS)
    )
    assert (outcome.resumed, resumed.resumed) == (0, 1)
    assert resumed.best == outcome.best
    assert outcome.earlier == 0 < saved["spent"] + len(saved["history"])
    assert resumed.earlier == saved["spent"] + sum(row["seconds"] for row in saved["history"])
    assert resumed.history.seconds[saved["epoch"]] > saved["spent"]
    assert resumed.history.seconds.sum() > resumed.earlier


def test_equal_seeds_train_equally_and_others_do_not():
    first, second, other = (trained(seed=seed)[0] for seed in (1, 1, 2))
    assert first.identity() == second.identity() != other.identity()


def test_the_network_ends_with_the_weights_of_its_best_epoch():
    net, outcome = trained(epochs=5)
    losses = outcome.history.val_loss
    assert outcome.best["epoch"] == losses.idxmin()
    assert outcome.best["val_loss"] == losses.min()
    assert outcome.history.best_so_far.sum() == (losses.cummin().diff().fillna(-1) < 0).sum()
    again = evaluate(net, Objective("mse-cosine-learned"), feed("val"), 5, COMPUTE)
    best = outcome.history.loc[losses.idxmin()]
    assert again["mse"] == pytest.approx(best.val_mse, rel=1e-6)
    assert again["cosine"] == pytest.approx(best.val_cosine, rel=1e-6)


def test_a_tie_keeps_the_earlier_epoch_and_patience_ends_a_training_that_gets_no_better():
    _, outcome = trained(
        epochs=9, patience=3, learning_rate=0.0, loss="cosine", schedule="constant"
    )
    # Nothing moves but the batch-norm statistics, so what is best comes early and the patience runs
    # out.
    assert len(outcome.history) == outcome.best["epoch"] + 1 + 3 < 9
    flat = np.full((24, 6), 1.0, np.float32)
    frozen = Network("tiny", 6, 6).freeze()
    nn.init.zeros_(frozen.head.weight)
    nn.init.zeros_(frozen.head.bias)
    constant = train(
        frozen,
        Objective("mse"),
        feed(targets=flat),
        feed("val", flat[:12]),
        plan(learning_rate=0.0, schedule="constant"),
        COMPUTE,
    )
    assert constant.best == {"epoch": 0, "val_loss": 1.0}


def test_history_tells_every_term_of_the_loss_and_what_the_epoch_cost():
    _, outcome = trained()
    wanted = {"epoch", "learning_rate", "images_per_second", "seconds", "memory_mb", "best_so_far"}
    terms = {"loss", "mse", "cosine", "log_mse", "log_cosine"}
    assert set(outcome.history) == wanted | {f"{p}_{t}" for p in ("train", "val") for t in terms}
    assert (outcome.history[CLOCKS] > 0).all(axis=None)
    assert outcome.history.epoch.tolist() == [0, 1, 2]


def test_the_last_partial_batch_is_trained_on_and_weighs_as_much_as_it_has_images():
    seen = []

    class Count(nn.Module):
        def forward(self, output, targets):
            if output.requires_grad:
                seen.append(len(output))
            return {"loss": (output * 0 + targets).mean()}

    outcome = train(network(), Count(), feed(), feed("val"), plan(epochs=1), COMPUTE)
    assert seen == [5, 5, 5, 5, 4]
    expected = TEACHER.take(TABLES["train"].image_id).mean()
    assert outcome.history.train_loss[0] == pytest.approx(expected, rel=1e-6)


def test_known_labels_weigh_alike_however_they_fall_into_batches():
    labels = np.random.default_rng(0).integers(0, 2, (12, 6)).astype(np.float32)
    labels[:5, :4] = np.nan

    class Known(nn.Module):
        def forward(self, output, targets):
            return {"loss": targets[~targets.isnan()].mean()}

    found = evaluate(network(), Known(), feed("val", labels), 5, COMPUTE)["loss"]
    assert found == pytest.approx(np.nanmean(labels), rel=1e-6)


def test_a_diverging_loss_stops_with_step_terms_and_learning_rate():
    targets = TEACHER.take(TABLES["train"].image_id).copy()
    targets[:, 0] = 1e30
    with pytest.raises(DivergedError, match=r"step 0 .*loss inf, mse inf; learning rate 0.0004;"):
        train(network(), Objective("mse"), feed(targets=targets), feed("val"), plan(), COMPUTE)
    with pytest.raises(DivergedError, match=r"mse 1\.\d+e\+07"):
        train(
            network(),
            Objective("mse"),
            feed(targets=targets * 0 + 4000),
            feed("val"),
            plan(),
            COMPUTE,
        )


def test_a_validation_loss_that_is_no_number_stops_too():
    broken = TEACHER.take(TABLES["val"].image_id) * np.float32(1e30)
    with pytest.raises(DivergedError, match="validation loss of epoch 0 is inf"):
        train(network(), Objective("mse"), feed(), feed("val", broken), plan(), COMPUTE)


def test_a_last_batch_of_one_small_image_is_refused_before_anything_is_trained():
    with pytest.raises(InputError, match="leave a last batch of one"):
        trained(batch_size=23)


def test_deterministic_algorithms_are_asked_for_and_left_behind():
    seen = []

    class Look(nn.Module):
        def forward(self, output, targets):
            seen.append(torch.are_deterministic_algorithms_enabled())
            return {"loss": output.square().mean()}

    compute = Compute(weights="none", deterministic=True)
    train(network(), Look(), feed(), feed("val"), plan(epochs=1), compute)
    assert all(seen)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == pick_device("cpu").type == "cpu"
    with pytest.raises(InputError, match=r"network\.device is cuda"):
        pick_device("cuda")


def test_the_workflow_s_device_counts_where_none_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device().type == "cuda"
    monkeypatch.setenv("CXRFMKD_DEVICE", "cpu")
    assert pick_device().type == "cpu"
    assert pick_device("cuda").type == "cuda"


# --- schedules
# -----------------------------------------------------------------------------------------


def rates(name, steps, rate=0.01):
    adam = torch.optim.Adam([{"params": [nn.Parameter(torch.zeros(1))], "lr": rate}], lr=1)
    schedule = SCHEDULES[name](adam, steps)
    found = []
    for _ in range(steps):
        found.append((adam.param_groups[0]["lr"], adam.param_groups[0]["betas"][0]))
        adam.step()
        schedule.step()
    return np.array(found)


def test_one_cycle_is_the_thesis_schedule():
    lr, beta = rates("one-cycle", 1000).T
    assert lr[0] == pytest.approx(0.01 / 25)
    assert lr[-1] == pytest.approx(0.01 / 25 / 1e4)
    assert lr.argmax() == 299
    assert lr.max() == pytest.approx(0.01)
    half = 0.01 / 25 + (0.01 - 0.01 / 25) * (1 - math.cos(math.pi * 100 / 299)) / 2
    assert lr[100] == pytest.approx(half)
    assert (beta[0], beta[299], beta[-1]) == pytest.approx((0.95, 0.85, 0.95))


def test_the_constant_schedule_is_constant_and_cosine_warms_up_then_falls_to_nothing():
    assert set(rates("constant", 10)[:, 0]) == {0.01}
    lr = rates("cosine", 100)[:, 0]
    assert lr[0] == pytest.approx(0.002)
    assert lr[4] == lr.max() == pytest.approx(0.01)
    assert (np.diff(lr[5:]) < 0).all()
    assert 0 < lr[-1] < 1e-5


# --- feeding
# -------------------------------------------------------------------------------------------


def test_images_and_targets_meet_by_key_in_any_order():
    order = shuffled(24, 1, 0)
    ids = TABLES["train"].image_id.to_numpy()
    pairs = list(feed().batches(7, order))
    assert [len(images) for images, _ in pairs] == [7, 7, 7, 3]
    np.testing.assert_array_equal(torch.cat([f for f, _ in pairs]), IMAGES.take(ids[order]))
    np.testing.assert_array_equal(torch.cat([t for _, t in pairs]), TEACHER.take(ids[order]))
    rest = list(feed().batches(7, order, start=2))
    assert torch.equal(rest[0][0], pairs[2][0])
    assert len(rest) == 2


def test_an_epochs_order_is_a_permutation_of_its_own():
    orders = [shuffled(50, seed, epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert all(sorted(order.tolist()) == list(range(50)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 4
    assert torch.equal(orders[1], shuffled(50, 1, 1))


def test_batches_read_ahead_are_the_same_and_their_thread_ends(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    fed, parts = feed(), shuffled(24, 1, 0).split(5)
    for part, images in zip(parts, fed._ahead(parts), strict=True):
        np.testing.assert_array_equal(images, fed._read(part))
    begun = fed._ahead(parts)
    next(begun)
    begun.close()

    def fail(self, positions):
        raise OSError("the disk is gone")

    monkeypatch.setattr(BatchLoader, "_read", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        next(fed._ahead(parts))


def test_a_feeds_identity_changes_with_its_images_and_its_targets():
    ids = TABLES["train"].image_id
    targets = TEACHER.take(ids)
    base = BatchLoader(IMAGES, ids, targets).identity()
    assert BatchLoader(IMAGES, ids, targets).identity() == base
    assert BatchLoader(IMAGES, ids[::-1], targets).identity() != base
    assert BatchLoader(IMAGES, ids, targets + 1).identity() != base


@pytest.mark.parametrize(
    ("ids", "message"), [([], "records are empty"), (["train/000", "elsewhere"], "1 of 2 images")]
)
def test_images_that_are_not_there_are_an_error(ids, message):
    with pytest.raises(InputError, match=message):
        BatchLoader(IMAGES, ids)


def test_predictions_are_the_networks_own_in_the_order_of_the_feed():
    net = network().eval()
    found, doubled = predict(net, lambda x: (net(x), 2 * net(x)), feed("val"), 5)
    with torch.no_grad():
        expected = net(torch.from_numpy(IMAGES.take(TABLES["val"].image_id)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(doubled, 2 * found)


# --- checkpoints
# ---------------------------------------------------------------------------------------


def test_a_checkpoint_of_other_settings_code_or_data_is_refused_aloud(tmp_path, caplog):
    with pytest.raises(KeyboardInterrupt), Checkpoints(tmp_path / "c") as kept:
        assert kept.load("this") is None
        kept.save({"epoch": 3})
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), Checkpoints(tmp_path / "c") as kept:
        assert kept.load("this") == {"epoch": 3}
        assert kept.load("other") is None
        raise KeyboardInterrupt
    assert "made by other settings, code or data; starting afresh" in caplog.text


def test_a_torn_checkpoint_is_not_believed(tmp_path, caplog):
    (tmp_path / "state.pt").write_bytes(b"not a checkpoint")
    (tmp_path / ".123.state.pt").write_bytes(b"half a checkpoint")
    with Checkpoints(tmp_path) as kept:
        assert kept.load("x") is None
        assert not (tmp_path / ".123.state.pt").exists()
    assert "cannot be read" in caplog.text


def test_the_folder_goes_when_all_went_well_and_stays_when_not(tmp_path):
    with Checkpoints(tmp_path / "well") as kept:
        kept.save({})
    assert not (tmp_path / "well").exists()
    with pytest.raises(ZeroDivisionError), Checkpoints(tmp_path / "ill") as kept:
        kept.save({})
        1 / 0  # noqa: B018
    assert (tmp_path / "ill" / "state.pt").exists()


def test_two_processes_cannot_train_one_run(tmp_path):
    with Checkpoints(tmp_path / "c"):
        with (
            pytest.raises(InputError, match=rf"process {os.getpid()} on .* is training this run"),
            Checkpoints(tmp_path / "c"),
        ):
            pass
        assert (tmp_path / "c").exists()
    with Checkpoints(tmp_path / "c"):
        pass


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, caplog):
    def none(*arguments):
        raise OSError("no locks available")

    monkeypatch.setattr(checkpoints_module.fcntl, "flock", none)
    with Checkpoints(tmp_path):
        pass
    assert "has no locks" in caplog.text


def test_a_used_up_time_budget_saves_and_leaves_with_75(tmp_path):
    with (
        pytest.raises(SystemExit) as left,
        Checkpoints(tmp_path / "c", minutes=0) as kept,
    ):
        trained(kept)
    assert left.value.code == 75
    assert (tmp_path / "c" / "state.pt").exists()


def test_checkpoints_come_as_often_as_asked(tmp_path):
    with Checkpoints(tmp_path, every=0.01) as kept:
        assert not kept.due
        time.sleep(0.02)
        assert kept.due
        kept.save({})
        assert not kept.due


def test_without_a_folder_nothing_is_kept():
    with Checkpoints(None) as kept:
        kept.save({})
        assert kept.load("x") is None
        assert not kept.due
        assert not kept.stop


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
    _, said = process.communicate(timeout=600)
    assert process.returncode == 75
    assert "SIGTERM came; the next start goes on from here" in said
    again = run_in_a_process(tmp_path)
    _, said = again.communicate(timeout=600)
    assert again.returncode == 0
    assert "epoch 13" in said
    assert "going on from epoch" in said
    assert (tmp_path / "out" / "weights.safetensors").exists()
    assert not (tmp_path / "c").exists()


@pytest.mark.slow
def test_killed_twenty_times_a_training_ends_with_the_same_weights(tmp_path):
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["cxrfmkd.training.distillation"])
    whole = server.Process(target=killed.distilled, args=(None, tmp_path / "whole"))
    whole.start()
    whole.join()
    state, out = tmp_path / "c" / "state.pt", tmp_path / "out"
    chance, kills = random.Random(1), 0
    while not out.exists():
        before = state.stat().st_mtime_ns if state.exists() else 0
        process = server.Process(target=killed.distilled, args=(tmp_path / "c", out))
        process.start()
        while kills < 24 and process.is_alive():
            if state.exists() and state.stat().st_mtime_ns != before:
                time.sleep(chance.random() * 0.1)
                process.kill()
                kills += process.is_alive() or process.exitcode == -signal.SIGKILL
                break
            time.sleep(0.002)
        process.join()
    assert kills >= 20
    folders = [out, tmp_path / "whole"]
    found, expected = (load(folder / "weights.safetensors").identity() for folder in folders)
    assert found == expected
    histories = [pd.read_csv(folder / "history.csv").drop(columns=CLOCKS) for folder in folders]
    pd.testing.assert_frame_equal(*histories, check_exact=True)


# --- events
# ------------------------------------------------------------------------------------------


def test_tensorboard_shows_the_history_of_all_starts(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.raises(SystemExit), StopAfter(tmp_path / "c", 7) as kept:
        trained(kept, events=tmp_path / "events")
    with Checkpoints(tmp_path / "c") as kept:
        _, outcome = trained(kept, events=tmp_path / "events")
    found = EventAccumulator(str(tmp_path / "events")).Reload()
    assert set(found.Tags()["scalars"]) == set(outcome.history) - {"epoch"}
    for name in ("train_loss", "val_cosine", "learning_rate", "seconds"):
        scalars = found.Scalars(name)
        assert [event.step for event in scalars] == [0, 1, 2]
        expected = outcome.history[name].astype(np.float32)
        np.testing.assert_allclose([event.value for event in scalars], expected, rtol=1e-6)


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
    _, outcome = trained(events=tmp_path)
    rows = outcome.history.to_dict("records")
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


# --- progress
# ------------------------------------------------------------------------------------------


def test_a_log_gets_a_line_now_and_then_with_the_time_left(monkeypatch, caplog):
    monkeypatch.setattr(progress_module, "SECONDS_BETWEEN_LINES", -1.0)
    with caplog.at_level(logging.INFO):
        progress = progress_module.Progress("training", 10, done=5)
        progress.step("loss 0.5")
        progress.say("epoch 0: train 0.5")
    assert "training: 6 of 10, loss 0.5, 0:00:00 left" in caplog.text
    assert "training: epoch 0: train 0.5, 0:00:00 left" in caplog.text


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress = progress_module.Progress("training", 2)
    progress.step("loss 0.5")
    progress.say("epoch 0")
    progress.close()
    shown = capsys.readouterr().err
    assert "training: epoch 0" in shown
    assert "1/2" in shown
