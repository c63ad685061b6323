"""Where a setting stands: file and line, for messages about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# The setting that a line of a message is about, and the name of one that there is not.
SETTING = re.compile(r"config(?:, (?P<path>[^:\s]+))?")
UNKNOWN = re.compile(r"there is no setting `(?P<name>[^`]+)`")


def with_lines(message: str, files: Iterable[str | Path]) -> str:
    """A message about settings with file and line added to each of its lines.

    files: configurations, each laid over those before it; the last that has a setting counts. A
    line about a setting that no file has, such as a missing one, gets the place of its section.
    """
    import yaml

    places: dict[str, str] = {}
    for file in files:
        try:
            node = yaml.compose(Path(file).read_text())
        except (OSError, yaml.YAMLError):  # reported by whoever reads it
            continue
        places |= {path: f"{file}, line {line}" for path, line in _lines(node)}
    return "\n".join(_with_place(line, places) for line in message.splitlines())


def _lines(node: Any, prefix: str = "") -> Iterator[tuple[str, int]]:
    """(dotted name, line) of every setting below a YAML node."""
    if node is None or not isinstance(node.value, list):
        return
    if node.id == "sequence":
        children = [(str(i), value, value) for i, value in enumerate(node.value)]
    else:
        children = [(key.value, key, value) for key, value in node.value]
    for name, place, value in children:
        yield f"{prefix}{name}", place.start_mark.line + 1
        yield from _lines(value, f"{prefix}{name}.")


def _with_place(line: str, places: dict[str, str]) -> str:
    setting = SETTING.match(line)
    if setting is None:
        return line
    steps = (setting["path"] or "").rstrip(".,").split(".")
    if unknown := UNKNOWN.search(line):
        steps = [step for step in (*steps, unknown["name"]) if step]
    for length in range(len(steps), 0, -1):
        if place := places.get(".".join(steps[:length])):
            return f"{line} ({place})"
    return line
