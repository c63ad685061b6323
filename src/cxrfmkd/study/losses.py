"""The losses that a student can be trained on, found in their source: planning imports no torch."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from cxrfmkd.runtime.plugins import registrations

SOURCE = Path(__file__).parent.parent / "training" / "losses.py"


@cache
def loss_names(source: Path = SOURCE) -> list[str]:
    """Names in the decorators `@loss("name")` of `training.losses`, in their order."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    return [name for kind, name in registrations(tree, source) if kind == "loss"]
