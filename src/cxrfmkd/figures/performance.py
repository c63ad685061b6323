"""How well each model finds each finding: dots with intervals, one row a model."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.figures.panels import ModelFigure, subtitle
from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.tables.selecting import (
    in_main_population,
    main_population,
    models_in,
    native,
    where,
)
from cxrfmkd.vocabulary.findings import MACRO
from cxrfmkd.vocabulary.metrics import METRIC_TITLES, METRICS
from cxrfmkd.vocabulary.titles import dataset_title

SUMMARY_COLUMNS = (
    "dataset source strategy model loss population finding metric mean sd n_seeds low high n "
    "positives prevalence"
).split()


def select_macro(summary: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Macro averages of every metric in both populations."""
    return where(native(summary, dataset), finding=MACRO)[SUMMARY_COLUMNS].reset_index(drop=True)


def select_findings(
    summary: pd.DataFrame, dataset: str, metric: str, findings: Findings = THESIS
) -> pd.DataFrame:
    """One metric for every finding and their average, in the main population."""
    table = in_main_population(native(summary, dataset))
    table = where(table, metric=metric, finding=[*findings.names, MACRO])
    return table[SUMMARY_COLUMNS].reset_index(drop=True)


def draw_macro(table: pd.DataFrame, dataset: str) -> Figure:
    """Macro averages: one panel a metric; the natural population as a grey tick."""
    population = main_population(table)
    metrics = [metric for metric in METRICS if metric in set(table.metric)]
    figure = ModelFigure(models_in(table), len(metrics), len(metrics), 1.55)
    for panel, metric in zip(figure.used, metrics, strict=True):
        rows = where(table, metric=metric)
        if population != "natural":
            figure.ticks(panel, where(rows, population="natural"), "mean")
        figure.intervals(panel, where(rows, population=population))
        panel.set_title(METRIC_TITLES[metric])
    both = population != "natural" and "natural" in set(table.population)
    return figure.finish(
        f"Performance on {dataset_title(dataset)}",
        f"Mean of all findings on the {population} test set; bars: interval over patients and "
        f"seeds; hollow: linear probe{'; grey tick: natural test set' if both else ''}",
    )


def draw_findings(
    table: pd.DataFrame, dataset: str, metric: str, findings: Findings = THESIS
) -> Figure:
    """One panel a finding with its prevalence, by relevance, and the average last."""
    measured = set(table.finding[table["mean"].notna()])
    shown = [finding for finding in findings.by_relevance if finding in measured] + [MACRO]
    figure = ModelFigure(models_in(table), len(shown), 5, 1.22, 0.118)
    for panel, finding in zip(figure.used, shown, strict=True):
        rows = where(table, finding=finding)
        figure.intervals(panel, rows, size=3.6, width=1.0)
        panel.set_title(style.short_finding(finding), fontsize=7.5, pad=12)
        prevalence = rows.prevalence.max()
        if finding != MACRO and np.isfinite(prevalence):
            subtitle(panel, f"{100 * prevalence:.1f} % positive")
    return figure.finish(
        f"{METRIC_TITLES[metric]} of every finding on {dataset_title(dataset)}",
        f"{main_population(table).capitalize()} test set; bars: interval over patients and seeds; "
        "every panel has its own scale",
    )
