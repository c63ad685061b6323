"""What the study cost: hours of training and inference by model, and of every rule where Snakemake measured them."""

from __future__ import annotations

import json
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
    """Hours that `intervals`, (started, finished) in ISO 8601, cover together."""
    spans = sorted((datetime.fromisoformat(a), datetime.fromisoformat(b)) for a, b in intervals)
    total, end = 0.0, None
    for start, finish in spans:
        begin = start if end is None else max(start, end)
        total += max((finish - begin).total_seconds(), 0.0)
        end = finish if end is None else max(end, finish)
    return total / 3600


def hours(runs: Sequence[dict]) -> float:
    """Hours of all starts of `runs`, contents of `run.json`.

    A run that trained a network (it knows its seconds) had a job, and perhaps a GPU, of its own:
    from its last start to its end, and what it had trained before that start. Of probes all seeds
    shared one job, so their times count once.
    """
    alone = [run for run in runs if "seconds" in run]
    shared = [(run["started"], run["finished"]) for run in runs if "seconds" not in run]
    own = sum(elapsed([(run["started"], run["finished"])]) for run in alone)
    return own + sum(run.get("earlier_seconds", 0.0) for run in alone) / 3600 + elapsed(shared)


def of_runs(runs: Sequence[dict]) -> pd.DataFrame:
    """A row per dataset, strategy and model, or student: number of runs, devices, hours.

    runs: contents of `run.json` with what its path says under `about`.
    """
    rows = []
    for run in runs:
        about = run["about"]
        what = "student" if "model" not in about else "classifier"
        rows.append(
            {
                "what": what,
                "dataset": about.get("dataset", ""),
                "source": about.get("source", about.get("dataset", "")),
                "strategy": about.get("strategy", "own" if what == "classifier" else ""),
                "model": about.get("model", ""),
                "loss": about.get("loss", ""),
                "device": run.get("device", ""),
                "run": run,
            }
        )
    if not rows:
        return pd.DataFrame(columns=COLUMNS)
    keys = ["what", "dataset", "source", "strategy", "model", "loss"]
    grouped = pd.DataFrame(rows).groupby(keys, sort=False)
    found = pd.DataFrame(
        {
            "jobs": grouped.size(),
            "device": grouped.device.agg(lambda names: ", ".join(sorted(set(names)))),
            "hours": grouped.run.agg(list).map(hours),
        }
    )
    return found.reset_index().reindex(columns=COLUMNS)


def of_rules(benchmarks: Sequence[str | Path]) -> pd.DataFrame:
    """A row per rule: jobs, hours of wall time summed over jobs, largest resident memory.

    benchmarks: folders of Snakemake's `.jsonl` files, each called as its rule; one that is not
    there has no jobs. Snakemake keeps of a job that was started several times the last start alone.
    """
    rows = []
    for folder in map(Path, benchmarks):
        for path in sorted(folder.rglob("*.jsonl")):
            for line in path.read_text().splitlines():
                found = json.loads(line)
                memory = pd.to_numeric(found.get("max_rss"), errors="coerce")
                rows.append({"what": folder.name, "s": float(found["s"]), "memory": memory})
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
