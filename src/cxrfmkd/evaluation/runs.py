"""The runs of an evaluation: their prediction files, and what their validation images say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from cxrfmkd.evaluation.families import Family
from cxrfmkd.evaluation.metrics import (
    FINDINGS_AND_AVERAGES,
    metrics_of,
    with_averages,
)
from cxrfmkd.evaluation.operating_points import thresholds_at_fpr
from cxrfmkd.evaluation.predictions import read_logits
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.vocabulary.findings import FINDINGS, MACRO
from cxrfmkd.vocabulary.metrics import METRICS


@dataclass(frozen=True)
class Run:
    """One classifier's predictions.

    source_predictions: those on its source, for a model that was not trained again.
    """

    family: Family
    seed: int
    predictions: Path
    source_predictions: Path | None = None


class LabelledImages(NamedTuple):
    """Images of a split: image_ids, shape (n,); targets, float64 of shape (n, 14)."""

    image_ids: pd.Series
    targets: np.ndarray


class Validation(NamedTuple):
    """What validation images say of a family.

    cuts: thresholds of each seed, from the dataset's own and from the source's images, NaN for
    none, shape (seeds, 14, 2). macro: mean over seeds of the macro AUC-ROC.
    """

    cuts: np.ndarray
    macro: float


def runs_of(
    described: list[dict], predictions: list[Path], source_predictions: list[Path]
) -> tuple[list[Run], list[str]]:
    """The runs of a spec with their files, and the sources whose validation records they need.

    described: source, strategy, model, loss and seed of each run. predictions: one file a run, in
    order. source_predictions: one file for each run of strategy "direct", in order, or none at all.
    """
    direct = [run["strategy"] == "direct" for run in described]
    if len(described) != len(predictions) or len(source_predictions) not in (0, sum(direct)):
        raise InputError(
            f"evaluate: {len(described)} runs, of them {sum(direct)} direct, but "
            f"{len(predictions)} predictions and {len(source_predictions)} source predictions. "
            "Give one file a run, in the order of spec.runs."
        )
    files = iter(source_predictions)
    runs = [
        Run(
            Family(*(run[name] for name in Family._fields)),
            run["seed"],
            path,
            next(files, None) if run["strategy"] == "direct" else None,
        )
        for run, path in zip(described, predictions, strict=True)
    ]
    sources = [run.family.source for run in runs if run.source_predictions is not None]
    return runs, list(dict.fromkeys(sources))


def validate(
    runs: list[Run], val: LabelledImages, sources: dict[str, LabelledImages], target_fpr: float
) -> Validation:
    """Thresholds and macro AUC-ROC of the runs of one family. sources: by name of the dataset."""
    cuts, macros = [], []
    for run in runs:
        logits = read_logits(run.predictions, "val", val.image_ids)
        cut = thresholds_at_fpr(val.targets, logits, None, target_fpr)
        carried = np.full(len(FINDINGS), np.nan)
        if run.source_predictions is not None:
            source = sources[run.family.source]
            source_logits = read_logits(run.source_predictions, "val", source.image_ids)
            carried = thresholds_at_fpr(source.targets, source_logits, None, target_fpr)
        cuts.append(np.stack([cut, carried], axis=1))
        metrics = with_averages(metrics_of(val.targets, logits))
        macros.append(metrics[FINDINGS_AND_AVERAGES.index(MACRO), METRICS.index("auc_roc")])
    return Validation(np.array(cuts), float(np.mean(macros)))
