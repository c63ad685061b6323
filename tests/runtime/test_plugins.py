"""Files of a user's own pieces: what is found in them, and what is refused before anything runs."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from cxrfmkd import plugins as public
from cxrfmkd.datasets import adapters
from cxrfmkd.networks import architectures
from cxrfmkd.networks.network import Network, holds_network, load_student
from cxrfmkd.runtime import plugins
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.declarations import declare
from cxrfmkd.training.losses import Objective

pytestmark = pytest.mark.usefixtures("no_pieces_left")
LOSS = '''from cxrfmkd.plugins import loss

@loss("{name}")
def own(student, teacher):
    """{text}"""
    return {formula}
'''


def write(folder, text, name="mine.py"):
    (folder / name).write_text(text)
    return folder / name


def own_loss(name="p4", text="An error.", formula="((student - teacher) ** 4).mean()"):
    return LOSS.format(name=name, text=text, formula=formula)


def test_a_loss_is_known_while_planning_and_computed_once_it_is_loaded(tmp_path):
    path = write(tmp_path, own_loss())
    assert declare({"plugins": [str(path)]}) == [str(path)]
    assert plugins.names("loss") == {"p4"}
    assert not plugins.REGISTERED["loss"]  # nothing was run
    public.load([path])
    student, teacher = torch.full((2, 3), 2.0), torch.zeros(2, 3)
    terms = Objective("p4")(student, teacher)
    assert terms["loss"] == terms["p4"] == 16


def test_the_hash_is_of_the_piece_that_a_job_uses(tmp_path, monkeypatch):
    two = own_loss("one") + own_loss("two").partition("\n\n")[2]
    path = write(tmp_path, two)
    module = plugins.CONSUMERS["loss"]
    monkeypatch.setattr(plugins, "modules", lambda script: [module] * (script == "distill.py"))

    def used(script, settings):
        return plugins.used([path], script, settings).get(str(path))

    first = used("distill.py", '{"loss": "one"}')
    assert used("distill.py", '{"loss": "one-shuffled"}') == first != None  # noqa: E711
    assert used("distill.py", '{"loss": "none"}') is None
    assert used("draw.py", '{"loss": "one"}') is None
    path.write_text(two.replace("An error.", "The error."))
    assert used("distill.py", '{"loss": "one"}') == first
    path.write_text(two[::-1].replace("4"[::-1], "6", 1)[::-1])  # of the second
    assert used("distill.py", '{"loss": "one"}') == first
    path.write_text(two.replace("** 4", "** 6", 1))
    assert used("distill.py", '{"loss": "one"}') != first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n", r"mine.py, line 1: this is no Python"),
        ("x = 1\n", "registers nothing. Write one of @adapter, @backbone"),
        (own_loss("mse"), "registers loss 'mse', a name that is taken"),
        (own_loss("my-on-loss"), "line 3, @loss: 'my-on-loss' must be of small letters"),
        (own_loss("../up"), "@loss: '../up' must be of small letters, digits and hyphens"),
        (own_loss().replace('"p4"', "NAME"), "write the name as a text, such as @loss('mine')"),
    ],
    ids=["syntax", "nothing", "taken", "on", "path", "variable"],
)
def test_a_file_that_cannot_be_used_is_one_clear_message(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        declare({"plugins": [str(path)]})
    assert str(caught.value).startswith("config, plugins: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("metric", "truth, scores", "own(truth, scores) is given truth, scores, weights."),
        ("metric", "truth, scores, weights, more", "is given truth, scores, weights."),
        ("metric", "truth, scores, *, weights", "is given truth, scores, weights."),
        ("metric", "truth, scores, weights, top=0.2", ""),
        ("loss", "student", "own(student) is given student, teacher."),
        ("loss", "*both", ""),
        ("backbone", "size", "own(size) is given nothing."),
        ("backbone", "", ""),
        ("encoder", "", "own() is given settings."),
        ("adapter", "tables, raw", "is given raw."),
    ],
)
def test_a_function_of_other_arguments_is_refused_before_anything_runs(
    tmp_path, kind, arguments, message
):
    text = (
        f"from cxrfmkd.plugins import {kind}\n\n@{kind}('own')\ndef own({arguments}):\n    pass\n"
    )
    path = write(tmp_path, text)
    if not message:
        assert plugins.pieces(path).keys() == {(kind, "own")}
        return
    with pytest.raises(InputError, match=rf"mine.py, line 4, @{kind}\('own'\)") as caught:
        plugins.pieces(path)
    assert message in str(caught.value)


def test_two_files_cannot_share_a_name_and_an_absent_file_is_named(tmp_path):
    files = [str(write(tmp_path, own_loss(), name)) for name in ("one.py", "two.py")]
    with pytest.raises(InputError, match=r"two.py and .*one.py both register loss 'p4'"):
        declare({"plugins": files})
    with pytest.raises(InputError, match=r"plugins: .*three.py does not exist"):
        declare({"plugins": [str(tmp_path / "three.py")]})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mine.py", own_loss() + "\n1 / 0\n", "mine.py, line 8: ZeroDivisionError"),
        ("mine.txt", own_loss(), "mine.txt: the name of a Python file ends in .py"),
    ],
)
def test_a_file_that_fails_when_it_is_run_is_named_with_its_line(tmp_path, name, text, message):
    with pytest.raises(InputError) as caught:
        plugins.load([write(tmp_path, text, name)])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (pd.DataFrame({"image_id": ["a"]}), "lacks patient_id, study_id, path, sex, age, …"),
        ([1, 2], "adapter ward: it gives list, not a DataFrame"),
    ],
)
def test_what_an_adapter_gives_is_checked(given, message):
    plugins.adapter("ward", tables=[])(lambda raw: given)
    settings = SimpleNamespace(adapter="ward", tables={})
    with pytest.raises(InputError) as caught:
        adapters.read("here", settings)
    assert message in str(caught.value)


def test_a_student_of_an_own_backbone_opens_once_its_file_is_loaded(tmp_path):
    path = write(
        tmp_path,
        """from torch import nn
from cxrfmkd.plugins import backbone

@backbone("dot")
def dot():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 9))
""",
    )
    plugins.load([path])
    Network("dot", 6).save(tmp_path / "weights.safetensors", {})
    images = torch.zeros(2, 8, 8, dtype=torch.uint8)
    assert load_student(tmp_path / "weights.safetensors")(images).shape == (2, 6)
    with pytest.raises(InputError, match="for which there are no ImageNet weights"):
        architectures.initial_weights("dot", "imagenet")
    with pytest.raises(InputError, match="Put weights of your own there"):
        architectures.initial_weights("dot", str(tmp_path))
    plugins.REGISTERED["backbone"].clear()
    assert holds_network(tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match=r"cxrfmkd.plugins.load\(\[file\]\)"):
        load_student(tmp_path / "weights.safetensors")
