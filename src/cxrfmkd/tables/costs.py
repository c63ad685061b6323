"""What the study cost: hours of training and inference by model, and of every rule where Snakemake measured them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd

COLUMNS = [
    "what",
    "dataset",
    "source",
    "strategy",
    "model",
    "loss",
    "jobs",
    "device",
    "hours",
    "max_memory_mb",
]


def elapsed(intervals: Iterable[tuple[str, str]]) -> float:
    """Hours that `intervals` cover together; seeds that were trained side by side in one job count once.

    intervals: (started, finished), ISO 8601.
    """
    spans = sorted((datetime.fromisoformat(a), datetime.fromisoformat(b)) for a, b in intervals)
    total, end = 0.0, None
    for start, finish in spans:
        begin = start if end is None else max(start, end)
        total += max((finish - begin).total_seconds(), 0.0)
        end = finish if end is None else max(end, finish)
    return total / 3600


def of_runs(runs: Sequence[dict]) -> pd.DataFrame:
    """A row per dataset, strategy and model, or student: number of runs, devices, hours.

    runs: contents of `run.json` with what its path says under `about`.
    """
    rows = []
    for run in runs:
        about = run["about"]
        what = "student" if "model" not in about else "classifier"
        rows.append(
            {"what": what, "dataset": about.get("dataset", ""), "source": about.get("source", about.get("dataset", "")),
             "strategy": about.get("strategy", "own" if what == "classifier" else ""), "model": about.get("model", ""),
             "loss": about.get("loss", ""), "device": run.get("device", ""), "span": (run["started"], run["finished"])}
        )  # fmt: skip
    if not rows:
        return pd.DataFrame(columns=COLUMNS)
    keys = ["what", "dataset", "source", "strategy", "model", "loss"]
    grouped = pd.DataFrame(rows).groupby(keys, sort=False)
    found = pd.DataFrame(
        {
            "jobs": grouped.size(),
            "device": grouped.device.agg(lambda names: ", ".join(sorted(set(names)))),
            "hours": grouped.span.agg(elapsed),
        }
    )
    return found.reset_index().reindex(columns=COLUMNS)


def of_rules(benchmarks: Sequence[str | Path]) -> pd.DataFrame:
    """A row per rule: jobs, hours of wall time summed over jobs, largest resident memory.

    benchmarks: Snakemake's `.jsonl` files, in a folder per rule below a common one.
    """
    rows = []
    top = os.path.commonpath([Path(path).parent for path in benchmarks]) if benchmarks else ""
    for path in benchmarks:
        rule = Path(os.path.relpath(path, top)).parts[0]
        for line in Path(path).read_text().splitlines():
            found = json.loads(line)
            rows.append(
                {"what": found.get("rule_name", Path(rule).stem), "s": float(found["s"]),
                 "memory": pd.to_numeric(found.get("max_rss"), errors="coerce")}
            )  # fmt: skip
    if not rows:
        return pd.DataFrame(columns=COLUMNS)
    grouped = pd.DataFrame(rows).groupby("what", sort=True)
    found = pd.DataFrame(
        {
            "jobs": grouped.size(),
            "hours": grouped.s.sum() / 3600,
            "max_memory_mb": grouped.memory.max(),
        }
    )
    return found.reset_index().reindex(columns=COLUMNS)


def costs(runs: Sequence[dict], benchmarks: Sequence[str | Path]) -> pd.DataFrame:
    """Runs first, then rules."""
    parts = [part for part in (of_runs(runs), of_rules(benchmarks)) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
