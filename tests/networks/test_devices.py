"""Which device computes."""

import pytest
import torch

from cxrfmkd.networks.devices import pick_device
from cxrfmkd.runtime.errors import InputError


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
