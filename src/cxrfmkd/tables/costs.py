"""What the study cost: hours by model, and of every rule where Snakemake measured them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd

from cxrfmkd.vocabulary.models import RUN_FAMILY

KEYS = ["what", *RUN_FAMILY]
COLUMNS = [*KEYS, "jobs", "device", "hours", "max_memory_mb"]


def elapsed(intervals: Iterable[tuple[str, str]]) -> float:
    """Hours that `intervals`, (started, finished) in ISO 8601, cover together."""
    spans = sorted((datetime.fromisoformat(a), datetime.fromisoformat(b)) for a, b in intervals)
    if not spans:
        return 0.0
    seconds, end = 0.0, spans[0][0]
    for start, finish in spans:
        seconds += max((finish - max(start, end)).total_seconds(), 0.0)
        end = max(end, finish)
    return seconds / 3600


def hours(runs: Sequence[dict]) -> float:
    """Hours of all starts of `runs`, contents of `run.json`.

    A run that trained a network (it knows its seconds) had a job, and perhaps a GPU, to itself:
    from its last start to its end, and what it had trained before that start. Of probes all seeds
    shared one job, so their times count once.
    """
    networks = [run for run in runs if "seconds" in run]
    probes = [(run["started"], run["finished"]) for run in runs if "seconds" not in run]
    last_starts = sum(elapsed([(run["started"], run["finished"])]) for run in networks)
    earlier = sum(run.get("earlier_seconds", 0.0) for run in networks) / 3600
    return last_starts + earlier + elapsed(probes)


def costs_of_runs(runs: Sequence[dict]) -> pd.DataFrame:
    """A row per dataset, strategy and model, or student: number of runs, devices, hours.

    runs: contents of `run.json` with what its path says under `about`.
    """
    rows = []
    for run in runs:
        about = run["about"]
        student = {"what": "student", "strategy": "", "model": ""}
        classifier = {"what": "classifier", "strategy": "own"}
        row = {"source": about.get("dataset", ""), "dataset": "", "loss": "", "run": run}
        rows.append(row | (classifier if "model" in about else student) | about)
    groups = pd.DataFrame(rows, columns=[*KEYS, "run"]).groupby(KEYS, sort=False).run
    table = groups.agg(list).reset_index(name="runs")
    table["jobs"] = table.runs.map(len)
    table["device"] = [
        ", ".join(sorted({run.get("device", "") for run in several})) for several in table.runs
    ]
    return table.assign(hours=table.runs.map(hours)).reindex(columns=COLUMNS)


def costs_of_rules(benchmarks: Sequence[str | Path]) -> pd.DataFrame:
    """A row per rule: jobs, hours of wall time summed over jobs, largest resident memory.

    benchmarks: folders of Snakemake's `.jsonl` files, each called as its rule; one that is not
    there has no jobs. Snakemake keeps of a job that was started several times the last start alone.
    """
    rows = [
        {"what": folder.name, **json.loads(line)}
        for folder in map(Path, benchmarks)
        for path in sorted(folder.rglob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    jobs = pd.DataFrame(rows).reindex(columns=["what", "s", "max_rss"])
    jobs["max_rss"] = pd.to_numeric(jobs.max_rss, errors="coerce")
    rules = jobs.astype({"s": float}).groupby("what")
    table = pd.DataFrame(
        {"jobs": rules.size(), "hours": rules.s.sum() / 3600, "max_memory_mb": rules.max_rss.max()}
    )
    return table.reset_index().reindex(columns=COLUMNS)


def costs(runs: Sequence[dict], benchmarks: Sequence[str | Path]) -> pd.DataFrame:
    """Runs first, then rules."""
    tables = [costs_of_runs(runs), costs_of_rules(benchmarks)]
    with_rows = [table for table in tables if len(table)]
    return pd.concat(with_rows or tables[:1], ignore_index=True)


def without_settings(runs: Iterable[dict]) -> list[dict]:
    """The runs' documents without the settings that they were given, which their own files keep."""
    return [{name: value for name, value in run.items() if name != "spec"} for run in runs]
