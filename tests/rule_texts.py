"""What the rule files say of every rule, read as text."""

from __future__ import annotations

import re
from typing import NamedTuple

from locations import ROOT


def rules() -> dict[str, str]:
    """The text of every rule that runs something, by name."""
    text = "\n".join(file.read_text() for file in ROOT.glob("workflow/rules/*.smk"))
    return dict(re.findall(r"^rule (\w+):(.*?)(?=^rule |\Z)", text, re.MULTILINE | re.DOTALL))


class Request(NamedTuple):
    """What a rule asks a scheduler for; memory in MB and minutes at the first attempt."""

    threads: int
    mem_mb: int
    runtime: int
    gpu: bool
    grows: bool


def request(body: str) -> Request:
    """The request in the text of a rule."""
    patterns = (
        r"threads: (?:shared\()?(\d+)",
        r"mem_mb=(?:growing\(|memory\()?(\d+)",
        r"runtime=(?:limit\()?(\d+)",
    )
    threads, mem_mb, runtime = (int(re.search(pattern, body)[1]) for pattern in patterns)
    return Request(threads, mem_mb, runtime, "**card(" in body, "growing(" in body)
