"""What makes training fast on a GPU, executed on a CPU and compared with the plain way."""

from __future__ import annotations

import os
import shutil

import made_images
import numpy as np
import pytest
import torch
from made_trainings import IMAGES, TABLES, loader, network, plan
from torch.utils import data as torch_data

from cxrfmkd.networks import devices
from cxrfmkd.networks.architectures import ARCHITECTURES
from cxrfmkd.networks.batches import BatchLoader, shuffled
from cxrfmkd.networks.network import Network
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.training import fast_paths, speed, thesis_loop
from cxrfmkd.training.jobs import Job
from cxrfmkd.training.loop import train
from cxrfmkd.training.losses import Objective

CPU = torch.device("cpu")
IDS = TABLES["train"].image_id


def trained(feeding="mapped", **compute) -> tuple[Network, list[float]]:
    """The tiny student after a training, and its validation losses."""
    net = network()
    training = loader(feeding=feeding)
    job = Job(1, Compute(weights="none", **compute))
    result = train(net, Objective("mse"), training, loader("val"), plan(), job)
    return net, result.history.val_loss.to_list()


@pytest.mark.parametrize("feeding", ["resident", "read-ahead"])
def test_images_in_memory_or_read_ahead_train_the_same_network_bit_by_bit(feeding):
    net, losses = trained(feeding)
    plain, expected = trained()
    assert losses == expected
    assert net.identity() == plain.identity()


@pytest.mark.parametrize("feeding", ["resident", "read-ahead", "mapped"])
def test_each_way_of_feeding_gives_the_images_of_the_order_from_any_batch_on(feeding):
    way = BatchLoader(IMAGES, IDS, None, CPU, feeding)
    order = shuffled(24, 1, 0)
    found = torch.cat([images for images, _ in way.batches(7, order, start=1)])
    np.testing.assert_array_equal(found, IMAGES.take(IDS.to_numpy()[order])[7:])


def test_bf16_is_executed_and_its_training_ends_near_that_of_fp32():
    net, losses = trained(precision="bf16")
    plain, expected = trained(precision="fp32")
    assert net.identity() != plain.identity()
    np.testing.assert_allclose(losses, expected, rtol=fast_paths.LOSS)
    assert {p.dtype for p in net.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("precision", "device", "bf16"),
    [
        ("auto", "cpu", False),
        ("auto", "cuda", True),
        ("fp32", "cuda", False),
        ("bf16", "cpu", True),
    ],
)
def test_auto_is_bf16_on_a_gpu_alone(monkeypatch, precision, device, bf16):
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: (args, options))
    asked = devices.precision(Compute(precision=precision), torch.device(device))
    assert asked == ((device, torch.bfloat16), {"enabled": bf16})


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_a_compiled_training_ends_near_the_plain_one(tmp_path, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "tiny", made_images.one_layer)
    _, expected = trained()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    _, losses = trained(compile=True)
    assert list(tmp_path.rglob("*.so")), "nothing was compiled"
    # fp32 sums in another order.
    np.testing.assert_allclose(losses, expected, rtol=fast_paths.SAME)


@pytest.mark.parametrize(("name", "kept"), [("study", True), ("my study", False)])
def test_programs_are_kept_in_the_working_directory_if_a_compiler_can_be_told(
    tmp_path, monkeypatch, name, kept
):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.setattr(torch, "compile", lambda network, **_: network)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    devices.compiled(network(), Compute(compile=True))
    expected = str(tmp_path / name / ".snakemake/compiled") if kept else None
    assert os.environ.get("TORCHINDUCTOR_CACHE_DIR") == expected


def test_without_a_compiler_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"no C compiler here.*network\.compile: false"):
        trained(compile=True)


def test_the_checks_pass_on_this_machine(tmp_path):
    torch.manual_seed(0)
    done = list(fast_paths.checks(tmp_path, "tiny", CPU, 48, 8))
    assert [check for check in done if not check.ok] == []
    assert len({check.name for check in done}) == len(done) == 9


@pytest.mark.parametrize(
    ("fault", "fails"),
    [
        ("bytes", {"read-ahead: bytes"}),
        ("layout", {"channels last: embeddings"}),
        ("rounding", {"bf16: embeddings"}),
        ("step", {"fp32, fused Adam: loss of 20 steps", "bf16: loss of 20 steps"}),
    ],
)
def test_a_fast_path_that_computes_something_else_is_found(tmp_path, monkeypatch, fault, fails):
    if fault == "bytes":
        monkeypatch.setattr(
            BatchLoader, "_read_ahead", lambda self, rows: (self._read(r) + 1 for r in rows)
        )
    if fault == "layout":

        def moved(self, device):
            with torch.no_grad():
                self.stem.mul_(1.1)
            return self

        monkeypatch.setattr(Network, "to_device", moved)
    if fault == "rounding":
        monkeypatch.setattr(fast_paths, "precision", lambda *_: coarse())
    if fault == "step":
        monkeypatch.setattr(fast_paths.State, "__init__", frozen(fast_paths.State.__init__))
    torch.manual_seed(0)
    done = list(fast_paths.checks(tmp_path, "tiny", CPU, 48, 8))
    assert fails <= {check.name for check in done if not check.ok}


class coarse:  # noqa: N801, a context
    """Convolutions that keep three bits: a device whose bf16 is broken."""

    def __enter__(self):
        self.original = torch.nn.Conv2d.forward
        torch.nn.Conv2d.forward = lambda layer, x: self.original(layer, (x * 2).round() / 2)

    def __exit__(self, *_):
        torch.nn.Conv2d.forward = self.original


def frozen(original):
    """A state whose optimizer moves nothing."""

    def init(self, *args):
        original(self, *args)
        self.optimizer.step = lambda: None

    return init


def test_not_a_number_is_not_within_a_bound():
    assert not fast_paths.Check("x", float("nan"), 1.0).ok


def test_the_thesis_s_files_hold_the_images_and_its_network_gives_our_numbers(tmp_path):
    images, vectors = speed.made_images(4, 48, 6)
    thesis_loop.write_one_by_one(tmp_path, images.data, vectors)
    read = next(iter(torch_data.DataLoader(thesis_loop.OneByOne(tmp_path, 4, False), 4)))
    assert read["cxr"].shape == (4, 3, 48, 48)
    # JPEG of quality 95 on smooth images.
    assert (read["cxr"][:, 0] - torch.from_numpy(images.data)).abs().max() <= 4
    np.testing.assert_array_equal(read["embedding"], vectors)
    ours = Network("tiny", 6, input="raw").eval()
    with torch.no_grad():
        expected = ours(read["cxr"][:, 0])
        found = thesis_loop.ThesisStudent(ours).eval()(read["cxr"])
    torch.testing.assert_close(found, expected, rtol=fast_paths.SAME, atol=1e-4)


def test_rates_count_the_images_of_whole_steps():
    def steps():
        while True:
            clock[0] += 0.5
            yield 8

    clock = [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed.time, "perf_counter", lambda: clock[0])
        assert speed.images_per_second(steps(), CPU, 4.0) == 16.0
