"""Performance against bias: one point a model, the thesis's line, and the rank correlation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.figures.panels import PanelFigure, handle, model_handles, plane, subtitle
from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.tables.selecting import averaged, in_main_population, losses_of, models_in, where
from cxrfmkd.vocabulary.metrics import METRIC_TITLES, METRICS
from cxrfmkd.vocabulary.titles import dataset_title

MEASURES = {"score": "Bias score", "D": "Mean distance D"}
KEYS = ["dataset", "measure", "metric", "population", "finding"]
POINTS = ("model loss bias bias_low bias_high performance performance_low performance_high").split()
LINES = "slope intercept spearman within low high p models families".split()


def select_tradeoff(
    points: pd.DataFrame, correlation: pd.DataFrame, findings: Findings = THESIS
) -> pd.DataFrame:
    """Every point with the line and the rank correlation of its panel, in the main population."""
    table = in_main_population(where(points, finding=findings.headline))
    return table[[*KEYS, *POINTS]].merge(correlation[[*KEYS, *LINES]], how="left", on=KEYS)


def _draw_points(panel: Axes, points: pd.DataFrame) -> None:
    for row in points.itertuples():
        look = {"color": style.COLOURS[row.model], "linewidth": 0.7, "alpha": 0.35, "zorder": 2}
        panel.plot([row.bias_low, row.bias_high], [row.performance] * 2, **look)
        panel.plot([row.bias] * 2, [row.performance_low, row.performance_high], **look)
        look = {"c": style.face(row.model), "edgecolors": style.COLOURS[row.model]}
        shape = style.marker(row.loss)
        panel.scatter(row.bias, row.performance, 20, marker=shape, lw=1.0, zorder=3, **look)


def _draw_line(panel: Axes, points: pd.DataFrame) -> None:
    """The least-squares line of the points, and the rank correlation within kinds of training."""
    line = points.iloc[0]
    if np.isfinite(line.slope):
        x = np.array([points.bias.min(), points.bias.max()])
        look = {"color": style.AXIS, "linewidth": 0.9, "linestyle": (0, (4, 2)), "zorder": 1}
        panel.plot(x, line.intercept + line.slope * x, **look)
        interval = f" ({line.low:.2f} to {line.high:.2f})" if np.isfinite(line.low) else ""
        if np.isfinite(line.within):
            subtitle(panel, f"ρ = {line.within:.2f}{interval}".replace("-", "−"), 3)


def draw_tradeoff(table: pd.DataFrame, findings: Findings = THESIS) -> Figure:
    """A row a dataset and measure of bias, a column a metric."""
    models = models_in(table)
    settings = list(dict.fromkeys(zip(table.dataset, table.measure, strict=True)))
    settings.sort(key=lambda setting: (setting[0], list(MEASURES).index(setting[1])))
    metrics = [metric for metric in METRICS if metric in set(table.metric)]
    figure = PanelFigure(len(settings) * len(metrics), len(metrics), (1.62, 1.45))
    for row, (dataset, measure) in zip(figure.panels, settings, strict=True):
        for panel, metric in zip(row, metrics, strict=True):
            points = where(table, dataset=dataset, measure=measure, metric=metric)
            plane(panel)
            panel.set_title(METRIC_TITLES[metric], pad=13)
            panel.set_xlabel(MEASURES[measure], loc="left", color=style.MUTED, size=6.8)
            if len(points):
                _draw_points(panel, points)
                _draw_line(panel, points)
        row[0].set_xlabel(f"{MEASURES[measure]} (lower is less biased)")
        row[0].set_ylabel(dataset_title(dataset), weight="bold", labelpad=8)
    handles = [
        handle(style.short_loss(loss), marker=style.marker(loss), linestyle="none")
        for loss in losses_of(models)
    ]
    figure.add_legend([*model_handles(models, linestyle="none"), *handles])
    populations = " or ".join(dict.fromkeys(table.population))
    return figure.finish(
        "Performance against bias",
        f"Mean of {averaged(findings)}, {populations} test set; bars: 95 % intervals; "
        "dashed: least squares, as in the thesis; ρ: rank correlation within probes and fine-tunes "
        "and between families of models, its interval by exchanging families",
    )
