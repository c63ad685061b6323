"""From a figure's name and its tables to the picture and the numbers that are saved beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from cxrfmkd.figures import (
    curves,
    differences,
    distillation,
    embedding,
    encoding,
    flow,
    ks,
    parallel,
    performance,
    resampling,
    score,
    subgroups,
    thesis,
    tradeoff,
    transfer,
)
from cxrfmkd.figures.style import blank
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.tables.gathering import gather, read_documents

IDS = {"image_id", "patient_id", "study_id", "path"}
FINDINGS = {"auc-roc": "auc_roc", "auc-pr": "auc_pr", "youden": "youden_j_at_fpr20"}


@dataclass(frozen=True)
class Sources:
    """What a figure is drawn from: its subject, its settings, its files and tables by name."""

    subject: str
    spec: dict
    files: Mapping[str, Sequence[Path]]
    tables: dict[str, pd.DataFrame]

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self.tables[name]


Drawn = tuple[Figure, pd.DataFrame]


def _shown(data: pd.DataFrame, draw: Callable[..., Figure], *arguments: object) -> Drawn:
    """The picture of `data`, or one that says that there is nothing to draw."""
    return draw(data, *arguments) if len(data) else blank(str(arguments[0])), data


def _simple(select: Callable, draw: Callable, *tables: str) -> Callable[[Sources], Drawn]:
    """A figure of one dataset whose numbers are what `select` returns."""

    def make(sources: Sources) -> Drawn:
        data = select(*(sources[name] for name in tables), sources.subject)
        return _shown(data, draw, sources.subject)

    return make


def _findings(metric: str, sources: Sources) -> Drawn:
    data = performance.select_findings(sources["summary"], sources.subject, metric)
    return _shown(data, performance.draw_findings, sources.subject, metric)


def _flow(sources: Sources) -> Drawn:
    summary = read_documents(sources.files["records"])[0]
    data = flow.select(summary, sources.tables.get("excluded"))
    return _shown(data, flow.draw, sources.subject)


def _resampling(sources: Sources) -> Drawn:
    data = resampling.select(
        sources["test"], sources["test_resampled"], sources.spec["minimum_cell"]
    )
    return _shown(data, resampling.draw, sources.subject, sources.spec["method"])


def _distillation(sources: Sources) -> Drawn:
    data = distillation.select(read_documents(sources.files["quality"]), sources.subject)
    return _shown(data, distillation.draw, sources.subject)


def _transfer(sources: Sources) -> Drawn:
    source, _, target = sources.subject.partition("-to-")
    data = transfer.select(sources["summary"], source, target)
    return _shown(data, transfer.draw, source, target)


def _subgroups(kind: str, sources: Sources) -> Drawn:
    data = subgroups.select(sources["subgroups"], sources.subject)
    return _shown(data, subgroups.draw, sources.subject, kind)


def _embedding(space: str, sources: Sources) -> Drawn:
    points = embedding.select(sources["projection"], space, sources.spec["minimum_cell"])
    figure, _ = _shown(points, embedding.draw, sources.subject, space)
    return figure, embedding.aggregate(points, space)


def _tradeoff(sources: Sources) -> Drawn:
    data = tradeoff.select(sources["performance_vs_bias"], sources["correlation"])
    return tradeoff.draw(data) if len(data) else blank("the models"), data


def _thesis(sources: Sources) -> Drawn:
    data = thesis.select(sources["against_thesis"])
    return thesis.draw(data) if len(data) else blank("the thesis"), data


MAKERS: dict[str, Callable[[Sources], Drawn]] = {
    "flow": _flow,
    "resampling": _resampling,
    "distillation": _distillation,
    "training": _simple(distillation.select_training, distillation.draw_training, "history"),
    "performance": _simple(performance.select, performance.draw, "summary"),
    **{kind: partial(_findings, metric) for kind, metric in FINDINGS.items()},
    "focused": _simple(parallel.select, parallel.draw, "summary"),
    "differences": _simple(differences.select, differences.draw, "comparisons"),
    "curves": _simple(curves.select, curves.draw, "curves", "thresholds"),
    "calibration": _simple(curves.select_calibration, curves.draw_calibration, "calibration"),
    "transfer": _transfer,
    "subgroups": partial(_subgroups, "subgroups"),
    "relative": partial(_subgroups, "relative"),
    "gaps": _simple(subgroups.select_gaps, subgroups.draw_gaps, "gaps"),
    "ks": _simple(ks.select, ks.draw, "ks"),
    "score": _simple(score.select, score.draw, "score", "null"),
    "encoding": _simple(encoding.select, encoding.draw, "encoding"),
    "pca": partial(_embedding, "pca"),
    "pca-3-4": partial(_embedding, "pca-3-4"),
    "tsne": partial(_embedding, "tsne"),
    "performance-vs-bias": _tradeoff,
    "against-thesis": _thesis,
}


def make(name: str, spec: dict, files: Mapping[str, Sequence[Path]]) -> Drawn:
    """The figure `<subject>/<kind>` of `cxrfmkd.study.outputs`, and its numbers.

    spec: `minimum_cell`, and `method` of resampling; files: those of `study.outputs`, by name.
    """
    subject, _, kind = name.rpartition("/")
    if kind not in MAKERS:
        raise InputError(
            f"{name}: there is no figure of kind {kind!r}; choose of {', '.join(MAKERS)}."
        )
    sources = Sources(subject, spec, files, gather(files))
    try:
        figure, data = MAKERS[kind](sources)
    except KeyError as missing:
        raise InputError(
            f"{name}: {missing} is not among what it is drawn from "
            f"({', '.join(sorted(sources.tables)) or 'nothing'}). "
            "Make its tables again."
        ) from missing
    if named := IDS & set(data.columns):
        raise ValueError(f"{name}: {sorted(named)} must not leave the datasets' own folders.")
    return figure, data
