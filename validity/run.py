"""Measure what intervals and tests are worth, and write `docs/validity.md`.

python validity/run.py            every topic
python validity/run.py gaps       those named; the numbers of the others stay
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from itertools import groupby
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results.json", HERE.parent / "docs" / "validity.md"
sys.path.insert(0, str(HERE))

from cases import noise, within_band  # noqa: E402

FRAME = ("cases", "run", "worlds")
INTRODUCTION = """\
# Validity of intervals and tests

Made by `make validity` (`validity/run.py`); do not edit. Worlds are simulated whose truth is known:
patients with several images that resemble each other, models of few seeds, rare findings, groups of
unequal size. Each is handed to the study's own functions, and it is counted how often an interval
covers the truth, or a test finds what is not there. `measured` must lie within `band`; with 1,000
worlds chance alone moves it by 0.014 (two standard errors). `without` is the share of worlds in
which no honest interval exists and the number stands without one.
"""


def topics() -> list[str]:
    """The modules that have cases, in order."""
    return sorted(f.stem for f in HERE.glob("*.py") if f.stem not in FRAME)


def page(rows: list[dict]) -> str:
    """The text of the page."""
    parts = [INTRODUCTION]
    for topic, of_topic in groupby(rows, lambda row: row["topic"]):
        parts.append(f"\n## {topic}\n")
        parts.append("| statistic | world | what | nominal | measured | band | worlds | without |")
        parts.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for row in of_topic:
            low, high = row["band"]
            measured = f"{row['measured']:.3f}" + ("" if within_band(row) else " (outside)")
            cells = [row["statistic"], row["world"], row["kind"], f"{row['nominal']:g}", measured]
            cells += [f"{low:g} to {high:g}", str(row["worlds"]), f"{row['without']:.2g}"]
            parts.append(f"| {' | '.join(cells)} |")
    return "\n".join(parts) + "\n"


def main() -> None:
    """Run all topics, or those named; stop with status 1 if a row is clearly outside its band."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    for module in sys.argv[1:] or topics():
        for case in import_module(module).CASES:
            rows = [{"module": module} | row for row in case.measure()]
            about = {(row["module"], row["topic"], row["world"]) for row in rows}
            kept = [row for row in kept if (row["module"], row["topic"], row["world"]) not in about]
            kept += rows
            for row in rows:
                sign = " " if within_band(row) else "!"
                print(
                    f"{sign} {row['measured']:.3f} {row['statistic']}: {row['world']}", flush=True
                )
    kept.sort(key=lambda row: (row["module"], row["topic"]))
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
    PAGE.write_text(page(kept))
    if not all(within_band(row, noise(row["worlds"], row["nominal"], 2.0)) for row in kept):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
