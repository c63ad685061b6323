"""`cxrfmkd doctor`: what it prints about a machine and about a teacher's SavedModel."""

from __future__ import annotations

import re

import pytest
from made_teachers import write_tower

from cxrfmkd import cli
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.teacher.tensorflow_setup import choose_device, load_tensorflow

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tensorflow


def command(*words: object) -> None:
    cli.main([str(word) for word in words])


def test_doctor_tells_what_a_model_is(demo_teacher, capsys):
    command("doctor", "--model", demo_teacher, "--variant", "demo", "--images", 1000)
    output = capsys.readouterr().out
    for line in (
        r"takes +input_example: string",
        r"gives +feature_maps_0: float32 \(1, 8, 8, 1376\)",
        r"decodes with +DecodePng to uint16",
        r"batches +one image a call",
        r"embedding +1376 numbers",
        r"8-bit values in 16 bits +decoded as they are",
        r"time for 1,000 images +\d",
        r"tensorflow +\d",
    ):
        assert re.search(line, output), line
    with pytest.raises(SystemExit):
        command("doctor", "--model", demo_teacher / "variables")
    assert "there is no SavedModel" in capsys.readouterr().err


def test_doctor_tells_a_graph_to_which_low_range_images_are_black(tmp_path, capsys):
    command("doctor", "--model", write_tower(tmp_path / "uint8", decode="uint8"))
    assert "black to this graph" in capsys.readouterr().out


def test_doctor_and_embedding_refuse_an_absent_gpu(demo_teacher):
    if load_tensorflow().config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(SystemExit):
        command("doctor", "--model", demo_teacher, "--device", "gpu")
    with pytest.raises(InputError, match="TensorFlow sees no GPU"):
        choose_device(load_tensorflow(), "gpu")
