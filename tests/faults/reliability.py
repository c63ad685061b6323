"""The table of faults in docs/reliability.md: `python tests/faults/reliability.py` writes it."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

from catalogue import OPEN, all_faults
from interruptions import troubles
from locations import ROOT

PAGE = ROOT / "docs" / "reliability.md"
START = "<!-- made by tests/faults/reliability.py -->"


def table() -> str:
    """Counts by outcome, then a table of every fault: stage, what happens, what comes of it."""
    faults = [*all_faults(), *troubles()]
    outcomes = ["open" if fault.name in OPEN else fault.outcome for fault in faults]
    counts = Counter(outcomes)
    listed = ", ".join(
        f"{counts[name]} {name}" for name in ("refused", "survived", "excluded", "open")
    )
    lines = [
        START,
        "",
        f"{len(faults)} faults: {listed}. An open one is not handled as it should be yet, or not "
        "every time.",
        "",
        "| stage | what happens | what comes of it |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| {fault.stage} | {fault.what} | {outcome} |"
        for fault, outcome in zip(faults, outcomes, strict=True)
    ]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page with its table as the suite is now."""
    return PAGE.read_text(encoding="utf-8").split(START)[0] + table()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
