"""The finished study that all faults share, and the count of outcomes."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
import small_study


@pytest.fixture(scope="session")
def study():
    """The study; in a folder that any user may read, since some jobs run as nobody."""
    top = Path(tempfile.mkdtemp(prefix="faults-"))
    top.chmod(0o755)
    yield small_study.make(top / "study")
    shutil.rmtree(top, ignore_errors=True)


def pytest_terminal_summary(terminalreporter) -> None:
    """Print the count by outcome, of all processes that ran tests."""
    counts = Counter(
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == "outcome"
    )
    if counts:
        listed = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        terminalreporter.write_line(f"faults: {counts.total()} as expected ({listed})")
