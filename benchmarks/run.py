"""Run every benchmark, each beside its plain baseline, and write `benchmarks/results.json`."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Run all benchmarks, or those named on the command line; print a table of ratios and goals."""
    sys.path.insert(0, str(HERE))
    names = sys.argv[1:] or sorted(f.stem for f in HERE.glob("*.py") if f.stem != "run")
    target = HERE / "results.json"
    kept = json.loads(target.read_text()) if target.exists() else []
    for name in names:
        rows = [{"benchmark": name, **row} for row in import_module(name).run()]
        kept = [row for row in kept if row["benchmark"] != name] + rows
        for row in rows:
            ratio = f"{row['ratio']:8.1f}x" if row["ratio"] else "        -"
            print(
                f"{row['name']:70} {row['ours_s']:9.3f} s {ratio}  goal {row['goal']}  "
                f"({row['device']})",
                flush=True,
            )
        target.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
