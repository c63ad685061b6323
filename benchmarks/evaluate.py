"""The processor time of `evaluate` for the thesis's grid on MIMIC-CXR, from a part of it.

Two models of two seeds each are evaluated as the rule does it, from prediction files to tables, on
55,262 images of 12,963 patients, natural and resampled, with all subgroups, at two numbers of
replicates. What a run costs for each replicate and population, and beside them, follows from the
two; the hours of 460 runs with 2,000 replicates are a product of these, not a measurement.
`baseline_s` is the goal, two hours, for one run, and `ours_s` the time that one takes.

python benchmarks/evaluate.py        prints the row; OMP_NUM_THREADS=1 for one core
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.datasets.records import complete
from cxrfmkd.evaluation.analysis import evaluate
from cxrfmkd.evaluation.families import Family
from cxrfmkd.evaluation.runs import Run
from cxrfmkd.runtime.files import write_table
from cxrfmkd.runtime.threads import cores
from cxrfmkd.study.settings import Evaluation
from cxrfmkd.vocabulary.findings import FINDINGS

SIZES = {"val": (17_665, 4_321), "test": (55_262, 12_963)}  # images and patients
MODELS, SEEDS = ("cxr-fm-lp", "cxr-model-lp"), (41, 42)
RUNS, REPLICATES, HOURS = 460, 2000, 2.0
FEW, MANY = 64, 512
PREVALENCE = (0.31, 0.03, 0.20, 0.22, 0.03, 0.12, 0.05, 0.07, 0.20, 0.05, 0.25, 0.01, 0.015, 0.30)


def records(split: str) -> pd.DataFrame:
    """Records of one split; findings and attributes as frequent as in MIMIC-CXR, about."""
    images, patients = SIZES[split]
    rng = np.random.default_rng(0)
    owner = np.sort(np.r_[np.arange(patients), rng.integers(0, patients, images - patients)])
    table = pd.DataFrame({"image_id": [f"{split}/{i}" for i in range(images)]})
    table["patient_id"] = [f"{split}-{p}" for p in owner]
    table["study_id"] = table["path"] = table.image_id
    table["sex"] = rng.choice(["Male", "Female"], patients)[owner]
    table["race"] = rng.choice(["White", "Asian", "Black"], patients, p=[0.77, 0.04, 0.19])[owner]
    table["age"] = rng.integers(18, 95, patients)[owner].astype(float)
    table["view"] = rng.choice(["AP", "PA"], images)
    table[list(FINDINGS)] = (rng.random((images, len(FINDINGS))) < PREVALENCE).astype(float)
    return complete(table.assign(split=split))


def write_predictions(path: Path, seed: int, tables: list[pd.DataFrame]) -> Path:
    """Logits of a fair model, for all splits."""
    rng, parts = np.random.default_rng(seed), []
    for table in tables:
        targets = table[list(FINDINGS)].to_numpy()
        logits = (rng.normal(size=targets.shape) + 1.2 * targets - 2).astype(np.float32)
        part = pd.DataFrame(logits, columns=list(FINDINGS))
        part.insert(0, "image_id", table.image_id)
        part.insert(1, "split", table.split)
        parts.append(part)
    write_table(path, pd.concat(parts))
    return path


def run() -> list[dict]:
    tables = [records(split) for split in SIZES]
    val, test = tables
    share = test.race.map({"White": 1.3, "Asian": 25.0, "Black": 5.2})  # a third of rows each
    drawn = np.random.default_rng(1).poisson(share).astype(float)
    weights = pd.DataFrame({"image_id": test.image_id, "weight": drawn})
    spent = {}
    with tempfile.TemporaryDirectory() as folder:
        runs = []
        for model in MODELS:
            for seed in SEEDS:
                path = Path(folder) / f"{model}-{seed}.parquet"
                write_predictions(path, seed + len(runs), tables)
                runs.append(Run(Family("mimic", "own", model, ""), seed, path))
        for replicates in (2, FEW, MANY):  # the first compiles
            settings = Evaluation(replicates=replicates)
            began = time.process_time()
            evaluate("mimic", runs, val, test, weights, settings)
            spent[replicates] = (time.process_time() - began) / len(runs)
    each = (spent[MANY] - spent[FEW]) / (MANY - FEW) / 2
    ours = spent[FEW] + (REPLICATES - FEW) * 2 * each
    return [
        {
            "name": "processor time of evaluate for one run of MIMIC-CXR, against the goal",
            "baseline_s": HOURS * 3600 / RUNS,
            "ours_s": ours,
            "ratio": HOURS * 3600 / RUNS / ours,
            "goal": 1.0,
            "n": SIZES["test"][0],
            "device": f"{platform.machine()}, {cores()} threads",
            "seconds_per_replicate_and_population": each,
            "hours_of_the_grid": RUNS * ours / 3600,
        }
    ]


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row))
