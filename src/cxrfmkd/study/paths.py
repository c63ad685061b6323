"""Paths of a configuration: what they may begin with, and what they then mean."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from cxrfmkd.runtime.errors import InputError

VARIABLE = re.compile(r"\$(\w+|\{\w+\})")


def whole_path(text: str, folders: Mapping[str, str]) -> str:
    """A configured path, whole: `~`, `$NAME` or a short name of `folders` at its beginning.

    Raises InputError for a variable that is not set, and for braces of any other meaning: Snakemake
    takes what stands in braces for a part of the name that varies.
    """
    expanded = _expand_home(text)
    for name in re.findall(r"\{([^{}]*)\}", expanded):
        if name not in folders:
            raise InputError(
                f"the path {text} begins with the folder '{name}', which `folders` does not name. "
                f"It names {', '.join(folders) or 'none'}; no other part of a path may be in "
                "braces."
            )
        expanded = expanded.replace(f"{{{name}}}", _expand_home(folders[name]))
    if re.search("[{}]", expanded):
        raise InputError(
            f"the path {text} has a brace that is not of a short name of `folders`. Rename the "
            "file or folder, or reach it through a link."
        )
    return expanded


def begins_to_be_expanded(text: str) -> bool:
    """Whether a path begins with what `whole_path` would replace."""
    return text.startswith("~") or VARIABLE.match(text) is not None


def _expand_home(text: str) -> str:
    """`text` with `~`, `~user` or a variable at its beginning replaced."""
    if match := VARIABLE.match(text):
        name = match[1].strip("{}")
        if not os.environ.get(name):
            raise InputError(
                f"the path {text} begins with the variable {name}, which is not set. Set it where "
                "you start Snakemake, or write the whole path."
            )
        return os.environ[name] + text[match.end() :]
    if text.startswith("~"):
        try:
            return str(Path(text).expanduser())
        except RuntimeError:
            raise InputError(
                f"the path {text} begins with the home of a user whom this machine does not know. "
                "Write the whole path."
            ) from None
    return text
