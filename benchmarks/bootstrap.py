"""Metrics with patient bootstrap: a loop over scikit-learn and ours, on the same replicates.

The size is CheXpert's test set: 38,000 images of 13,000 patients, 14 findings, four metrics. The
plain way draws the patients' rows and calls scikit-learn once per finding and metric; it is
measured on a few replicates. Both times are per replicate, and both ways must agree to 1e-9 on
every number. Ours includes sorting and ranking, spread over the replicates. The second row is the
thesis's bootstrap, rows within label strata, on a set of three times the rows.
"""

from __future__ import annotations

import json
import platform
import time

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.runtime.threads import cores
from cxrfmkd.statistics.sweep import Drawn

IMAGES, PATIENTS, FINDINGS = 38_000, 13_000, 14
REPLICATES, MEASURED = 1000, 2
GOALS = {"patient": 100.0, "row": 50.0}


def run() -> list[dict]:
    return [case("patient"), case("row")]


def images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, scores and patients; findings from 2 to 50 %, single-precision scores."""
    random = np.random.default_rng(0)
    patients = random.integers(0, PATIENTS, IMAGES)
    targets = (random.random((IMAGES, FINDINGS)) < np.linspace(0.02, 0.5, FINDINGS)).astype(float)
    scores = (random.normal(size=targets.shape) + targets).astype(np.float32)
    return targets, scores, patients


def plain(targets: np.ndarray, scores: np.ndarray) -> list[float]:
    """The four metrics of one finding, in the order of ours."""
    fpr, tpr, _ = roc_curve(targets, scores)
    j = tpr - fpr
    return [
        average_precision_score(targets, scores),
        roc_auc_score(targets, scores),
        j.max(),
        j[np.abs(fpr - 0.2).argmin()],
    ]


def case(unit: str) -> dict:
    targets, scores, patients = images()
    weights = (
        np.ones(IMAGES)
        if unit == "patient"
        else np.random.default_rng(1).poisson(3.0, IMAGES).astype(float)
    )
    everyone = np.zeros((IMAGES, 1), np.int16)
    Sample(targets[:100], patients[:100], weights[:100], everyone[:100], 1, unit).measure(
        scores[:100]
    )
    sample = Sample(targets, patients, weights, everyone, REPLICATES, unit)
    began = time.perf_counter()
    metrics = sample.measure(scores).metrics
    ours = (time.perf_counter() - began) / REPLICATES

    spent, worst = 0.0, 0.0
    drawn = np.empty((1 + MEASURED, FINDINGS, IMAGES))
    few = Sample(targets, patients, weights, everyone, MEASURED, unit)

    def keep(start: int, stop: int, block: Drawn) -> None:
        for one in range(start, stop):
            drawn[one] = block.of(one - start)

    few.for_each_block(keep)
    for replicate in range(1, MEASURED + 1):
        for finding in range(FINDINGS):
            rows = np.repeat(np.arange(IMAGES), drawn[replicate, finding].astype(int))
            began = time.perf_counter()
            expected = plain(targets[rows, finding], scores[rows, finding])
            spent += time.perf_counter() - began
            worst = max(worst, *np.abs(metrics[replicate, :, finding, 0] - expected))
    assert worst < 1e-9, worst
    baseline = spent / MEASURED
    return {
        "name": f"bootstrap of four metrics by {unit}, one replicate of {FINDINGS} findings",
        "baseline_s": baseline,
        "ours_s": ours,
        "ratio": baseline / ours,
        "goal": GOALS[unit],
        "n": int(weights.sum()),
        "device": f"{platform.machine()}, {cores()} threads",
        "worst_difference": worst,
    }


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row))
