"""Every message that the page of failures quotes is one that the source says, word for word."""

from __future__ import annotations

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from locations import ROOT

PAGE = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
# Where Snakemake is, without importing it.
SNAKEMAKE = Path(find_spec("snakemake").origin).parent
# Words of the system, of the scheduler and of CUDA, whose source is not here.
ELSEWHERE = {
    "DUE TO TIME LIMIT",
    "TIMEOUT",
    "oom_kill",
    "OUT_OF_MEMORY",
    "Killed",
    "CUDA out of memory",
}
# Any value, in a message of the source and on the page alike.
HOLE = "…"


def said(tree: ast.AST):
    """Every text of a module, with HOLE where a value is put in; names of its classes too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else HOLE for part in node.values)
            yield "".join(map(str, parts))
        elif isinstance(node, ast.ClassDef):
            yield node.name


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"\{[^{}]*\}", HOLE, text))


def texts(folder) -> list[str]:
    """All that the Python files and rule files below a folder say."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        found += map(squeezed, said(ast.parse(path.read_text(encoding="utf-8"))))
    for path in sorted(folder.rglob("*.smk")):
        found.append(squeezed(path.read_text(encoding="utf-8")))
    return found


@pytest.fixture(scope="module")
def ours() -> list[str]:
    return texts(ROOT / "src" / "cxrfmkd") + texts(ROOT / "workflow")


@pytest.fixture(scope="module")
def theirs() -> list[str]:
    files = [SNAKEMAKE / "exceptions.py", SNAKEMAKE / "common" / "__init__.py"]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files]
    return [squeezed(text) for tree in trees for text in said(tree)]


def quoted() -> list[tuple[str, str]]:
    """(section, message) of every message in the first column of the page's tables."""
    messages = []
    for section in PAGE.split("\n## ")[1:]:
        title = section.splitlines()[0]
        for row in re.findall(r"(?m)^\| (.+?) \| ", section):
            if row.startswith(("you see", "---")):
                continue
            messages += [(title, message) for message in re.findall(r"`([^`]+)`", row)]
    return messages


MESSAGES = quoted()


def test_the_page_has_messages_of_every_kind():
    assert len(MESSAGES) > 50
    assert len({title for title, _ in MESSAGES}) == 8


@pytest.mark.parametrize(("title", "message"), MESSAGES)
def test_a_quoted_message_is_one_of_the_source(title, message, ours, theirs):
    if message in ELSEWHERE:
        return
    source = theirs if title == "Snakemake" else ours
    pieces = [piece.strip() for piece in message.split(HOLE) if len(piece.strip()) > 2]
    assert pieces, message
    pattern = re.compile(".*".join(map(re.escape, pieces)), re.S)
    assert any(pattern.search(text) for text in source), f"nothing says {message!r}"
