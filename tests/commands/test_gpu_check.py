"""`cxrfmkd gpu-check`, on a CPU with a tiny network: what it prints, writes and refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import made_images
import pytest
import torch

from cxrfmkd.cli import main
from cxrfmkd.commands import gpu_check
from cxrfmkd.networks.architectures import ARCHITECTURES
from cxrfmkd.networks.devices import PROGRAMS
from cxrfmkd.study.rates import read_rates
from cxrfmkd.training import fast_paths

made_images.add_tiny_backbone()
SMALL = "--device cpu --networks tiny --size 48 --batch-size 8 --seconds 0.1".split()


def test_it_writes_rates_that_the_forecast_reads(tmp_path, capsys):
    out = tmp_path / "rates.json"
    main(["gpu-check", *SMALL, "--out", str(out)])
    rates = read_rates(out)
    assert (rates.device, rates.image_size, rates.batch_size) == ("cpu", 48, 8)
    assert set(rates.images_per_second) == {"tiny"}
    assert all(check["ok"] for check in rates.checks)
    assert len(rates.checks) == 9
    for way in ("read_ahead", "thesis_loop"):
        assert rates.facts[f"{way}_images_per_second"] > 0
    printed = capsys.readouterr().out
    assert "times the thesis's loop" in printed
    assert f"{rates.images_per_second['tiny']:.1f}" in printed


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_what_compilation_is_worth_is_measured_and_the_program_kept(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "tiny", made_images.one_layer)
    monkeypatch.setattr(fast_paths, "checks", lambda *_: iter(()))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.chdir(tmp_path)
    main(["gpu-check", *SMALL, "--compile", "--out", "rates.json"])
    rates = read_rates(Path("rates.json"))
    assert rates.at_size(48, compiled=True)["tiny"] != rates.at_size(48)["tiny"]
    assert rates.facts["compile_seconds"] > 1
    assert [check["ok"] for check in rates.checks] == [True]
    ratio = rates.at_size(48, compiled=True)["tiny"] / rates.at_size(48)["tiny"]
    assert f"Compiled, it is {ratio:.2f} times as fast" in capsys.readouterr().out
    assert list(Path(PROGRAMS).rglob("*.so")), "no program was kept"


@pytest.mark.parametrize(("ratio", "word"), [(1.9, "true"), (1.1, "false")])
def test_compilation_is_advised_where_it_pays(ratio, word):
    assert f"network.compile: {word}." in gpu_check.advice(ratio, 200.0)


def test_a_cpu_s_rates_do_not_become_the_limits_of_a_gpu_s_jobs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fast_paths, "checks", lambda *_: iter(()))
    main(["gpu-check", *SMALL])
    assert list(tmp_path.iterdir()) == []


def test_a_path_beyond_its_bound_is_named_and_ends_with_status_1(tmp_path, capsys, monkeypatch):
    wrong = [fast_paths.Check("bf16: embeddings", float("nan"), 0.1)]
    monkeypatch.setattr(fast_paths, "checks", lambda *_: iter(wrong))
    out = tmp_path / "rates.json"
    with pytest.raises(SystemExit) as left:
        main(["gpu-check", *SMALL, "--out", str(out)])
    assert left.value.code == 1
    assert "Beyond their bound: bf16: embeddings" in capsys.readouterr().out
    assert json.loads(out.read_text())["checks"][0]["ok"] is False


def test_what_cannot_be_measured_is_one_clear_message(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for words, message in [
        (["gpu-check"], "torch sees no GPU here"),
        (["gpu-check", "--device", "cpu", "--networks", "vgg"], "there is no such network"),
    ]:
        with pytest.raises(SystemExit):
            main(words)
        assert message in capsys.readouterr().err


def test_nvidia_smi_s_lines_are_shares_and_what_it_does_not_know_is_left_out():
    assert gpu_check.utilisation("97\n 100\n[N/A]\n\n0\n") == [0.97, 1.0, 0.0]
