"""A configuration that is a bomb is refused in a moment."""

from __future__ import annotations

import time

import pytest
import yaml
from configurations import configuration

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.bounds import bounded
from cxrfmkd.study.grid import Study

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)
)


@pytest.mark.parametrize("text", [LAUGHS, "a: &a [*a]", "a: &a {b: *a}"])
def test_anchors_of_anchors_are_refused(text):
    start = time.process_time()
    with pytest.raises(InputError, match="alias"):
        Study(configuration() | yaml.safe_load(text))
    assert time.process_time() - start < 5


def test_depth_is_bounded():
    value: object = 1
    for _ in range(40):
        value = [value]
    with pytest.raises(InputError, match="30 levels"):
        bounded({"a": value})


@pytest.mark.parametrize("name", [None, "thesis", "demo", "nih"])
def test_every_configuration_of_the_repository_is_within_bounds(name):
    assert bounded(configuration(name))
