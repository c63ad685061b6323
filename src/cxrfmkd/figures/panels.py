"""Figures of equal panels, and what most of them share: rows of models, intervals, legends."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path
from matplotlib.ticker import LogLocator, NullFormatter

from cxrfmkd.figures import style
from cxrfmkd.tables.selecting import SIGNIFICANCE, aligned, losses_of
from cxrfmkd.vocabulary.models import MODELS
from cxrfmkd.vocabulary.titles import dataset_title

Models = Sequence[tuple[str, str]]  # (model, loss) pairs
EDGE = 0.1  # inches around every panel with its labels, and around the figure


class PanelFigure(Figure):
    """A figure of equal panels, laid out by Matplotlib's constrained layout.

    panels: axes, shape (rows, columns); used: the first `count` of them, the others are removed.
    size: width and height of a panel in inches; the figure grows around its panels by what titles
    and labels need.
    """

    def __init__(self, count: int, columns: int, size: tuple[float, float], **shared):
        columns = max(columns, 1)
        rows = max(-(-count // columns), 1)
        room = (columns * (size[0] + 1) + 3, rows * (size[1] + 1) + 3)
        engine = ConstrainedLayoutEngine(w_pad=EDGE, h_pad=EDGE, wspace=0, hspace=0)
        super().__init__(figsize=room, layout=engine)
        self.engine, self.panel_size = engine, size
        self.panels = self.subplots(rows, columns, squeeze=False, **shared)
        self.used: list[Axes] = list(self.panels.flat)[:count]
        for panel in self.panels.flat[max(count, 1) :]:
            panel.remove()

    def finish(self, title: str, about: str = "") -> Self:
        """Add a bold title and grey lines about what is shown; settle the layout."""
        heading = self.text(0, 0, title, size=10, weight="bold", va="top")
        lines = self.text(0, 0, "", size=7.5, color=style.MUTED, va="top", linespacing=1.25)
        legends = [legend.get_window_extent().width / self.dpi for legend in self.legends]
        least = max([text_width([title], 10, "bold"), *legends]) + 2 * EDGE
        letters_per_inch = len(about) / max(text_width([about], 7.5), 1e-9)
        rows, columns = self.panels.shape
        for last in (False, False, True):  # the width decides on the lines, and these on the height
            width, height = self.get_size_inches()
            letters = int(letters_per_inch * (width - 2 * EDGE))
            lines.set_text("\n".join(textwrap.wrap(about, max(letters, 20))))
            top = 0.4 + 0.13 * (lines.get_text().count("\n") + bool(about))
            self.engine.set(rect=(0, 0, 1, 1 - top / height))
            self.engine.execute(self)
            if not last:
                box = self.panels[0, 0].get_position()
                width += columns * (self.panel_size[0] - box.width * width)
                height += rows * (self.panel_size[1] - box.height * height)
                self.set_size_inches(max(width, least), height)
        heading.set_position((EDGE / width, 1 - EDGE / height))
        lines.set_position((EDGE / width, 1 - (EDGE + 0.21) / height))
        self.set_layout_engine("none")
        return self

    def add_legend(self, handles: Sequence[Artist], columns: int = 5) -> None:
        """A legend along the bottom."""
        self.legend(handles=handles, loc="outside lower center", ncols=columns)


class ModelFigure(PanelFigure):
    """Panels with one row for each (model, loss) pair, labelled at the left of each row of panels.

    width: of a panel, row: height of a row, in inches.
    """

    def __init__(
        self, models: Models, count: int, columns: int, width: float, row: float = 0.145, **shared
    ):
        height = max(0.9, row * (len(models) + 0.6))
        super().__init__(count, columns, (width, height), sharey=True, **shared)
        self.models = models
        for panel in self.used:
            shade_runs(panel, [model for model, _ in models])
            panel.locator_params(axis="x", nbins=3 if width < 1.4 else 4)
        for panel in self.panels[:, 0]:
            label_models(panel, models)

    def intervals(
        self,
        panel: Axes,
        table: pd.DataFrame,
        columns: Sequence[str] = ("mean", "low", "high"),
        offset: float = 0.0,
        **look,
    ) -> None:
        """Each model's estimate and interval, `columns` of its row in `table`."""
        numbers = aligned(table, self.models)[list(columns)].to_numpy(float)
        look = model_look(self.models) | look
        draw_intervals(panel, np.arange(len(numbers)) + offset, numbers, **look)
        if np.isnan(numbers[:, 0]).all():
            note(panel, (len(numbers) - 1) / 2, "too few patients", 0.5, ha="center")

    def stars(self, panel: Axes, table: pd.DataFrame, column: str, at: str) -> None:
        """A star behind the number `at` of each model whose p-value in `column` is significant."""
        rows = aligned(table, self.models)
        look: style.Look = {"size": 8, "color": style.MUTED, "va": "center_baseline"}
        for y, (p, x) in enumerate(zip(rows[column], rows[at], strict=True)):
            if p < SIGNIFICANCE and np.isfinite(x):
                panel.annotate("*", (x, y), (2, -1), textcoords="offset points", **look)

    def ticks(self, panel: Axes, table: pd.DataFrame, column: str, size: float = 26) -> None:
        """A second number of each model as a grey tick."""
        values = aligned(table, self.models)[column]
        panel.scatter(
            values, range(len(values)), marker="|", s=size, c=style.AXIS, linewidths=1.1, zorder=2.5
        )


def model_look(models: Models) -> style.Look:
    """Colours and fills of the models' marks, for `draw_intervals`."""
    return {
        "colours": [style.COLOURS[model] for model, _ in models],
        "faces": [style.face(model) for model, _ in models],
    }


def draw_intervals(
    panel: Axes,
    y: np.ndarray,
    numbers: np.ndarray,
    colours: Sequence[str],
    faces: Sequence[str],
    *,
    marker: str = "o",
    size: float = 4.5,
    width: float = 1.3,
) -> None:
    """Horizontal intervals with a marker at each estimate; rows without a number stay empty.

    y: shape (n,). numbers: shape (n, 3), estimate, low, high; low or high may be NaN.
    """
    estimate, low, high = numbers.T
    edges, fills = np.array(colours), np.array(faces)
    rows = np.isfinite(low) & np.isfinite(high)
    panel.hlines(
        y[rows],
        low[rows],
        high[rows],
        colors=edges[rows],
        linewidths=width,
        capstyle="round",
        zorder=2,
    )
    rows = np.isfinite(estimate)
    panel.scatter(
        estimate[rows],
        y[rows],
        s=size**2,
        c=fills[rows],
        edgecolors=edges[rows],
        linewidths=1.1,
        marker=marker,
        zorder=3,
    )


def text_width(texts: Iterable[str], size: float = 7.0, weight: str = "normal") -> float:
    """Width in inches of the widest of `texts`."""
    font = FontProperties(family=["Figure Sans"], size=size, weight=weight)
    widths = [text_to_path.get_text_width_height_descent(text, font, False)[0] for text in texts]
    return max(widths, default=0.0) / 72


def note(panel: Axes, row: float, text: str, x: float = 0.03, ha: str = "left") -> None:
    """A small grey remark in a row, at a share of the panel's width."""
    look: style.Look = {"size": 6.2, "color": style.MUTED, "ha": ha, "va": "center_baseline"}
    panel.text(x, row, text, transform=panel.get_yaxis_transform(), **look)


def subtitle(panel: Axes, text: str, points: float = 4, size: float = 6.5) -> None:
    """Grey text above a panel, `points` away from it."""
    panel.annotate(
        text,
        (0, 1),
        (0, points),
        xycoords="axes fraction",
        textcoords="offset points",
        size=size,
        color=style.MUTED,
    )


def row_title(panel: Axes, text: str, lines: int = 1) -> None:
    """What a whole row of panels shows, above the first one's title of so many lines."""
    subtitle(panel, text, 8 + 11 * lines, 8)


def plane(panel: Axes, bins: int = 4) -> None:
    """A panel whose two axes are both numbers."""
    panel.grid(True, axis="both")
    panel.tick_params(axis="y", which="both", length=0, labelcolor=style.MUTED)
    panel.locator_params(nbins=bins)


def log_ticks(axis: Axis) -> None:
    """Numbers of a logarithmic axis, written out, at 1, 2 and 5."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def runs(values: Sequence[str]) -> list[tuple[int, int]]:
    """Rows of equal values that follow each other: (the first, the one after the last)."""
    starts = [row for row, value in enumerate(values) if not row or value != values[row - 1]]
    return list(zip(starts, [*starts[1:], len(values)], strict=True))


def shade_runs(panel: Axes, values: Sequence[str]) -> None:
    """Shade every other run of rows of equal value, so that the eye can follow them."""
    for start, end in runs(values)[1::2]:
        panel.axhspan(start - 0.5, end - 0.5, color=style.BAND, linewidth=0, zorder=0)


def label_rows(panel: Axes, labels: Sequence[str], top: float = 0.7) -> None:
    """Label the y axis with one row per label, the first at the top."""
    panel.set_yticks(range(len(labels)), labels)
    panel.set_ylim(len(labels) - 1 + top, -top)


def write_left(panel: Axes, text: str, y: float, inches: float, coordinates) -> None:
    """A label that begins so many inches to the left of a panel, at `y` of its coordinates."""
    look = {"xycoords": coordinates, "textcoords": "offset points", "va": "center_baseline"}
    panel.annotate(text, (0, y), (-72 * inches, 0), size=7, **look)


def label_nested_rows(
    panel: Axes, outer: Sequence[str], inner: Sequence[str], top: float = 0.7
) -> None:
    """Two columns of labels: `outer` once for each run of repeats, then `inner`."""
    label_rows(panel, inner, top)
    panel.tick_params(axis="y", labelcolor=style.MUTED)
    left = text_width(outer) + (0.16 + text_width(inner) if any(inner) else 0) + 0.07
    for row, _ in runs(outer):
        write_left(panel, outer[row], row, left, panel.get_yaxis_transform())


def label_models(panel: Axes, models: Models, top: float = 0.7) -> None:
    """One row a model: its name once at the left, and every loss where there are several."""
    several = losses_of(models)
    losses = [style.short_loss(loss) if loss and several else "" for _, loss in models]
    label_nested_rows(panel, [MODELS[model].title for model, _ in models], losses, top)


def handle(label: str, **look) -> Line2D:
    """A line of a legend; a grey dot on a line where `look` says nothing else."""
    return Line2D(
        [], [], label=label, **{"color": style.MUTED, "marker": "o", "markersize": 4} | look
    )


def model_handles(models: Models, **look) -> list[Line2D]:
    """Legend of models by colour, of linear probes hollow."""
    return [
        handle(
            MODELS[model].title,
            color=style.COLOURS[model],
            markerfacecolor=style.face(model),
            **look,
        )
        for model in dict.fromkeys(model for model, _ in models)
    ]


def blank(subject: str) -> Figure:
    """In place of a figure whose tables hold nothing to draw."""
    figure = Figure(figsize=(7.2, 0.6))
    text = f"Nothing to draw of {dataset_title(subject)}: its tables are empty or suppressed."
    figure.text(0.02, 0.5, text, color=style.MUTED, va="center")
    return figure
