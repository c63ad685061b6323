"""What all tests share: the draws of property tests, and the demo's teacher."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from cxrfmkd.runtime import plugins

settings.register_profile("study", deadline=None, derandomize=True)
settings.load_profile("study")


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests that share a costly fixture run on one worker, and the slow before the others.

    Else every worker would make what a whole module shares, and one would still be at work while
    the others have nothing left to do. For `pytest -n 2 --dist loadgroup`.
    """
    for item in items:
        names = getattr(item, "fixturenames", ())
        if "finished" in names:
            item.add_marker(pytest.mark.xdist_group("finished"))
        elif any(_is_of_module(item, name) for name in names):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    order = ("xdist_group", "slow")
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in order])


def _is_of_module(item: pytest.Item, name: str) -> bool:
    definitions = item._fixtureinfo.name2fixturedefs.get(name, ())
    return any(definition.scope == "module" for definition in definitions)


@pytest.fixture
def no_pieces_left() -> Iterator[None]:
    """What a test registers of its own is known to no other test."""
    yield
    for known in (*plugins.REGISTERED.values(), *plugins.DECLARED.values()):
        known.clear()


@pytest.fixture(scope="session")
def demo_teacher(tmp_path_factory) -> Path:
    """The demo's stand-in teacher, as a SavedModel."""
    pytest.importorskip("tensorflow")
    from cxrfmkd.teacher.demo import build

    folder = tmp_path_factory.mktemp("demo") / "teacher"
    build(folder, seed=42)
    return folder
