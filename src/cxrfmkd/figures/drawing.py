"""From a figure's name and its tables to the picture and the numbers that are saved beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from cxrfmkd.bias.grouping import attributes_of_spec
from cxrfmkd.datasets.disclosure import disclosure
from cxrfmkd.figures import (
    against_thesis,
    curves,
    differences,
    distillation,
    embedding,
    encoding,
    flow,
    focused,
    ks,
    performance,
    resampling,
    score,
    size,
    style,
    subgroups,
    tradeoff,
    transfer,
)
from cxrfmkd.figures.panels import blank
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import atomic_write
from cxrfmkd.study.settings import Findings
from cxrfmkd.tables.gathering import gather, read_documents
from cxrfmkd.vocabulary.attributes import Attributes

IDS = {"image_id", "patient_id", "study_id", "path"}


@dataclass(frozen=True)
class Sources:
    """What a figure is drawn from: its subject, settings, files and tables by name."""

    subject: str
    spec: dict
    files: Mapping[str, Sequence[Path]]
    tables: dict[str, pd.DataFrame]

    @property
    def attributes(self) -> Attributes:
        """The study's attributes."""
        return attributes_of_spec(self.spec)

    @property
    def findings(self) -> Findings:
        """Those of the study."""
        return Findings.of_spec(self.spec)

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self.tables[name]


FigureResult = tuple[Figure, pd.DataFrame]


def _figure(
    data: pd.DataFrame, draw: Callable[..., Figure], subject: str, *options
) -> FigureResult:
    """The picture of `data`, or one that says that there is nothing to draw."""
    return draw(data, subject, *options) if len(data) else blank(subject), data


def _of_dataset(
    select: Callable, draw: Callable, *tables: str, by_finding: bool = False, **choices
) -> Callable:
    """A figure of one dataset whose numbers are what `select` returns.

    by_finding: it shows single findings, so that it must know which there are, in which order.
    """

    def figure(sources: Sources) -> FigureResult:
        options = choices | ({"findings": sources.findings} if by_finding else {})
        data = select(*(sources[name] for name in tables), sources.subject, **options)
        return _figure(data, partial(draw, **options), sources.subject)

    return figure


def _of_study(
    select: Callable, draw: Callable, subject: str, *tables: str, by_finding: bool = False
) -> Callable:
    """A figure of all datasets together."""

    def figure(sources: Sources) -> FigureResult:
        options = {"findings": sources.findings} if by_finding else {}
        data = select(*(sources[name] for name in tables), **options)
        return _figure(data, lambda rows, _: draw(rows, **options), subject)

    return figure


def _flow(sources: Sources) -> FigureResult:
    summary = read_documents(sources.files["records"])[0]
    tables = sources.tables
    excluded = tables.get("unreadable"), tables.get("without_embedding")
    data = flow.select_flow(summary, *excluded, sources.spec["minimum_cell"])
    return _figure(data, flow.draw_flow, sources.subject)


def _resampling(sources: Sources) -> FigureResult:
    test, weights = sources["test"], sources["test_resampled"]
    spec, attributes = sources.spec, sources.attributes
    by = attributes[spec.get("by", "race")]
    disclosed = disclosure(test, spec["minimum_cell"], spec["uncertain"], attributes=attributes)
    data = resampling.select_resampling(test, weights, disclosed, by, sources.findings)
    return _figure(data, resampling.draw_resampling, sources.subject, spec["method"], by)


def _distillation(sources: Sources) -> FigureResult:
    qualities = read_documents(sources.files["quality"])
    data = distillation.select_distillation(qualities, sources.subject)
    return _figure(data, distillation.draw_distillation, sources.subject)


def _subgroups(sources: Sources, column: str) -> FigureResult:
    findings = sources.findings
    data = subgroups.select_subgroups(sources["subgroups"], sources.subject, findings)
    return _figure(data, subgroups.draw_subgroups, sources.subject, column, findings)


def _points(sources: Sources, space: str, fewest: int) -> pd.DataFrame:
    tables = sources["projection"], sources["test"]
    return embedding.select_points(*tables, space, fewest, sources.attributes)


def _embedding(sources: Sources, space: str) -> FigureResult:
    fewest, attributes = sources.spec["minimum_cell"], sources.attributes
    points = _points(sources, space, fewest)
    options = space, fewest, attributes
    figure, _ = _figure(points, embedding.draw_embedding, sources.subject, *options)
    return figure, embedding.summarise_points(points, space, attributes)


def points_figure(name: str, spec: dict, files: Mapping[str, Sequence[Path]]) -> Figure:
    """The row-level picture `<dataset>/<space>`, a dot an image; files: as of `draw_figure`."""
    dataset, _, space = name.rpartition("/")
    sources = Sources(dataset, spec, files, gather(files))
    points = _points(sources, space, 0)
    return _figure(points, embedding.draw_points, dataset, space, sources.attributes)[0]


FIGURES: dict[str, Callable[[Sources], FigureResult]] = {
    "flow": _flow,
    "resampling": _resampling,
    "distillation": _distillation,
    "training": _of_dataset(distillation.select_training, distillation.draw_training, "history"),
    "performance": _of_dataset(performance.select_macro, performance.draw_macro, "summary"),
    **{
        kind: _of_dataset(
            performance.select_findings,
            performance.draw_findings,
            "summary",
            by_finding=True,
            metric=metric,
        )
        for kind, metric in {
            "auc-roc": "auc_roc",
            "auc-pr": "auc_pr",
            "youden": "youden_j_at_fpr20",
        }.items()
    },
    "focused": _of_dataset(
        focused.select_focused, focused.draw_focused, "summary", by_finding=True
    ),
    "differences": _of_dataset(
        differences.select_differences, differences.draw_differences, "comparisons"
    ),
    "curves": _of_dataset(
        curves.select_curves, curves.draw_curves, "curves", "thresholds", by_finding=True
    ),
    "calibration": _of_dataset(
        curves.select_calibration, curves.draw_calibration, "calibration", by_finding=True
    ),
    "transfer": _of_dataset(transfer.select_transfer, transfer.draw_transfer, "summary"),
    "subgroups": partial(_subgroups, column="estimate"),
    "relative": partial(_subgroups, column="relative"),
    "gaps": _of_dataset(subgroups.select_gaps, subgroups.draw_gaps, "gaps", by_finding=True),
    "ks": _of_dataset(ks.select_ks, ks.draw_ks, "ks"),
    "score": _of_dataset(score.select_score, score.draw_score, "score", "null"),
    "encoding": _of_dataset(encoding.select_encoding, encoding.draw_encoding, "encoding"),
    "bias-differences": _of_dataset(
        differences.select_bias_differences,
        differences.draw_bias_differences,
        "bias_differences",
    ),
    **{space: partial(_embedding, space=space) for space in embedding.SPACES},
    "performance-vs-bias": _of_study(
        tradeoff.select_tradeoff,
        tradeoff.draw_tradeoff,
        "the models",
        "performance_vs_bias",
        "correlation",
        by_finding=True,
    ),
    "size": _of_study(
        size.select_size,
        size.draw_size,
        "the backbones",
        "performance_vs_bias",
        "sizes",
        by_finding=True,
    ),
    "against-thesis": _of_study(
        against_thesis.select_against_thesis,
        against_thesis.draw_against_thesis,
        "the thesis",
        "against_thesis",
    ),
}


def draw_figure(name: str, spec: dict, files: Mapping[str, Sequence[Path]]) -> FigureResult:
    """The figure `<subject>/<kind>` of `cxrfmkd.study.outputs`, and its numbers.

    spec: `minimum_cell`, `uncertain`, `method` of resampling, what it is `by`, and the `findings`
    and `attributes`, where these are not as published; files: those of the catalogue, by name.
    """
    subject, _, kind = name.rpartition("/")
    if kind not in FIGURES:
        raise InputError(
            f"{name}: there is no figure of kind {kind!r}; choose one of {', '.join(FIGURES)}."
        )
    sources = Sources(subject, spec, files, gather(files))
    try:
        figure, data = FIGURES[kind](sources)
    except KeyError as missing:
        raise InputError(
            f"{name}: {missing} is not among what it is drawn from "
            f"({', '.join(sorted(sources.tables)) or 'nothing'}). "
            "Make its tables again."
        ) from missing
    if ids := IDS & set(data.columns):
        raise ValueError(f"{name}: {sorted(ids)} must not leave the datasets' own folders.")
    return figure, data


def save_figure(figure: Figure, svg: str | Path, png: str | Path) -> None:
    """Write both files, byte for byte the same for the same figure; each whole or not at all."""
    with atomic_write(svg, sealed=True) as partial_file:
        figure.savefig(partial_file, format="svg", metadata={"Date": None, "Creator": None})
        text = partial_file.read_text(encoding="utf-8").replace(style.FONT_NAMES, style.FONTS)
        partial_file.write_text(text, encoding="utf-8")
    save_png(figure, png)


def save_png(figure: Figure, png: str | Path) -> None:
    """Write the pixels, whole or not at all."""
    with atomic_write(png, sealed=True) as partial_file:
        figure.savefig(partial_file, format="png", metadata={"Software": None})
