"""Small studies that are run whole, from their configuration to the report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml
from locations import ROOT

RULES = (
    "analyse_bias assess_student distill embed evaluate extract_features finetune pack_images "
    "probe transfer_direct transfer_probe"
).split()


def run_study(folder: Path, settings: dict, *arguments: str) -> None:
    """Run a study in `folder`, which gets links to the workflow; its results lie below it."""
    for name in ("Snakefile", "config", "src", "workflow"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "study.yaml").write_text(yaml.safe_dump(settings))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [sys.executable, "-m", "snakemake", "--cores", "2"]
    command += ["--configfile", "study.yaml", "--show-failed-logs"]
    # Small networks on small images: jobs of one thread are quicker.
    command += ["--set-threads", *(f"{rule}=1" for rule in RULES), *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | threads | {"PATH": path, "XDG_CACHE_HOME": str(folder / ".cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
