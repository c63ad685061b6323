"""Which device computes."""

import os
import subprocess
import sys

import pytest
import torch

from cxrfmkd.networks.devices import algorithms, pick_device
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Network


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


GRADIENT = """
import torch
from cxrfmkd.networks.devices import pick_device
pick_device("cpu")
torch.manual_seed(0)
images, convolution = torch.randn(8, 16, 8, 8), torch.nn.Conv2d(16, 32, 3)
norm = torch.nn.BatchNorm2d(32)
norm(convolution(images)).pow(3).sum().backward()
parameters = *convolution.parameters(), *norm.parameters()
print(*(p.grad.double().norm().item() for p in parameters), torch.get_num_threads())
"""


def gradient(**environment: str) -> list[float]:
    """Norms of a small network's gradients, and torch's threads, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", GRADIENT],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(word) for word in done.stdout.split()]


def test_gradients_are_right_where_openmp_may_start_fewer_threads_than_torch_counts_on():
    expected = gradient(OMP_NUM_THREADS="1")
    limited = gradient(OMP_NUM_THREADS="2", OMP_THREAD_LIMIT="1")
    # The order of sums may differ: float32 rounding over some thousand terms.
    assert limited == pytest.approx(expected, rel=1e-4, abs=1e-3)
    assert limited[-1] == 1


def test_full_precision_is_full_and_tf32_is_left_as_it_was():
    """PyTorch lets cuDNN round to TF32 by default, the settings can be read without a GPU."""
    before = torch.backends.cudnn.allow_tf32
    with algorithms(Network(precision="fp32")):
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before
    with algorithms(Network(precision="auto")):
        assert torch.backends.cudnn.allow_tf32 == before
