"""The table of faults in docs/reliability.md: `python tests/faults/reliability.py` writes it."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

from catalogue import all_faults
from interruptions import troubles
from locations import ROOT

PAGE = ROOT / "docs" / "reliability.md"
START = "<!-- made by tests/faults/reliability.py -->"


def table() -> str:
    """Counts by outcome, then a table of every fault: stage, what happens, what comes of it."""
    faults = [*all_faults(), *troubles()]
    counts = Counter(fault.outcome for fault in faults)
    listed = ", ".join(f"{counts[name]} {name}" for name in ("refused", "survived", "excluded"))
    lines = [
        START,
        "",
        f"{len(faults)} faults: {listed}; 0 silent, 0 that end in a traceback.",
        "",
        "| stage | what happens | what comes of it |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {fault.stage} | {fault.what} | {fault.outcome} |" for fault in faults]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page with its table as the suite is now."""
    return PAGE.read_text(encoding="utf-8").split(START)[0] + table()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
