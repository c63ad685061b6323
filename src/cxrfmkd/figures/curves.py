"""ROC and precision-recall curves with the operating point that the validation images chose."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.figures.parallel import legend
from cxrfmkd.tables.selecting import main_population, models_in, native
from cxrfmkd.vocabulary.findings import SEVEN
from cxrfmkd.vocabulary.titles import dataset_title

SHOWN = SEVEN
KEYS = ["dataset", "model", "loss", "population", "finding"]
AXES = {"roc": ("false-positive rate", "sensitivity"), "pr": ("sensitivity", "precision")}


def select(curves: pd.DataFrame, thresholds: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Curves of the seven most relevant findings, in the main population, and the operating points
    on them.

    Rows of an operating point have the curve `roc point` or `pr point`.
    """
    table = native(curves, dataset)
    population = main_population(table)
    table = table[(table.population == population) & table.finding.isin(SHOWN)]
    chosen = native(thresholds, dataset)
    chosen = chosen[(chosen.population == population) & (chosen.rule == "validation")]
    wide = chosen[chosen.finding.isin(SHOWN)].pivot_table(
        index=KEYS, columns="metric", values="estimate"
    )
    wide = wide.reindex(columns=["sensitivity", "specificity", "ppv"]).reset_index()
    points = [
        wide[KEYS].assign(curve="roc point", x=1 - wide.specificity, y=wide.sensitivity),
        wide[KEYS].assign(curve="pr point", x=wide.sensitivity, y=wide.ppv),
    ]
    columns = [*KEYS, "curve", "x", "y"]
    return pd.concat([table[columns], *(part[columns] for part in points)], ignore_index=True)


def _panel(panel: Axes, rows: pd.DataFrame, curve: str, pairs: list[tuple[str, str]]) -> None:
    width = 1.0 if len(pairs) <= 12 else 0.7
    for pair in pairs:
        mine = rows[(rows.model == pair[0]) & (rows.loss == pair[1])]
        line, point = mine[mine.curve == curve], mine[mine.curve == f"{curve} point"]
        colour = style.COLOURS[pair[0]]
        panel.plot(line.x, line.y, color=colour, linewidth=width, alpha=0.9, zorder=2)
        panel.scatter(
            point.x,
            point.y,
            s=12,
            c=style.face(pair[0]),
            edgecolors=colour,
            linewidths=0.9,
            zorder=3,
        )
    panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    panel.set_xticklabels(["0", "0.5", "1"])
    panel.grid(True, axis="both")
    panel.tick_params(axis="y", labelcolor=style.MUTED)


def draw(table: pd.DataFrame, dataset: str) -> Figure:
    """A column a finding; ROC above, precision and recall below."""
    pairs = models_in(table)
    findings = [finding for finding in SHOWN if (table.finding == finding).any()]
    figure, axes = style.panels(
        2, max(len(findings), 1), (1.2, 1.2), margins=(0.55, 0.15, 0.85, 0.98), gaps=(0.16, 0.55)
    )
    for row, (curve, (x_name, y_name)) in zip(axes, AXES.items(), strict=True):
        for panel, finding in zip(row, findings, strict=False):
            _panel(panel, table[table.finding == finding], curve, pairs)
            panel.tick_params(labelleft=panel is row[0])
            if curve == "roc":
                panel.plot([0, 1], [0, 1], color="#8a9199", linewidth=0.7, zorder=1)
                panel.set_title(style.finding_title(finding), fontsize=7.5)
        row[0].set_xlabel(x_name, loc="left", color=style.MUTED)
        row[0].set_ylabel(y_name, color=style.MUTED)
    legend(figure, pairs)
    style.heading(
        figure,
        f"Curves of the most relevant findings on {dataset_title(dataset)}",
        f"Mean over seeds, {main_population(table)} test set; dot: operating point at the "
        "threshold chosen on validation images",
    )
    return figure


def select_calibration(calibration: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Points of the reliability curves of the seven most relevant findings, on the natural test set where there is one."""
    table = native(calibration, dataset)
    table = table[(table.metric == "observed") & table.finding.isin(SHOWN)]
    natural = (table.population == "natural").any()
    table = table[table.population == ("natural" if natural else main_population(table))]
    return table[[*KEYS, "bin", "predicted", "estimate", "low", "high"]].reset_index(drop=True)


def draw_calibration(table: pd.DataFrame, dataset: str) -> Figure:
    """A panel a finding: observed share against mean prediction in ten bins of equal size."""
    pairs = models_in(table)
    findings = [finding for finding in SHOWN if (table.finding == finding).any()]
    columns = 4
    figure, axes = style.panels(
        max(1, -(-len(findings) // columns)),
        columns,
        (1.6, 1.6),
        margins=(0.55, 0.15, 0.85, 0.98),
        gaps=(0.32, 0.5),
    )
    for panel, finding in zip(axes.flat, findings, strict=False):
        rows = table[table.finding == finding]
        top = float(np.nanmax(rows[["predicted", "estimate"]].to_numpy(float), initial=0.02)) * 1.05
        panel.plot([0, top], [0, top], color="#8a9199", linewidth=0.8, zorder=1)
        for pair in pairs:
            mine = rows[(rows.model == pair[0]) & (rows.loss == pair[1])].sort_values("bin")
            panel.plot(
                mine.predicted,
                mine.estimate,
                color=style.COLOURS[pair[0]],
                linewidth=0.8,
                alpha=0.9,
                marker="o",
                markersize=2.4,
                markerfacecolor=style.face(pair[0]),
                markeredgewidth=0.7,
            )
        panel.set(xlim=(0, top), ylim=(0, top))
        panel.set_title(style.finding_title(finding), fontsize=7.5)
        panel.grid(True, axis="both")
        panel.locator_params(nbins=4)
        panel.tick_params(axis="y", labelcolor=style.MUTED)
    for panel in axes.flat[len(findings) :]:
        panel.remove()
    axes[-1, 0].set_xlabel("mean prediction", loc="left", color=style.MUTED)
    axes[-1, 0].set_ylabel("observed share", color=style.MUTED)
    legend(figure, pairs)
    population = "natural" if (table.population == "natural").all() else main_population(table)
    style.heading(
        figure,
        f"Calibration on {dataset_title(dataset)}",
        f"Ten bins of equal size, {population} test set; on the line a prediction of 20 % is right "
        "in 20 % of images; every panel has its own scale",
    )
    return figure
