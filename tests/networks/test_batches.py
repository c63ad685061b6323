"""Batches of images and targets, joined by key, read ahead or not."""

import threading

import numpy as np
import pytest
import torch
from made_trainings import IMAGES, TABLES, TEACHER, loader

from cxrfmkd.networks.batches import BatchLoader, shuffled
from cxrfmkd.runtime.errors import InputError


def test_images_and_targets_meet_by_key_in_any_order():
    order = shuffled(24, 1, 0)
    ids = TABLES["train"].image_id.to_numpy()
    pairs = list(loader().batches(7, order))
    assert [len(images) for images, _ in pairs] == [7, 7, 7, 3]
    np.testing.assert_array_equal(torch.cat([f for f, _ in pairs]), IMAGES.take(ids[order]))
    np.testing.assert_array_equal(torch.cat([t for _, t in pairs]), TEACHER.take(ids[order]))
    rest = list(loader().batches(7, order, start=2))
    assert torch.equal(rest[0][0], pairs[2][0])
    assert len(rest) == 2


def test_an_epochs_order_is_a_permutation_of_its_own():
    orders = [shuffled(50, seed, epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert all(sorted(order.tolist()) == list(range(50)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 4
    assert torch.equal(orders[1], shuffled(50, 1, 1))


def test_batches_read_ahead_are_the_same_and_their_thread_ends(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    train, positions = loader(), shuffled(24, 1, 0).split(2)
    threads = threading.active_count()
    for rows, images in zip(positions, train._read_ahead(positions), strict=True):
        np.testing.assert_array_equal(images, train._read(rows))
    begun = train._read_ahead(positions)
    next(begun)
    assert threading.active_count() == threads + 1
    begun.close()
    assert threading.active_count() == threads

    def fail(self, positions):
        raise OSError("the disk is gone")

    monkeypatch.setattr(BatchLoader, "_read", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        next(train._read_ahead(positions))


def test_a_loaders_identity_changes_with_its_images_and_its_targets():
    ids = TABLES["train"].image_id
    targets = TEACHER.take(ids)
    base = BatchLoader(IMAGES, ids, targets).identity()
    assert BatchLoader(IMAGES, ids, targets).identity() == base
    assert BatchLoader(IMAGES, ids[::-1], targets).identity() != base
    assert BatchLoader(IMAGES, ids, targets + 1).identity() != base


@pytest.mark.parametrize(
    ("ids", "message"),
    [([], "records are empty"), (["train/000", "elsewhere"], "1 of 2 requested")],
)
def test_images_that_are_not_there_are_an_error(ids, message):
    with pytest.raises(InputError, match=message):
        BatchLoader(IMAGES, ids)
