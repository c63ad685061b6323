"""`cxrfmkd export`: one file that gives a student's own numbers without this package."""

from __future__ import annotations

import json
import subprocess
import sys

import made_images
import numpy as np
import pytest
import torch

from cxrfmkd.cli import main
from cxrfmkd.commands import export
from cxrfmkd.networks.network import Network, load_student
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import write_json

made_images.add_tiny_backbone()

# Uses torch and numpy alone, as whoever got the file would.
OUTSIDE = """
import sys
import numpy, torch
assert not any("cxrfmkd" in name for name in sys.modules)
program = torch.export.load(sys.argv[1])
images = torch.from_numpy(numpy.load(sys.argv[2]))
numpy.save(sys.argv[3], program.module()(images).detach().numpy())
assert not any("cxrfmkd" in name for name in sys.modules)
"""


@pytest.fixture
def folder(tmp_path):
    """A student of a loss with its selected seed, beside packed images of 48 pixels."""
    torch.manual_seed(0)
    run = tmp_path / "results/chexpert/students/mse/seed41"
    student = Network("tiny", 6).train()
    student(
        torch.randint(0, 256, (8, 48, 48), dtype=torch.uint8)
    )  # moves the batch-norm statistics
    student.save(run / "weights.safetensors", {"loss": "mse", "seed": "41"})
    write_json(run / "run.json", {"loss": "mse", "seed": 41, "images": {"train": 9}, "spec": {}})
    write_json(run.parent / "selected.json", {"seed": 41, "weights": "seed41/weights.safetensors"})
    write_json(tmp_path / "results/chexpert/images/meta.json", {"settings": {"size": 48}})
    return run


def images(n: int, size: int = 48) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, size, size), np.uint8)


def test_the_file_gives_the_student_s_numbers_without_this_package(folder, tmp_path, capsys):
    main(["export", str(folder), "--out", str(tmp_path / "student.pt2")])
    np.save(tmp_path / "images.npy", images(5))
    command = [sys.executable, "-c", OUTSIDE, "student.pt2", "images.npy", "found.npy"]
    subprocess.run(command, check=True, cwd=tmp_path, env={})
    with torch.no_grad():
        expected = load_student(folder / "weights.safetensors")(torch.from_numpy(images(5)))
    # What `export` itself allows of two float32 passes, relative to the largest number.
    error = export.TOLERANCE * float(expected.abs().max())
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, rtol=0, atol=error)
    assert "uint8 (n, 48, 48)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "../selected.json", "..", "weights.safetensors"])
def test_a_student_may_be_named_by_folder_loss_or_file(folder, name):
    assert export.find_weights(folder / name).samefile(folder / "weights.safetensors")


def test_the_file_says_what_it_is_and_names_no_place(folder, tmp_path):
    main(["export", str(folder), "--out", str(tmp_path / "student.pt2"), "--size", "64"])
    inside = {"about.json": ""}
    program = torch.export.load(tmp_path / "student.pt2", extra_files=inside).module()
    about = json.loads(inside["about.json"])
    assert about["takes"].startswith("uint8 (n, 64, 64)")
    assert about["gives"].startswith("float32 (n, 6)")
    assert about["run"] == {"loss": "mse", "seed": 41, "images": {"train": 9}}
    assert str(tmp_path) not in inside["about.json"]
    assert program(torch.from_numpy(images(1, 64))).shape == (1, 6)


def test_without_packed_images_the_thesis_s_size_counts(folder):
    (folder.parents[2] / "images/meta.json").unlink()
    assert export.images_size(folder / "weights.safetensors") == 224


def test_a_program_that_gives_other_numbers_is_not_written(folder, tmp_path, monkeypatch):
    other = Network("tiny", 6).eval()
    portable = export._portable
    monkeypatch.setattr(export, "_portable", lambda student: portable(other))
    with pytest.raises(SystemExit):
        main(["export", str(folder), "--out", str(tmp_path / "student.pt2")])
    assert not list(tmp_path.glob("*student.pt2"))


@pytest.mark.parametrize(
    ("student", "out", "message"),
    [
        (".", "student.onnx", r"is named \.pt2"),
        ("nowhere", "student.pt2", r"neither weights\.safetensors nor selected\.json"),
        ("classifier.safetensors", "student.pt2", "weights of a classifier, not of a student"),
    ],
)
def test_what_cannot_be_exported_is_one_clear_message(folder, tmp_path, student, out, message):
    Network("tiny", 6, 14).save(folder / "classifier.safetensors")
    given = type("Args", (), {"student": folder / student, "out": tmp_path / out, "size": None})
    with pytest.raises(InputError, match=message):
        export.main(given)
