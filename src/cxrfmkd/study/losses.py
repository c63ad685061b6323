"""The losses that a student can be trained on, found in their source: planning imports no torch."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "training" / "losses.py"


@cache
def loss_names(source: Path = SOURCE) -> list[str]:
    """Names in the decorators `@loss("name")` of `training.losses`, in their order."""
    decorators = [
        decorator
        for node in ast.parse(source.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        for decorator in node.decorator_list
    ]
    return [
        ast.literal_eval(call.args[0])
        for call in decorators
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "loss"
    ]
