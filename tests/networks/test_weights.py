"""Files of weights: equal bytes for equal weights, and one message for what is no weights."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
import torchvision
from configurations import configuration
from made_images import add_tiny_backbone, tiny_densenet
from safetensors import safe_open
from safetensors.numpy import save
from scripts import run_script

from cxrfmkd.commands.whole_network import find_run
from cxrfmkd.networks.architectures import initial_weights
from cxrfmkd.networks.layers import Linear
from cxrfmkd.networks.network import Network, create, holds_network, load_student
from cxrfmkd.networks.weights import write_weights
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.grid import Study
from cxrfmkd.study.specs import SPECS
from cxrfmkd.training.checkpoints import Checkpoints

add_tiny_backbone()

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 57365526\n"
PAGE = b"\n<!DOCTYPE html>\n<html><body>Please sign in</body></html>"


def contents(kind: str, path) -> None:
    """Write something that is no weights at `path`."""
    match kind:
        case "pointer":
            path.write_bytes(POINTER)
        case "page":
            path.write_bytes(PAGE)
        case "empty":
            path.write_bytes(b"")
        case "pickle":
            path.write_bytes(pickle.dumps({"layer": np.zeros(3)}))
        case "model":
            torch.save(tiny_densenet(), path)
        case "old model":
            torch.save(tiny_densenet(), path, _use_new_zipfile_serialization=False)
        case "truncated":
            torch.save(tiny_densenet().state_dict(), path)
            path.write_bytes(path.read_bytes()[:2000])
        case "truncated safetensors":
            Network("tiny", 6).save(path)
            path.write_bytes(path.read_bytes()[:2000])


KINDS = {
    "pointer": "a Git LFS pointer.*git lfs pull",
    "page": "a web page",
    "empty": "the file is empty",
    "pickle": "a Python pickle",
    "model": "of torch.save.*more than tensors",
    "old model": "of torch.save.*more in it than tensors",
    "truncated": "cut short",
    "truncated safetensors": "cut short",
}


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_initial_weights_is_named_with_what_to_fetch(tmp_path, kind, suffix):
    contents(kind, tmp_path / f"tiny.{suffix}")
    (tmp_path / f"tiny.{suffix}").rename(tmp_path / f"densenet121.{suffix}")
    with pytest.raises(InputError, match=f"densenet121.{suffix}: .*{KINDS[kind]}") as error:
        create("densenet121", str(tmp_path), None, None, "normalised")
    assert "network.weights: imagenet" in str(error.value)
    assert "weights_only" not in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_students_weights_is_named_by_all_who_read_them(tmp_path, kind):
    path = tmp_path / "weights.safetensors"
    contents(kind, path)
    for read in (
        load_student,
        holds_network,
        Linear.load,
        lambda p: load_student(find_run(p).weights),
    ):
        with pytest.raises(
            InputError, match=rf"weights.safetensors: .*{KINDS[kind]}.*again"
        ) as error:
            read(path)
        assert "weights_only" not in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_cached_imagenet_weights_that_are_none_are_named(monkeypatch, tmp_path, kind):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    url = torchvision.models.get_model_weights("densenet121").DEFAULT.url
    contents(kind, tmp_path / "checkpoints" / url.rpartition("/")[2])
    with pytest.raises(InputError, match=r"download https://download\.pytorch\.org") as error:
        initial_weights("densenet121", "imagenet")
    assert "weights_only" not in str(error.value)


def test_values_that_are_no_tensors_are_refused(tmp_path):
    torch.save({"state_dict": tiny_densenet().state_dict(), "epoch": 3}, tmp_path / "resnet50.pth")
    with pytest.raises(InputError, match="does not hold tensors by name"):
        initial_weights("resnet50", str(tmp_path))


def test_checkpoint_that_is_a_pickle_is_dropped_without_unsafe_advice(tmp_path, caplog):
    (tmp_path / "state.pt").write_bytes(pickle.dumps(Linear(np.zeros(2), np.zeros(2))))
    assert Checkpoints(tmp_path).load("fingerprint") is None
    assert "a Python pickle" in caplog.text
    assert "weights_only" not in caplog.text


def test_equal_weights_and_facts_give_equal_bytes_whatever_their_order(tmp_path):
    tensors = {f"layer{i}": np.full((i + 1, 3), i, np.float32) for i in range(5)}
    facts = {f"fact {i}": f'„{i}“\n"' for i in range(20)}
    files = []
    for order in (1, -1):
        path = tmp_path / f"{order}.safetensors"
        content = save(dict([*tensors.items()][::order]), dict([*facts.items()][::order]))
        write_weights(path, content)
        files.append(path.read_bytes())
        with safe_open(path, framework="np") as file:
            assert file.metadata() == facts
            assert set(file.keys()) == set(tensors)
            assert all(np.array_equal(file.get_tensor(name), tensors[name]) for name in tensors)
    assert files[0] == files[1]
    length = int.from_bytes(files[0][:8], "little")
    assert length % 8 == 0
    assert list(json.loads(files[0][8 : 8 + length])["__metadata__"]) == sorted(facts)


def test_a_network_and_a_head_saved_twice_are_the_same_files(tmp_path):
    network = Network("tiny", 6, 14)
    head = Linear(np.ones((14, 6), np.float32), np.zeros(14, np.float32))
    facts = {"findings": "[]", "seed": "1", "loss": "mse"}
    for saved in (network, head):
        for name, about in (("a", facts), ("b", dict(reversed(facts.items())))):
            saved.save(tmp_path / name, about)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.slow
def test_weights_are_fetched_ahead_for_every_network_of_the_study(tmp_path, monkeypatch):
    """What the rule fetches, a job that cannot reach the internet finds."""
    spec = SPECS["fetch_weights"](Study(configuration()), None)
    assert spec["architectures"] == ["densenet121", "densenet169", "resnet50"]
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    served: list[str] = []

    def serve(url: str, target: str, *arguments, **options) -> None:
        architecture = next(name for name in spec["architectures"] if name in url)
        served.append(architecture)
        torch.save(torchvision.models.get_model(architecture).state_dict(), target)

    monkeypatch.setattr(torch.hub, "download_url_to_file", serve)
    run_script(monkeypatch, "fetch_weights", spec)
    assert served == spec["architectures"]
    for architecture in spec["architectures"]:
        assert initial_weights(architecture, "imagenet")
    assert served == spec["architectures"]


def test_head_gives_the_outputs_of_the_findings_that_are_asked_for_in_the_study_s_order():
    head = Linear(np.eye(3, dtype=np.float32), np.arange(3.0), ("Edema", "Fracture", "Pneumonia"))
    one = head.of(["Edema", "Cardiomegaly", "Pneumonia"], "here")
    assert one.findings == ("Edema", "Pneumonia")
    assert one.bias.tolist() == [0, 2]
    with pytest.raises(InputError, match=r"here: this head tells .* has none"):
        head.of(["Cardiomegaly"], "here")
    with pytest.raises(InputError, match=r"here: the rows of this head are .* in another order"):
        head.of(["Pneumonia", "Edema"], "here")
