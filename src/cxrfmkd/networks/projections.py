"""The projections of a student of several teachers, as its weights keep them.

`projection` is that of the first teacher, as of any student; those of the others are named
`projections.<teacher>`. The header's `teachers` says in JSON, in order, what each teacher is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from cxrfmkd.runtime.errors import InputError

LAYERS = "projections."


def layer_of(teacher: str = "") -> str:
    """Name of a teacher's projection among the weights; empty: of the first."""
    return f"{LAYERS}{teacher}" if teacher else "projection"


def split_projection(
    state: Mapping[str, Tensor], teachers: Mapping[str, dict]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights with a projection for each teacher, and what their header says of it.

    state: with one projection whose outputs are those of all teachers, side by side.
    """
    weights = {k: v for k, v in state.items() if not k.startswith("projection.")}
    widths = [facts["dimension"] for facts in teachers.values()]
    for kind in ("weight", "bias"):
        parts = state[f"projection.{kind}"].split(widths)
        for number, (name, part) in enumerate(zip(teachers, parts, strict=True)):
            weights[f"{layer_of(name if number else '')}.{kind}"] = part.clone()
    header = {"projection": str(widths[0]), "teachers": json.dumps(teachers, ensure_ascii=False)}
    return weights, header


def teachers_in(header: Mapping[str, str]) -> dict[str, dict]:
    """What a header says of a student's teachers; nothing where there is one."""
    return json.loads(header.get("teachers", "{}"))


def chosen_teacher(path: Path, header: Mapping[str, str], teacher: str) -> str:
    """The teacher that is asked for; empty for the first, whose projection is `projection`.

    teacher: its name in the configuration, or its own. Raises InputError for another one.
    """
    teachers = teachers_in(header)
    if not teacher:
        return ""
    for number, name in enumerate(teachers):
        if is_called(teacher, name, teachers):
            return name if number else ""
    if not teachers:
        raise InputError(f"{path}: it is not of several teachers. Do not ask for {teacher!r}.")
    names = (f"{name} ({facts.get('name', name)})" for name, facts in teachers.items())
    raise InputError(
        f"{path}: none of its teachers is {teacher!r}. It reproduces {', '.join(names)}."
    )


def is_called(teacher: str, name: str, teachers: Mapping[str, dict]) -> bool:
    """Whether `teacher` is the teacher `name`: this, or what it is called itself."""
    return teacher in (name, teachers[name].get("name"))


def projection_alone(state: Mapping[str, Tensor], teacher: str) -> dict[str, Tensor]:
    """Weights with the projection of one teacher, under `projection`; empty: the first."""
    weights = {k: v for k, v in state.items() if not k.startswith(LAYERS)}
    if teacher:
        kinds = ("weight", "bias")
        weights |= {f"projection.{kind}": state[f"{layer_of(teacher)}.{kind}"] for kind in kinds}
    return weights
