"""From a figure's name and its tables to the picture and the numbers that are saved beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from cxrfmkd.tables.gathering import documents, gather

IDS = {"image_id", "patient_id", "study_id", "path"}
FINDINGS = {"auc-roc": "auc_roc", "auc-pr": "auc_pr", "youden": "youden_j_at_fpr20"}


@dataclass(frozen=True)
class Sources:
    """What a figure is drawn from: its subject, its settings and its tables by file name."""

    subject: str
    spec: dict
    paths: Sequence[Path]
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
    data = performance.select_findings(sources["summary.csv"], sources.subject, metric)
    return _shown(data, performance.draw_findings, sources.subject, metric)


def _flow(sources: Sources) -> Drawn:
    summary = documents(sources.paths, "summary.json")[0]
    data = flow.select(summary, sources.tables.get("excluded.csv"))
    return _shown(data, flow.draw, sources.subject)


def _resampling(sources: Sources) -> Drawn:
    data = resampling.select(
        sources["test.csv"], sources["test_resampled.csv"], sources.spec["minimum_cell"]
    )
    return _shown(data, resampling.draw, sources.subject, sources.spec["method"])


def _distillation(sources: Sources) -> Drawn:
    data = distillation.select(documents(sources.paths, "quality.json"), sources.subject)
    return _shown(data, distillation.draw, sources.subject)


def _transfer(sources: Sources) -> Drawn:
    source, _, target = sources.subject.partition("-to-")
    data = transfer.select(sources["summary.csv"], source, target)
    return _shown(data, transfer.draw, source, target)


def _subgroups(kind: str, sources: Sources) -> Drawn:
    data = subgroups.select(sources["subgroups.csv"], sources.subject)
    return _shown(data, subgroups.draw, sources.subject, kind)


def _embedding(space: str, sources: Sources) -> Drawn:
    points = embedding.select(sources["projection.parquet"], space, sources.spec["minimum_cell"])
    figure, _ = _shown(points, embedding.draw, sources.subject, space)
    return figure, embedding.aggregate(points, space)


def _tradeoff(sources: Sources) -> Drawn:
    data = tradeoff.select(sources["performance_vs_bias.csv"], sources["correlation.csv"])
    return tradeoff.draw(data) if len(data) else blank("the models"), data


def _thesis(sources: Sources) -> Drawn:
    data = thesis.select(sources["against_thesis.csv"])
    return thesis.draw(data) if len(data) else blank("the thesis"), data


MAKERS: dict[str, Callable[[Sources], Drawn]] = {
    "flow": _flow,
    "resampling": _resampling,
    "distillation": _distillation,
    "training": _simple(distillation.select_training, distillation.draw_training, "history.csv"),
    "performance": _simple(performance.select, performance.draw, "summary.csv"),
    **{kind: partial(_findings, metric) for kind, metric in FINDINGS.items()},
    "focused": _simple(parallel.select, parallel.draw, "summary.csv"),
    "differences": _simple(differences.select, differences.draw, "comparisons.csv"),
    "curves": _simple(curves.select, curves.draw, "curves.csv", "thresholds.csv"),
    "calibration": _simple(curves.select_calibration, curves.draw_calibration, "calibration.csv"),
    "transfer": _transfer,
    "subgroups": partial(_subgroups, "subgroups"),
    "relative": partial(_subgroups, "relative"),
    "gaps": _simple(subgroups.select_gaps, subgroups.draw_gaps, "gaps.csv"),
    "ks": _simple(ks.select, ks.draw, "ks.csv"),
    "score": _simple(score.select, score.draw, "score.csv", "null.csv"),
    "encoding": _simple(encoding.select, encoding.draw, "encoding.csv"),
    "pca": partial(_embedding, "pca"),
    "pca-3-4": partial(_embedding, "pca-3-4"),
    "tsne": partial(_embedding, "tsne"),
    "performance-vs-bias": _tradeoff,
    "against-thesis": _thesis,
}


def make(name: str, spec: dict, paths: Sequence[str | Path]) -> Drawn:
    """The figure `<subject>/<kind>` of `cxrfmkd.study.outputs`, and its numbers.

    spec: `minimum_cell`, and `method` of resampling; paths: the tables that the catalogue names.
    """
    subject, _, kind = name.rpartition("/")
    if kind not in MAKERS:
        raise InputError(
            f"{name}: there is no figure of kind {kind!r}; choose of {', '.join(MAKERS)}."
        )
    sources = Sources(subject, spec, [Path(path) for path in paths], gather(paths))
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
