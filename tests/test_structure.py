"""The layers of the package: an import goes down, never up, and never in a circle."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter

import pytest
from locations import ROOT

PACKAGE = ROOT / "src" / "cxrfmkd"

# From the ground up. A room may import from the floors below it and, without a circle, from its
# own.
FLOORS = (
    ("vocabulary", "runtime"),
    ("study", "statistics", "synthetic", "plugins"),
    ("datasets", "networks"),
    ("teacher", "training", "probing", "evaluation", "bias", "tradeoff"),
    ("assessment", "tables"),
    ("figures", "commands"),
    ("report", "cli"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def module_name(path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imported_modules(path) -> set[str]:
    """Modules of the package that a file imports, lazily inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.add(full if full in MODULES else node.module)
    return {name for name in names if name in MODULES and name != "cxrfmkd"}


IMPORTS = {name: imported_modules(path) for name, path in MODULES.items()}


def room(module: str) -> str:
    return module.split(".")[1]


def test_every_room_stands_on_a_floor():
    rooms = {room(name) for name in MODULES if name not in ("cxrfmkd", "cxrfmkd.__main__")}
    assert rooms == set(FLOOR)


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"cxrfmkd", "cxrfmkd.__main__"}))
def test_imports_go_down(name):
    upward = [other for other in IMPORTS[name] if FLOOR[room(other)] > FLOOR[room(name)]]
    assert not upward, f"{name} stands below {upward}"


@pytest.mark.parametrize("of", ["modules", "rooms"])
def test_there_is_no_circle(of):
    if of == "modules":
        graph = IMPORTS
    else:
        graph = {}
        for name, others in IMPORTS.items():
            if name not in ("cxrfmkd", "cxrfmkd.__main__"):
                below = {room(other) for other in others} - {room(name)}
                graph.setdefault(room(name), set()).update(below)
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_planning_loads_no_heavy_library():
    """`study` and `vocabulary` are read at every start of Snakemake; they cost milliseconds."""
    heavy = {"numpy", "pandas", "torch", "tensorflow", "matplotlib", "scipy", "pyarrow"}
    reached, waiting = set(), [n for n in MODULES if n.startswith("cxrfmkd.study")]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        tree = ast.parse(MODULES[name].read_text())
        for node in tree.body:
            modules = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not heavy & {module.split(".")[0] for module in modules}, name
        waiting.extend(IMPORTS[name])
