"""The table of defects in docs/thesis.md: complete, and what it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest
from locations import ROOT

from cxrfmkd.study.settings import DatasetSection, sections

PAGE = (ROOT / "docs/thesis.md").read_text()
ROWS = re.findall(r"(?m)^\| (\d+) \| (.+) \| (.+) \| (.+) \| (.+) \|$", PAGE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def functions(path: str) -> set[str]:
    """Names of the test functions of a file."""
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_all_54_defects_have_their_row_in_order():
    assert [int(number) for number, *_ in ROWS] == list(range(1, 55))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_defect_has_an_answer_and_a_test_that_exists(row):
    _, defect, answer, _, test = row
    assert len(defect) > 10
    assert len(answer) > 10
    assert (match := TEST.fullmatch(test)), f"{test} names no test"
    assert match[2] in functions(match[1]), f"{match[1]} has no test {match[2]}"
    for path in re.findall(r"`((?:src|tests|workflow)/[\w./-]+)`", answer):
        assert (ROOT / path).exists(), f"{path} does not exist"


def test_every_switch_that_the_page_names_is_a_setting():
    known = {name: set(section.model_fields) for name, section in sections().items()}
    known["datasets.mimic"] = set(DatasetSection.model_fields)
    cells = [line.split("|")[-2] for line in PAGE.splitlines() if line.count("|") == 5]
    cells += [switch for _, _, _, switch, _ in ROWS]
    named = {name for cell in cells for name in re.findall(r"`([a-z_.]+)`", cell)}
    settings = {name for name in named if name.partition(".")[0] in (*sections(), "datasets")}
    assert len(settings) > 25
    for name in settings:
        section, _, field = name.rpartition(".")
        assert name in known or field in known.get(section, ()), f"there is no setting {name}"
