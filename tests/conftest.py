"""What all tests share: the draws of property tests, and the demo's teacher."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("study", deadline=None, derandomize=True)
settings.load_profile("study")


@pytest.fixture(scope="session")
def demo_teacher(tmp_path_factory) -> Path:
    """The demo's stand-in teacher, as a SavedModel."""
    pytest.importorskip("tensorflow")
    from cxrfmkd.teacher.demo import build

    folder = tmp_path_factory.mktemp("demo") / "teacher"
    build(folder, seed=42)
    return folder
