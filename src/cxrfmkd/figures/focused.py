"""The thesis's focused comparison: parallel coordinates, a scale of its own for every axis."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.figures.panels import PanelFigure, handle, model_handles
from cxrfmkd.figures.performance import SUMMARY_COLUMNS
from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.tables.selecting import (
    in_main_population,
    losses_of,
    main_population,
    models_in,
    native,
    where,
)
from cxrfmkd.vocabulary.findings import AVERAGE_OF_SEVEN, OTHERS
from cxrfmkd.vocabulary.metrics import METRIC_TITLES, METRICS
from cxrfmkd.vocabulary.titles import dataset_title

DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
CROWD = 20  # models above which the thesis drew fainter bands (method, section 6.4)
THESIS_AVERAGES = {AVERAGE_OF_SEVEN: "Average of\nthese 7", OTHERS: "Average of\nthe other 7"}
LETTERS = 14  # in a line below an axis


def select_focused(
    summary: pd.DataFrame, dataset: str, findings: Findings = THESIS
) -> pd.DataFrame:
    """The findings of the focused table and the averages, in the main population."""
    table = in_main_population(native(summary, dataset))
    return where(table, finding=findings.focused_rows)[SUMMARY_COLUMNS].reset_index(drop=True)


def _label(name: str, findings: Findings) -> str:
    """What stands below the axis of a finding or an average."""
    if findings.is_thesis and name in THESIS_AVERAGES:
        return THESIS_AVERAGES[name]
    lines = textwrap.wrap(style.short_finding(name), LETTERS)
    return "\n".join(lines)


def axis_bounds(table: pd.DataFrame) -> pd.DataFrame:
    """Bounds of each finding's axis, `low` and `high`.

    From the lowest mean - SD to the highest mean + SD of all models, 5 % wider at both ends.
    """
    sd = table.sd.fillna(0)
    ends = table.assign(low=table["mean"] - sd, high=table["mean"] + sd).groupby("finding")
    low, high = ends.low.min(), ends.high.max()
    room = 0.05 * (high - low).where(high > low, 0.1)
    return pd.DataFrame({"low": low - room, "high": high + room})


def _draw_axis(panel: Axes, x: int, low: float, high: float, width: float) -> None:
    """One vertical axis in the panel's 0-1 coordinates, with its two ends in numbers."""
    panel.plot([x, x], [0, 1], color=style.AXIS, linewidth=width, zorder=1)
    for y, value, shift, side in ((0, low, -2, "top"), (1, high, 2, "bottom")):
        panel.annotate(
            f"{value:.3f}".replace("-", "−"),
            (x, y),
            (0, shift),
            textcoords="offset points",
            ha="center",
            va=side,
            size=6,
            color=style.MUTED,
            annotation_clip=False,
        )


def draw_focused(table: pd.DataFrame, dataset: str, findings: Findings = THESIS) -> Figure:
    """A panel a metric; a line per model through its mean on every axis, its SD as a band."""
    models = models_in(table)
    losses = losses_of(models)
    dashes = dict(zip(losses, DASHES, strict=False)) if len(losses) <= len(DASHES) else {}
    shown = [name for name in findings.focused_rows if name in set(table.finding)]
    metrics = [metric for metric in METRICS if metric in set(table.metric)]
    figure = PanelFigure(len(metrics), 1, (7.3, 1.4))
    x = np.arange(len(shown))
    for panel, metric in zip(figure.used, metrics, strict=True):
        rows = where(table, metric=metric)
        bounds = axis_bounds(rows).loc[shown]
        low, length = bounds.low.to_numpy(), (bounds.high - bounds.low).to_numpy()
        for i, name in enumerate(shown):
            width = 0.6 if name in findings.names else 1.1
            _draw_axis(panel, i, bounds.low[name], bounds.high[name], width)
        for model, loss in models:
            numbers = where(rows, model=model, loss=loss).set_index("finding").reindex(shown)
            height = (numbers["mean"].to_numpy() - low) / length
            sd = numbers.sd.fillna(0).to_numpy() / length
            look: style.Look = {"color": style.COLOURS[model]}
            alpha = 0.13 if len(models) <= CROWD else 0.05
            panel.fill_between(x, height - sd, height + sd, alpha=alpha, lw=0, zorder=2, **look)
            look |= {"marker": "o", "markerfacecolor": style.face(model), "markeredgewidth": 0.8}
            line = dashes.get(loss, "-")
            panel.plot(x, height, linestyle=line, lw=1.1, markersize=2.6, zorder=3, **look)
        panel.set_title(METRIC_TITLES[metric], pad=11)
        panel.set(xlim=(-0.5, len(x) - 0.5), ylim=(0, 1), yticks=[], xticks=[])
        panel.grid(False)
        panel.spines["bottom"].set_visible(False)
    labels = [_label(name, findings) for name in shown]
    panel.set_xticks(x, labels)
    panel.tick_params(axis="x", length=0, pad=11, labelcolor=style.INK)
    handles = [
        handle(style.short_loss(loss), linestyle=dash, marker="") for loss, dash in dashes.items()
    ]
    figure.add_legend([*model_handles(models), *handles])
    return figure.finish(
        f"The focused comparison on {dataset_title(dataset)}",
        f"Mean over seeds, band: ± SD, on the {main_population(table)} test set; every axis has "
        "its own scale",
    )
