"""What a configured path may begin with, and what YAML makes of settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from configurations import configuration

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.grid import Study
from cxrfmkd.study.paths import whole_path
from cxrfmkd.study.settings import Probe


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("~/x", f"{Path.home()}/x"),
        ("$DATA/x", "/data/x"),
        ("${DATA}/x", "/data/x"),
        ("{cxr}/x", "/data/cxr/x"),
        ("a $DATA/~", "a $DATA/~"),
        ("/data/x", "/data/x"),
        ("r$(touch x)", "r$(touch x)"),
    ],
)
def test_a_path_may_begin_with_home_a_variable_or_a_folder(monkeypatch, text, path):
    monkeypatch.setenv("DATA", "/data")
    assert whole_path(text, {"cxr": "$DATA/cxr"}) == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$NONE/x", "begins with the variable NONE, which is not set"),
        ("~nobody-at-all/x", "home of a user"),
        ("/data/{}/x", "begins with the folder ''"),
        ("/data/{a", "has a brace that is not of a short name"),
    ],
)
def test_a_path_that_cannot_be_whole_is_refused_while_planning(monkeypatch, text, message):
    monkeypatch.delenv("NONE", raising=False)
    config = configuration()
    config["datasets"]["chexpert"]["images"] = text
    with pytest.raises(InputError, match=f"config, datasets.chexpert.images: .*{message}"):
        Study(config)


def test_everything_that_is_wrong_is_said_at_once():
    config = configuration(labels={"uncertain": "perhaps"}, images={"size": 1, "sise": 2})
    with pytest.raises(InputError) as error:
        Study(config)
    for message in ("images: there is no setting `sise`", "images.size: 1", "labels.uncertain"):
        assert message in str(error.value)
    config = configuration()
    config["datasets"]["chexpert"] |= {"images": "{a}/x", "tables": {"train": "{b}/y"}}
    config["pathvars"] = {"results": "~/results"}
    with pytest.raises(InputError) as error:
        Study(config)
    for message in ("chexpert.images", "chexpert.tables.train", "pathvars.results: ~/results"):
        assert message in str(error.value)


def test_scientific_notation_is_a_number_and_a_year_a_name():
    assert Probe.read(yaml.safe_load("{l2: [1e-4, 1.5E+2, 3]}")).l2 == [1e-4, 150.0, 3.0]
    with pytest.raises(InputError, match=r"l2\.1: 'e' should be a valid number"):
        Probe.read({"l2": [1e-4, "e"]})
    with pytest.raises(InputError, match=r"l2\.0: -1.0 should be greater"):
        Probe.read({"l2": [-1.0]})
    with pytest.raises(InputError, match="should be a finite number"):
        Probe.read(yaml.safe_load("{learning_rate: .inf}"))
    config = configuration()
    config["datasets"][2024] = config["datasets"]["mimic"] | {"keep": {"view": "PA"}}
    config["classification"]["datasets"] = ["chexpert", "mimic", 2024]
    config["distillation"]["datasets"] = ["chexpert", "mimic", 2024]
    study = Study(config)
    assert "2024" in study.datasets
    assert study.dataset("2024")["keep"] == {"view": ["PA"]}


def test_words_that_yaml_takes_for_true_and_false_are_named():
    config = configuration()
    config["datasets"]["mimic"]["values"] = yaml.safe_load("{race: {No: White}}")
    with pytest.raises(InputError, match="write such a value in quotes"):
        Study(config)
    with pytest.raises(InputError, match="write such a text in quotes"):
        Study(configuration(title=True))
