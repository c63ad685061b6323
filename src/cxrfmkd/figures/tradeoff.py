"""Performance against bias: one point a model, the thesis's line, and the rank correlation with its interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cxrfmkd.figures import style
from cxrfmkd.tables.selecting import losses_of, main_population, models_in
from cxrfmkd.vocabulary.findings import AVERAGE_OF_SEVEN
from cxrfmkd.vocabulary.metrics import METRIC_TITLES
from cxrfmkd.vocabulary.models import MODELS
from cxrfmkd.vocabulary.titles import dataset_title

MEASURES = {"score": "Bias score", "D": "Mean distance D"}
POINTS = [
    "dataset",
    "measure",
    "metric",
    "population",
    "finding",
    "model",
    "loss",
    "bias",
    "bias_low",
    "bias_high",
    "performance",
    "performance_low",
    "performance_high",
]
LINES = ["slope", "intercept", "spearman", "low", "high", "p", "models", "families"]


def select(points: pd.DataFrame, correlation: pd.DataFrame) -> pd.DataFrame:
    """Every point with the line and the rank correlation of its panel, in each dataset's main population."""
    points = points[points.finding == AVERAGE_OF_SEVEN]
    kept = [
        own[own.population == main_population(own)]
        for _, own in points.groupby("dataset", sort=False)
    ]
    table = pd.concat(kept) if kept else points
    keys = ["dataset", "measure", "metric", "population", "finding"]
    return table[POINTS].merge(correlation[[*keys, *LINES]], how="left", on=keys)


def _panel(panel: Axes, own: pd.DataFrame) -> None:
    for row in own.itertuples():
        colour = style.COLOURS[row.model]
        for line in (
            [(row.bias_low, row.performance), (row.bias_high, row.performance)],
            [(row.bias, row.performance_low), (row.bias, row.performance_high)],
        ):
            if np.isfinite(line).all():
                panel.plot(
                    *zip(*line, strict=True), color=colour, linewidth=0.7, alpha=0.35, zorder=2
                )
        panel.scatter(
            [row.bias],
            [row.performance],
            s=20,
            marker=style.marker(row.loss),
            c=style.face(row.model),
            edgecolors=colour,
            linewidths=1.0,
            zorder=3,
        )
    first = own.iloc[0]
    if np.isfinite(first.slope):
        x = np.array([own.bias.min(), own.bias.max()])
        panel.plot(
            x,
            first.intercept + first.slope * x,
            color="#8a9199",
            linewidth=0.9,
            linestyle=(0, (4, 2)),
            zorder=1,
        )
        text = f"ρ = {first.spearman:.2f}"
        if np.isfinite(first.low):
            text += f" ({first.low:.2f} to {first.high:.2f})"
        panel.annotate(
            text.replace("-", "−"),
            (0, 1),
            (0, 3),
            xycoords="axes fraction",
            textcoords="offset points",
            size=6.5,
            color=style.MUTED,
        )


def draw(table: pd.DataFrame) -> Figure:
    """A row a dataset and measure of bias, a column a metric."""
    pairs = models_in(table)
    rows = list(dict.fromkeys(zip(table.dataset, table.measure, strict=True)))
    rows = sorted(rows, key=lambda row: (row[0], list(MEASURES).index(row[1])))
    metrics = [metric for metric in METRIC_TITLES if (table.metric == metric).any()]
    losses = losses_of(pairs)
    figure, axes = style.panels(
        len(rows), len(metrics), (1.62, 1.45), margins=(0.62, 0.15, 1.05, 1.15), gaps=(0.38, 0.72)
    )
    for line, (dataset, measure) in zip(axes, rows, strict=True):
        for panel, metric in zip(line, metrics, strict=True):
            own = table[
                (table.dataset == dataset) & (table.measure == measure) & (table.metric == metric)
            ]
            panel.grid(True, axis="both")
            panel.set_title(METRIC_TITLES[metric], pad=13)
            panel.tick_params(axis="y", labelcolor=style.MUTED)
            panel.locator_params(nbins=4)
            if len(own):
                _panel(panel, own)
            panel.set_xlabel(
                f"{MEASURES[measure]} (lower is less biased)"
                if panel is line[0]
                else MEASURES[measure],
                loc="left",
                color=style.MUTED,
                size=6.8,
            )
        line[0].set_ylabel(dataset_title(dataset), weight="bold", labelpad=8)
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            color=style.COLOURS[model],
            marker="o",
            markersize=4.5,
            markerfacecolor=style.face(model),
            label=MODELS[model].title,
        )
        for model in dict.fromkeys(model for model, _ in pairs)
    ] + [
        Line2D(
            [],
            [],
            linestyle="none",
            color=style.MUTED,
            marker=style.marker(loss),
            markersize=4.5,
            label=style.loss_name(loss),
        )
        for loss in losses
    ]
    height = figure.get_size_inches()[1]
    populations = " or ".join(dict.fromkeys(table.population))
    figure.legend(handles=handles, loc="lower center", ncols=5, bbox_to_anchor=(0.5, 0.1 / height))
    style.heading(
        figure,
        "Performance against bias",
        f"Mean of the seven most relevant findings, {populations} test set; dashed: least squares, "
        "as in the thesis; ρ: rank "
        "correlation, its interval over families of models, which are not independent",
    )
    return figure
