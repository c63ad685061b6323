"""Every training script of the reference has its counterpart in the thesis's study."""

import re

import pytest
from configurations import configuration
from locations import ROOT

from cxrfmkd.study.grid import Study
from cxrfmkd.study.losses import loss_names
from cxrfmkd.vocabulary.losses import loss_share


@pytest.fixture(scope="module")
def rows():
    page = (ROOT / "docs" / "thesis-scripts.md").read_text()
    return re.findall(r"^\| `(\w+\.py)`.* \| (.+) \|$", page, flags=re.M)


@pytest.fixture(scope="module")
def study():
    return Study(configuration("thesis"))


def test_all_thirty_six_scripts_are_there(rows):
    stages = [
        re.match("kd|disease|zero_shot|linear_probing|full_finetuning", name)[0] for name, _ in rows
    ]
    counts = {stage: stages.count(stage) for stage in stages}
    assert counts == {
        "kd": 8,
        "disease": 9,
        "zero_shot": 7,
        "linear_probing": 6,
        "full_finetuning": 6,
    }
    assert len({name for name, _ in rows}) == 36


def test_every_named_file_is_one_of_the_thesis_study(rows, study):
    files = {f"{d}/students/{loss}/seed{s}/weights.safetensors" for d, loss, s in study.students}
    files |= {f"{run.folder}/predictions.parquet" for run in study.own_runs + study.transfer_runs}
    for name, place in rows:
        if "CustomNormKL" in name:
            assert place.startswith("none:")
            continue
        pattern = place.strip("`").replace("{d}", "chexpert").replace("{s}", "41")
        assert pattern.replace("{loss}", "mse-cosine-0.6") in files, name


def test_every_loss_of_the_vocabulary_is_explained():
    page = (ROOT / "docs" / "training.md").read_text()
    explained = re.findall(
        r"^\| `([a-z0-9.-]+)`", page.split("## Losses")[1].split("## Students")[0], re.M
    )
    assert {name for name in explained if loss_share(name) is None} == set(loss_names())
