"""The learning rate's schedules."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from cxrfmkd.training.schedules import SCHEDULES


def rates(name, steps, rate=0.01):
    adam = torch.optim.Adam([{"params": [nn.Parameter(torch.zeros(1))], "lr": rate}], lr=1)
    schedule = SCHEDULES[name](adam, steps)
    pairs = []
    for _ in range(steps):
        pairs.append((adam.param_groups[0]["lr"], adam.param_groups[0]["betas"][0]))
        adam.step()
        schedule.step()
    return np.array(pairs)


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
