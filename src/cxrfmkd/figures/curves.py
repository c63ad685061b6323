"""ROC and precision-recall curves with validation's operating point; calibration."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.figures.panels import Models, PanelFigure, model_handles, plane
from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.tables.selecting import in_main_population, main_population, models_in, native, where
from cxrfmkd.vocabulary.titles import dataset_title

KEYS = ["dataset", "model", "loss", "population", "finding"]
AXES = {"roc": ("false-positive rate", "sensitivity"), "pr": ("sensitivity", "precision")}


def select_curves(
    curves: pd.DataFrame, thresholds: pd.DataFrame, dataset: str, findings: Findings = THESIS
) -> pd.DataFrame:
    """Curves of the most relevant findings, in the main population, and the operating points.

    Rows of an operating point have the curve `roc point` or `pr point`.
    """
    table = native(curves, dataset)
    shown = {"population": main_population(table), "finding": findings.focused}
    points = where(native(thresholds, dataset), rule="validation", **shown)
    points = points.pivot_table(index=KEYS, columns="metric", values="estimate")
    points = points.reindex(columns=["sensitivity", "specificity", "ppv"]).reset_index()
    parts = [
        where(table, **shown),
        points.assign(curve="roc point", x=1 - points.specificity, y=points.sensitivity),
        points.assign(curve="pr point", x=points.sensitivity, y=points.ppv),
    ]
    return pd.concat([part[[*KEYS, "curve", "x", "y"]] for part in parts], ignore_index=True)


def _curve_panel(panel: Axes, rows: pd.DataFrame, curve: str, models: Models) -> None:
    for model, loss in models:
        of_model = where(rows, model=model, loss=loss)
        line, point = (where(of_model, curve=name) for name in (curve, f"{curve} point"))
        colour = style.COLOURS[model]
        width = 1.0 if len(models) <= 12 else 0.7
        panel.plot(line.x, line.y, color=colour, linewidth=width, alpha=0.9, zorder=2)
        look: style.Look = {"c": style.face(model), "edgecolors": colour, "linewidths": 0.9}
        panel.scatter(point.x, point.y, s=12, zorder=3, **look)
    panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    panel.set_xticklabels(["0", "0.5", "1"])


def draw_curves(table: pd.DataFrame, dataset: str, findings: Findings = THESIS) -> Figure:
    """A column a finding; ROC above, precision and recall below."""
    models = models_in(table)
    shown = [finding for finding in findings.focused if finding in set(table.finding)]
    figure = PanelFigure(2 * len(shown), len(shown), (1.2, 1.2), sharey=True)
    for row, (curve, (x_name, y_name)) in zip(figure.panels, AXES.items(), strict=True):
        for panel, finding in zip(row, shown, strict=True):
            plane(panel)
            _curve_panel(panel, where(table, finding=finding), curve, models)
            if curve == "roc":
                panel.plot([0, 1], [0, 1], color=style.AXIS, linewidth=0.7, zorder=1)
                panel.set_title(style.short_finding(finding), fontsize=7.5)
        row[0].set_xlabel(x_name, loc="left", color=style.MUTED)
        row[0].set_ylabel(y_name, color=style.MUTED)
    figure.add_legend(model_handles(models))
    return figure.finish(
        f"Curves of the most relevant findings on {dataset_title(dataset)}",
        f"Mean over seeds, {main_population(table)} test set; dot: operating point at the "
        "threshold chosen on validation images",
    )


def select_calibration(
    calibration: pd.DataFrame, dataset: str, findings: Findings = THESIS
) -> pd.DataFrame:
    """Points of the reliability curves of the most relevant findings.

    On the natural test set where there is one.
    """
    table = where(native(calibration, dataset), metric="observed", finding=findings.focused)
    natural = where(table, population="natural")
    table = natural if len(natural) else in_main_population(table)
    return table[[*KEYS, "bin", "predicted", "estimate", "low", "high"]].reset_index(drop=True)


def draw_calibration(table: pd.DataFrame, dataset: str, findings: Findings = THESIS) -> Figure:
    """A panel a finding: observed share against mean prediction in ten bins of equal size."""
    models = models_in(table)
    shown = [finding for finding in findings.focused if finding in set(table.finding)]
    figure = PanelFigure(len(shown), 4, (1.6, 1.6))
    for panel, finding in zip(figure.used, shown, strict=True):
        rows = where(table, finding=finding).sort_values("bin")
        top = float(np.nanmax(rows[["predicted", "estimate"]].to_numpy(float), initial=0.02)) * 1.05
        panel.plot([0, top], [0, top], color=style.AXIS, linewidth=0.8, zorder=1)
        for model, loss in models:
            bins = where(rows, model=model, loss=loss)
            look: style.Look = {
                "markerfacecolor": style.face(model),
                "markeredgewidth": 0.7,
                "alpha": 0.9,
            }
            look |= {"color": style.COLOURS[model], "marker": "o", "markersize": 2.4}
            panel.plot(bins.predicted, bins.estimate, linewidth=0.8, **look)
        plane(panel)
        panel.set(xlim=(0, top), ylim=(0, top))
        panel.set_title(style.short_finding(finding), fontsize=7.5)
    figure.panels[-1, 0].set_xlabel("mean prediction", loc="left", color=style.MUTED)
    figure.panels[-1, 0].set_ylabel("observed share", color=style.MUTED)
    figure.add_legend(model_handles(models))
    return figure.finish(
        f"Calibration on {dataset_title(dataset)}",
        f"Ten bins of equal size, {table.population.iloc[0]} test set; on the line a prediction of "
        "20 % is right in 20 % of images; every panel has its own scale",
    )
