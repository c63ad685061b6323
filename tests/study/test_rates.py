"""The file of measured rates: what it may hold, and how a rate is carried to another size."""

from __future__ import annotations

import json

import pytest

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.rates import Rates, read_rates

CONTENT = {
    "device": "a card",
    "measured": "2026-01-01T00:00:00+00:00",
    "image_size": 224,
    "batch_size": 128,
    "images_per_second": {"densenet169": 1000.0, "teacher": 10},
}


def test_an_image_of_half_the_width_costs_a_quarter_and_the_teacher_the_same(tmp_path):
    (tmp_path / "rates.json").write_text(json.dumps(CONTENT))
    rates = read_rates(tmp_path / "rates.json")
    assert rates == Rates.read(CONTENT)
    assert rates.at_size(224) == CONTENT["images_per_second"]
    assert rates.at_size(112) == {"densenet169": 4000.0, "teacher": 10}


def test_compiled_networks_have_rates_of_their_own_where_they_were_measured():
    both = CONTENT["images_per_second"] | {"resnet50": 3000.0}
    compiled = {"compiled_images_per_second": {"densenet169": 2000.0}}
    rates = Rates.read(CONTENT | {"images_per_second": both} | compiled)
    assert rates.at_size(224) == both
    assert rates.at_size(112, compiled=True) == {
        "densenet169": 8000.0,
        "resnet50": 12000.0,
        "teacher": 10,
    }


def test_without_a_file_there_are_no_rates(tmp_path):
    assert read_rates(tmp_path / "rates.json") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not what gpu-check writes"),
        (json.dumps(CONTENT | {"device": 3.5}), "device: 3.5 should be a valid string"),
        (json.dumps(CONTENT | {"images_per_second": {"resnet50": 0}}), "rate of resnet50"),
        (json.dumps(CONTENT | {"compiled_images_per_second": {"resnet50": 0}}), "rate of resnet50"),
    ],
)
def test_a_damaged_file_is_named_with_its_remedy(tmp_path, text, message):
    (tmp_path / "rates.json").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_rates(tmp_path / "rates.json")
    assert "rates.json" in str(caught.value)
    assert "gpu-check" in str(caught.value)
