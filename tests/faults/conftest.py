"""The finished study that all faults share, and the count of outcomes."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
import small_study

TALLY: Counter[str] = Counter()


@pytest.fixture(scope="session")
def study():
    """The study; in a folder that any user may read, since some jobs run as nobody."""
    top = Path(tempfile.mkdtemp(prefix="faults-"))
    top.chmod(0o755)
    yield small_study.make(top / "study")
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture(scope="session")
def tally() -> Counter[str]:
    """Faults that came to what they must, by outcome."""
    return TALLY


def pytest_terminal_summary(terminalreporter) -> None:
    """Print the count by outcome."""
    if TALLY:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(TALLY.items()))
        terminalreporter.write_line(f"faults: {TALLY.total()} as expected ({counts})")
