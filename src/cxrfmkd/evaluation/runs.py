"""The runs of an evaluation: their prediction files, and what their validation images say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cxrfmkd.evaluation.families import Family
from cxrfmkd.evaluation.metrics import metrics_and_thresholds, with_averages
from cxrfmkd.evaluation.operating_points import thresholds_at_fpr
from cxrfmkd.evaluation.predictions import LabelledImages, read_logits
from cxrfmkd.evaluation.recalibration import METHODS as RECALIBRATIONS
from cxrfmkd.evaluation.recalibration import fit_recalibrations
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.study.settings import Findings
from cxrfmkd.vocabulary.findings import MACRO
from cxrfmkd.vocabulary.metrics import METRICS
from cxrfmkd.vocabulary.models import join_model, run_folder


@dataclass(frozen=True)
class Run:
    """One classifier's predictions.

    source_predictions: those on its source, for a model that was not trained again.
    """

    family: Family
    seed: int
    predictions: Path
    source_predictions: Path | None = None

    @property
    def shared(self) -> bool:
        """Whether it tells the source's findings, of which the target may have others."""
        return self.family.strategy == "direct"


class Validation(NamedTuple):
    """What validation images say of a family.

    cuts: thresholds of each seed, from the dataset's own and from the source's images, NaN for
    none, shape (seeds, f, 2). macro: mean over seeds of the macro AUC-ROC. fits: of each seed's
    recalibration, (seeds, methods, f, 2).
    """

    cuts: np.ndarray
    macro: float
    fits: np.ndarray


def by_family(runs: Iterable[Run]) -> dict[Family, list[Run]]:
    """The runs of each family, in order."""
    families: dict[Family, list[Run]] = {}
    for run in runs:
        families.setdefault(run.family, []).append(run)
    return families


def runs_of(
    dataset: str, described: list[dict], predictions: list[Path], source_predictions: list[Path]
) -> tuple[list[Run], list[str]]:
    """The runs of a spec with their files, and the sources whose validation records they need.

    described: source, strategy, model, loss and seed of each run that is evaluated on `dataset`.
    predictions: the file of each run, in its folder. source_predictions: the file of the source's
    run of each run of strategy "direct", or none at all.
    """
    files, source_files = _by_folder(predictions), _by_folder(source_predictions)
    runs, sources = [], []
    for one in described:
        source, strategy, seed = one["source"], one["strategy"], one["seed"]
        model = join_model(one["model"], one["loss"])
        path = _pop(files, run_folder(source, dataset, strategy, model, seed))
        source_path = None
        if strategy == "direct" and source_predictions:
            source_path = _pop(source_files, run_folder(source, source, "own", model, seed))
            sources.append(source)
        family = Family(*(one[name] for name in Family._fields))
        runs.append(Run(family, seed, path, source_path))
    if files or source_files:
        raise InputError(
            f"evaluate: predictions of no run of the spec: {some(files | source_files)}."
        )
    return runs, list(dict.fromkeys(sources))


def _by_folder(paths: list[Path]) -> dict[str, Path]:
    """Prediction files by the folder of their run, as `run_folder` names it."""
    return {"/".join(path.parts[-5:-1]): path for path in paths}


def _pop(files: dict[str, Path], folder: str) -> Path:
    if folder not in files:
        raise InputError(f"evaluate: no predictions of the run {folder} are given.")
    return files.pop(folder)


def validate(
    runs: list[Run], val: LabelledImages, sources: dict[str, LabelledImages], target_fpr: float
) -> Validation:
    """Thresholds and macro AUC-ROC of the runs of one family. sources: by name of the dataset."""
    cuts, macros, fits = [], [], []
    findings = Findings(names=list(val.findings))
    for run in runs:
        logits = read_logits(run.predictions, "val", val, run.shared)
        told = ~np.isnan(logits).all(axis=0)
        scores = logits[:, told]
        metrics, cut = np.full((len(told), len(METRICS)), np.nan), np.full(len(told), np.nan)
        metrics[told], cut[told] = metrics_and_thresholds(
            val.targets[:, told], scores, None, target_fpr
        )
        carried = np.full(len(told), np.nan)
        if run.source_predictions is not None:
            source = sources[run.family.source]
            source_logits = read_logits(run.source_predictions, "val", source)
            there = thresholds_at_fpr(source.targets, source_logits, None, target_fpr)
            by_name = dict(zip(source.findings, there, strict=True))
            carried = np.array([by_name.get(name, np.nan) for name in val.findings])
        cuts.append(np.stack([cut, carried], axis=1))
        macro = with_averages(metrics, None, findings)[findings.rows.index(MACRO)]
        macros.append(macro[METRICS.index("auc_roc")])
        fit = np.full((len(RECALIBRATIONS), len(told), 2), np.nan)
        fit[:, told] = fit_recalibrations(scores, val.targets[:, told])
        fits.append(fit)
    return Validation(np.array(cuts), float(np.mean(macros)), np.array(fits))
