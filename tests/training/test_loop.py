"""The training loop: exact resumption, best weights, history, divergence."""

import numpy as np
import pandas as pd
import pytest
import torch
from made_trainings import (
    CLOCKS,
    COMPUTE,
    TABLES,
    TEACHER,
    StopAfter,
    loader,
    network,
    plan,
    trained,
)
from torch import nn

from cxrfmkd.networks.network import Network
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.training.checkpoints import Checkpoints
from cxrfmkd.training.divergence import DivergedError
from cxrfmkd.training.jobs import Job
from cxrfmkd.training.loop import evaluate, train
from cxrfmkd.training.losses import Objective

JOB = Job(1, COMPUTE)


@pytest.mark.parametrize("steps", [0, 2, 4, 7, 11])
def test_a_stopped_training_goes_on_to_the_same_weights_and_history(steps, tmp_path):
    uninterrupted, result = trained()
    with (
        pytest.raises(SystemExit) as left,
        StopAfter(tmp_path / "checkpoint", steps) as checkpoints,
    ):
        trained(checkpoints)
    assert left.value.code == 75
    saved = torch.load(tmp_path / "checkpoint" / "state.pt", weights_only=True)["state"]
    with Checkpoints(tmp_path / "checkpoint") as checkpoints:
        again, resumed = trained(checkpoints)
    assert again.identity() == uninterrupted.identity()
    pd.testing.assert_frame_equal(
        resumed.history.drop(columns=CLOCKS), result.history.drop(columns=CLOCKS)
    )
    assert (result.resumed, resumed.resumed) == (0, 1)
    assert resumed.best == result.best
    assert result.earlier_seconds == 0 < saved["epoch_seconds"] + len(saved["history"])
    assert resumed.earlier_seconds == saved["epoch_seconds"] + sum(
        row["seconds"] for row in saved["history"]
    )
    assert resumed.history.seconds[saved["epoch"]] > saved["epoch_seconds"]
    assert resumed.history.seconds.sum() > resumed.earlier_seconds


def test_equal_seeds_train_equally_and_others_do_not():
    first, second, other = (trained(seed=seed)[0] for seed in (1, 1, 2))
    assert first.identity() == second.identity() != other.identity()


def test_the_network_ends_with_the_weights_of_its_best_epoch():
    net, result = trained(epochs=5)
    losses = result.history.val_loss
    assert result.best["epoch"] == losses.idxmin()
    assert result.best["val_loss"] == losses.min()
    assert result.history.best_so_far.sum() == (losses.cummin().diff().fillna(-1) < 0).sum()
    # The same weights over the same batches.
    again = evaluate(net, Objective("mse-cosine-learned"), loader("val"), 5, COMPUTE)
    best = result.history.loc[losses.idxmin()]
    assert again["mse"] == pytest.approx(best.val_mse)
    assert again["cosine"] == pytest.approx(best.val_cosine)


def test_a_tie_keeps_the_earlier_epoch_and_patience_ends_a_training_that_gets_no_better():
    _, result = trained(epochs=9, patience=3, learning_rate=0.0, loss="cosine", schedule="constant")
    # Nothing moves but the batch-norm statistics, so what is best comes early and the patience runs
    # out.
    assert len(result.history) == result.best["epoch"] + 1 + 3 < 9
    flat = np.full((24, 6), 1.0, np.float32)
    frozen = Network("tiny", 6, 6).freeze()
    nn.init.zeros_(frozen.head.weight)
    nn.init.zeros_(frozen.head.bias)
    constant = train(
        frozen,
        Objective("mse"),
        loader(targets=flat),
        loader("val", flat[:12]),
        plan(learning_rate=0.0, schedule="constant"),
        JOB,
    )
    assert constant.best == {"epoch": 0, "val_loss": 1.0}


def test_history_tells_every_term_of_the_loss_and_what_the_epoch_cost():
    _, result = trained()
    facts = {"epoch", "learning_rate", "images_per_second", "seconds", "memory_mb", "best_so_far"}
    terms = {"loss", "mse", "cosine", "log_mse", "log_cosine"}
    assert set(result.history) == facts | {f"{p}_{t}" for p in ("train", "val") for t in terms}
    assert (result.history[CLOCKS] > 0).all(axis=None)
    assert result.history.epoch.tolist() == [0, 1, 2]


def test_the_last_partial_batch_is_trained_on_and_weighs_as_much_as_it_has_images():
    seen = []

    class Count(nn.Module):
        def forward(self, output, targets):
            if output.requires_grad:
                seen.append(len(output))
            return {"loss": (output * 0 + targets).mean()}

    result = train(network(), Count(), loader(), loader("val"), plan(epochs=1), JOB)
    assert seen == [5, 5, 5, 5, 4]
    targets = TEACHER.take(TABLES["train"].image_id)
    # Float32 means of 5 x 6 numbers: half an ulp of their size for each.
    error = 30 * 2.0**-24 * np.abs(targets).mean(dtype=float)
    assert result.history.train_loss[0] == pytest.approx(targets.mean(dtype=float), abs=error)


def test_known_labels_weigh_alike_however_they_fall_into_batches():
    labels = np.random.default_rng(0).integers(0, 2, (12, 6)).astype(np.float32)
    labels[:5, :4] = np.nan

    class Known(nn.Module):
        def forward(self, output, targets):
            return {"loss": targets[~targets.isnan()].mean()}

    mean = evaluate(network(), Known(), loader("val", labels), 5, COMPUTE)["loss"]
    # Each batch's mean of zeros and ones is exact but for one division.
    assert mean == pytest.approx(np.nanmean(labels, dtype=float), rel=2.0**-23)


def test_a_diverging_loss_stops_with_step_terms_and_learning_rate():
    targets = TEACHER.take(TABLES["train"].image_id).copy()
    targets[:, 0] = 1e30
    with pytest.raises(DivergedError, match=r"step 0 .*loss inf, mse inf; learning rate 0.0004;"):
        train(network(), Objective("mse"), loader(targets=targets), loader("val"), plan(), JOB)
    with pytest.raises(DivergedError, match=r"mse 1\.\d+e\+07"):
        train(
            network(),
            Objective("mse"),
            loader(targets=targets * 0 + 4000),
            loader("val"),
            plan(),
            JOB,
        )


def test_a_validation_loss_that_is_no_number_stops_too():
    broken = TEACHER.take(TABLES["val"].image_id) * np.float32(1e30)
    with pytest.raises(DivergedError, match="validation loss of epoch 0 is inf"):
        train(network(), Objective("mse"), loader(), loader("val", broken), plan(), JOB)


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
    train(network(), Look(), loader(), loader("val"), plan(epochs=1), Job(1, compute))
    assert all(seen)
    assert not torch.are_deterministic_algorithms_enabled()
