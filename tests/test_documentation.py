"""What the documentation names is there: files, folders, modules and what they define."""

from __future__ import annotations

import ast
import importlib
import json
import re
from pathlib import Path

import pytest
from locations import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("config/*.md")),
]
CODE = [
    path
    for folder in ("src", "workflow", "tests", "benchmarks", "validity")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".smk")
]
# Folders of the checkout; those that a run makes (results, logs, …) are not among them.
TOP = "src|workflow|docs|config|profiles|tests|benchmarks|validity"
NAMED_PATH = re.compile(rf"(?<![\w/.{{<-])(?:{TOP})/[\w./-]*\w")
NAMED_MODULE = re.compile(r"\bcxrfmkd(?:\.[A-Za-z_]\w*)+")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
# What a run, or a reader of a tutorial, writes below a folder that the checkout has too.
MADE = ("benchmarks/results", "config/own.yaml")


def prose(path: Path) -> str:
    """Docstrings and comments of a Python file; the whole of a page or rule file."""
    text = path.read_text()
    if path.suffix != ".py":
        return text
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [
        ast.get_docstring(node) or ""
        for node in ast.walk(ast.parse(text))
        if isinstance(node, documented)
    ]
    comments = re.findall(r"(?m)(?:^|\s)# .*$", text)
    return "\n".join(docstrings + comments)


@pytest.mark.parametrize("path", [*PAGES, *CODE], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_that_is_named_exists(path):
    named = {match.rstrip(".") for match in NAMED_PATH.findall(prose(path))}
    absent = [name for name in named if not name.startswith(MADE) and not (ROOT / name).exists()]
    assert not absent, f"{path.relative_to(ROOT)} names {absent}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path):
    local = [link for link in LINK.findall(path.read_text()) if "://" not in link]
    assert not [link for link in local if not (path.parent / link).exists()]


@pytest.mark.parametrize("path", [*PAGES, *CODE], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_and_function_that_is_named_exists(path):
    for name in sorted(set(NAMED_MODULE.findall(prose(path)))):
        assert resolves(name), f"{path.relative_to(ROOT)} names {name}"


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or something that a module defines."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            if not hasattr(thing, attribute):
                return False
            thing = getattr(thing, attribute)
        return True
    return False


def test_the_scenarios_on_a_real_scheduler_are_the_tests_of_it():
    """The first column of the guide's last table is the tests' names, in words."""
    page = (ROOT / "docs" / "cluster.md").read_text()
    rows = page.partition("| scenario |")[2].partition("\n\n")[0].splitlines()[2:]
    told = [re.sub(r"\W+", "_", row.split("|")[1].strip().lower()) for row in rows]
    files = sorted((ROOT / "tests" / "slurm").glob("test_*.py"))
    tests = [
        node.name.removeprefix("test_")
        for path in files
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert sorted(told) == sorted(tests)


@pytest.mark.parametrize(
    ("file", "table", "rows"), [("results.json", 0, 10), ("results-h100.json", 1, 5)]
)
def test_every_ratio_of_the_performance_page_was_measured(file, table, rows):
    measured = [row["ratio"] for row in json.loads((ROOT / "benchmarks" / file).read_text())]
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    lines = page.split("| work | plain |")[1 + table].split("\n\n")[0].splitlines()[2:]
    stated = [line.split(" | ")[3] for line in lines]
    assert len(stated) >= rows
    for ratio in stated:
        digits = len(ratio.partition(".")[2])
        # Some rows have no baseline.
        assert ratio in {f"{value:.{digits}f}" for value in measured if value}, ratio
