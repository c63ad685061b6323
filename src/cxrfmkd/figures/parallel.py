"""The thesis's focused comparison: parallel coordinates, every axis a class with a scale of its own."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cxrfmkd.figures import style
from cxrfmkd.figures.performance import PLOTTED
from cxrfmkd.tables.selecting import losses_of, main_population, models_in, native
from cxrfmkd.vocabulary.findings import BY_RELEVANCE, FOCUSED
from cxrfmkd.vocabulary.metrics import METRIC_TITLES
from cxrfmkd.vocabulary.models import MODELS
from cxrfmkd.vocabulary.titles import dataset_title

DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
CROWD = 20  # models above which the thesis drew fainter bands (method, section 6.4)


def select(summary: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The seven most relevant findings and the two averages, all metrics, in the main population."""
    table = native(summary, dataset)
    table = table[(table.population == main_population(table)) & table.finding.isin(FOCUSED)]
    return table[PLOTTED].reset_index(drop=True)


def scale(table: pd.DataFrame) -> pd.DataFrame:
    """Bounds of every axis: lowest mean - SD to highest mean + SD over models, 5 % wider at both ends."""
    spread = table.sd.fillna(0)
    bounds = pd.DataFrame(
        {"finding": table.finding, "low": table["mean"] - spread, "high": table["mean"] + spread}
    )
    bounds = bounds.groupby("finding").agg({"low": "min", "high": "max"})
    room = 0.05 * (bounds.high - bounds.low).where(bounds.high > bounds.low, 0.1)
    return pd.DataFrame({"low": bounds.low - room, "high": bounds.high + room})


def _axis(panel: Axes, x: int, low: float, high: float, emphasised: bool) -> None:
    """One vertical axis in the panel's 0-1 coordinates, with its two ends in numbers."""
    panel.plot([x, x], [0, 1], color="#8a9199", linewidth=1.1 if emphasised else 0.6, zorder=1)
    for y, value, shift, place in ((0, low, -2, "top"), (1, high, 2, "bottom")):
        panel.annotate(
            f"{value:.3f}".replace("-", "−"),
            (x, y),
            (0, shift),
            textcoords="offset points",
            ha="center",
            va=place,
            size=6,
            color=style.MUTED,
            annotation_clip=False,
        )


def draw(table: pd.DataFrame, dataset: str) -> Figure:
    """One panel a metric; a line per model through its mean on every axis, its SD over seeds as a band."""
    pairs = models_in(table)
    losses = losses_of(pairs)
    dashes = dict(zip(losses, DASHES, strict=False)) if len(losses) <= len(DASHES) else {}
    axes_here = [name for name in FOCUSED if name in set(table.finding)]
    metrics = [metric for metric in METRIC_TITLES if metric in set(table.metric)]
    figure, axes = style.panels(
        len(metrics), 1, (7.3, 1.4), margins=(0.12, 0.12, 0.82, 1.1), gaps=(0, 0.5)
    )
    alpha = 0.13 if len(pairs) <= CROWD else 0.05
    for panel, metric in zip(axes[:, 0], metrics, strict=True):
        chosen = table[table.metric == metric]
        bounds = scale(chosen)
        grid = chosen.pivot_table(
            index=["model", "loss"], columns="finding", values=["mean", "sd"], dropna=False
        )
        for x, name in enumerate(axes_here):
            _axis(panel, x, *bounds.loc[name], emphasised=name not in BY_RELEVANCE)
        for pair in pairs:
            mean, sd = (
                grid.loc[pair, what].reindex(axes_here).to_numpy(float) for what in ("mean", "sd")
            )
            low, high = (bounds.loc[axes_here, end].to_numpy() for end in ("low", "high"))
            height, spread = (mean - low) / (high - low), np.nan_to_num(sd) / (high - low)
            colour = style.COLOURS[pair[0]]
            x = np.arange(len(axes_here))
            panel.fill_between(
                x,
                height - spread,
                height + spread,
                color=colour,
                alpha=alpha,
                linewidth=0,
                zorder=2,
            )
            panel.plot(
                x,
                height,
                color=colour,
                linestyle=dashes.get(pair[1], "-"),
                linewidth=1.1,
                marker="o",
                markersize=2.6,
                markerfacecolor=style.face(pair[0]),
                markeredgewidth=0.8,
                zorder=3,
            )
        panel.set_title(METRIC_TITLES[metric], pad=11)
        panel.set(xlim=(-0.5, len(axes_here) - 0.5), ylim=(0, 1), yticks=[])
        panel.grid(False)
        panel.spines["bottom"].set_visible(False)
        panel.tick_params(
            axis="x", length=0, pad=11, labelbottom=panel is axes[-1, 0], labelcolor=style.INK
        )
        panel.set_xticks(range(len(axes_here)), [_two_lines(name) for name in axes_here])
    legend(figure, pairs, dashes)
    style.heading(
        figure,
        f"The focused comparison on {dataset_title(dataset)}",
        f"Mean over seeds, band: ± SD, on the {main_population(table)} test set; every axis has "
        "its own scale",
    )
    return figure


def _two_lines(name: str) -> str:
    if name.startswith("Average"):
        return "Average of\nthese 7"
    return "Average of\nthe other 7" if name == "Others" else name.replace(" ", "\n", 1)


def legend(figure: Figure, pairs: list[tuple[str, str]], dashes: dict | None = None) -> None:
    """Models by colour, and losses by dash where they have one, along the bottom."""
    handles = [
        Line2D(
            [],
            [],
            color=style.COLOURS[model],
            marker="o",
            markersize=4,
            markerfacecolor=style.face(model),
            label=MODELS[model].title,
        )
        for model in dict.fromkeys(model for model, _ in pairs)
    ]
    handles += [
        Line2D([], [], color=style.MUTED, linestyle=dash, label=style.loss_name(loss))
        for loss, dash in (dashes or {}).items()
    ]
    height = figure.get_size_inches()[1]
    figure.legend(handles=handles, loc="lower center", ncols=5, bbox_to_anchor=(0.5, 0.1 / height))
