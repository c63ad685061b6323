"""Small studies that are run whole, from their configuration to the report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import warm_python
import yaml
from locations import ROOT
from PIL import Image

RULES = (
    "analyse_bias assess_student distill embed evaluate extract_features finetune pack_images "
    "probe transfer_direct transfer_probe"
).split()


# What makes a study small: no initial weights, one penalty, one attribute, a few draws.
SMALL: dict[str, dict] = {
    "images": {"size": 32},
    "resampling": {"method": "none"},
    "network": {"weights": "none", "device": "cpu"},
    "probe": {"l2": [1.0]},
    "transfer": {"pairs": []},
    "evaluation": {"replicates": 10, "attributes": ["sex"], "minimum_cell": 2},
    "bias": {
        "attributes": ["sex"],
        "simulations": 2,
        "permutations": 2,
        "replicates": 2,
        "tsne_points": 0,
    },
}


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write grey pixels, uint8, as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_tables(folder: Path, rows: list[dict], vectors: list[dict]) -> dict:
    """Records and embeddings beside the images of `folder`; the dataset's settings."""
    pd.DataFrame(rows).to_csv(folder / "records.csv", index=False)
    pd.DataFrame(vectors).to_parquet(folder / "teacher.parquet")
    return {
        "adapter": "table",
        "tables": {"records": str(folder / "records.csv")},
        "images": str(folder / "images"),
        "teacher": {
            "source": "parquet",
            "path": str(folder / "teacher.parquet"),
            "variant": "cxrfm-v1",
            "column": "image_id",
            "feature": "vector",
        },
    }


def run_study(folder: Path, settings: dict, *arguments: str) -> None:
    """Run a study in `folder`, which gets links to the workflow; its results lie below it."""
    for name in ("Snakefile", "config", "src", "workflow"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "study.yaml").write_text(yaml.safe_dump(settings))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    path = f"{warm_python.folder()}:{Path(sys.executable).parent}:{os.environ['PATH']}"
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
