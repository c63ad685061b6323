"""Snakemake as a user calls it, and a `python` that makes every output in an instant."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from locations import ROOT

SNAKEMAKE = [sys.executable, "-m", "snakemake"]

# Makes the files that a script would write: every path among the arguments that is not there yet.
INSTANT = """#!{python}
import sys
from pathlib import Path

ARRAY = ("data.npy", "index.parquet", "meta.json", "excluded.csv")
RUN = ("weights.safetensors", "history.csv", "predictions.parquet", "run.json")
RAW = (
    "train.csv", "CHEXPERT DEMO.xlsx", "chexpert_split_2021_08_20.csv", "images/image.jpg",
    "reference.csv",
    "mimic-cxr-2.0.0-metadata.csv.gz", "mimic-cxr-2.0.0-chexpert.csv.gz", "hosp/patients.csv.gz",
    "hosp/admissions.csv.gz", "saved_model.pb", "variables/variables.index",
)
TABLES = (
    "cohort.csv", "performance_detailed.csv", "performance_focused.csv", "transfer.csv",
    "students.csv", "subgroups.csv", "bias.csv", "costs.csv", "runs.json",
)
NOT_OUTPUTS = (
    "--spec", "--inputs", "--checkpoints", "--shards", "--workers", "--time-budget", "--benchmarks",
)
script, *rest = sys.argv[1:]
raw = any(name in script for name in ("synthesize", "build_demo_teacher"))
flag = ""
for text in rest:
    if text.startswith("--"):
        flag = text
        continue
    path = Path(text)
    if flag in NOT_OUTPUTS:
        continue
    names = RAW if raw else RUN if flag == "--runs" else TABLES if flag == "--out-dir" else ARRAY
    for made in [path] if path.suffix in SUFFIXES else [path / name for name in names]:
        if not made.exists():
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_text(str(made))
""".replace(
    "SUFFIXES",
    '(".csv", ".json", ".parquet", ".safetensors", ".svg", ".png", ".html", ".gz", ".yaml")',
)


def snakemake(*arguments: str, folder: Path = ROOT, instant: Path | None = None):
    """Run Snakemake and return (exit status, everything that it said)."""
    places = [str(instant)] if instant else []
    environment = os.environ | {
        "PATH": ":".join([*places, str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(folder / "src"),
        "XDG_CACHE_HOME": str(folder / ".cache"),
    }
    done = subprocess.run(
        [*SNAKEMAKE, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def jobs(said: str) -> dict[str, int]:
    """Job counts of a plan, by rule."""
    table = said.split("Job stats:")[1].split("total")[0] if "Job stats:" in said else ""
    return {rule: int(n) for rule, n in re.findall(r"^(\w+)\s+(\d+)$", table, re.MULTILINE)}
