"""How well each model finds each finding: dots with intervals, one row a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.tables.selecting import aligned, main_population, models_in, native
from cxrfmkd.vocabulary.findings import BY_RELEVANCE
from cxrfmkd.vocabulary.metrics import METRIC_TITLES
from cxrfmkd.vocabulary.titles import dataset_title

PLOTTED = [
    "dataset",
    "source",
    "strategy",
    "model",
    "loss",
    "population",
    "finding",
    "metric",
    "mean",
    "sd",
    "n_seeds",
    "low",
    "high",
    "n",
    "positives",
    "prevalence",
]
ROW = 0.145  # inches that a row takes


def select(summary: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Macro averages of every metric in both populations."""
    table = native(summary, dataset)
    return table.loc[table.finding == "Macro", PLOTTED].reset_index(drop=True)


def select_findings(summary: pd.DataFrame, dataset: str, metric: str) -> pd.DataFrame:
    """One metric for every finding and their average, in the population that figures lead with."""
    table = native(summary, dataset)
    table = table[(table.metric == metric) & (table.population == main_population(table))]
    return table.loc[table.finding.isin([*BY_RELEVANCE, "Macro"]), PLOTTED].reset_index(drop=True)


def draw_rows(axes: Axes, table: pd.DataFrame, pairs: Sequence[tuple[str, str]], **how) -> None:
    """Whiskers of one panel: mean over seeds with the interval over patients and seeds."""
    rows = aligned(table, pairs)
    style.whiskers(
        axes,
        np.arange(len(pairs)),
        rows["mean"],
        rows["low"],
        rows["high"],
        [style.COLOURS[model] for model, _ in pairs],
        faces=[style.face(model) for model, _ in pairs],
        **how,
    )


def draw(table: pd.DataFrame, dataset: str) -> Figure:
    """Macro averages: one panel a metric; the second population as a grey tick."""
    pairs, main = models_in(table), main_population(table)
    metrics = [m for m in METRIC_TITLES if m in set(table.metric)]
    figure, axes = style.panels(
        1,
        len(metrics),
        (1.55, max(1.0, ROW * (len(pairs) + 0.6))),
        margins=(style.label_margin(pairs), 0.2, 0.86, 0.3),
        gaps=(0.22, 0.4),
        share_y=True,
    )
    other = "natural" if main == "resampled" and (table.population == "natural").any() else None
    for panel, metric in zip(axes[0], metrics, strict=True):
        chosen = table[table.metric == metric]
        style.shade_families(panel, pairs)
        lead = chosen[chosen.population == main]
        draw_rows(panel, lead, pairs)
        if other:
            rows = aligned(chosen[chosen.population == other], pairs)
            panel.scatter(
                rows["mean"],
                np.arange(len(pairs)),
                marker="|",
                s=26,
                c="#8a9199",
                linewidths=1.1,
                zorder=2.5,
            )
        style.span(panel, chosen["mean"], lead.low, lead.high)
        panel.set_title(METRIC_TITLES[metric])
        panel.locator_params(axis="x", nbins=4)
        panel.tick_params(labelleft=panel is axes[0, 0])
    style.label_models(axes[0, 0], pairs)
    about = f"Mean of the 14 findings on the {main} test set; bars: interval over patients and seeds; hollow: linear probe"
    style.heading(
        figure,
        f"Performance on {dataset_title(dataset)}",
        about + ("; grey tick: natural test set" if other else ""),
    )
    return figure


def panel_title(panel: Axes, chosen: pd.DataFrame, finding: str) -> None:
    """The finding, and under it in grey how common it is."""
    panel.set_title(style.finding_title(finding), fontsize=7.5, pad=12)
    prevalence = chosen.prevalence.max()
    if finding != "Macro" and np.isfinite(prevalence):
        panel.annotate(
            f"{100 * prevalence:.1f} % positive",
            (0, 1),
            (0, 4),
            xycoords="axes fraction",
            textcoords="offset points",
            size=6.5,
            color=style.MUTED,
        )


def draw_findings(table: pd.DataFrame, dataset: str, metric: str) -> Figure:
    """One panel a finding, in the thesis's order of relevance, and the average last."""
    pairs = models_in(table)
    known = [f for f in BY_RELEVANCE if table.loc[table.finding == f, "mean"].notna().any()]
    findings = [*known, "Macro"]
    columns = 5
    rows = -(-len(findings) // columns)
    figure, axes = style.panels(
        rows,
        columns,
        (1.22, max(0.9, 0.118 * (len(pairs) + 0.6))),
        margins=(style.label_margin(pairs), 0.2, 0.95, 0.3),
        gaps=(0.2, 0.58),
        share_y=True,
    )
    for panel, finding in zip(axes.flat, findings, strict=False):
        chosen = table[table.finding == finding]
        style.shade_families(panel, pairs)
        draw_rows(panel, chosen, pairs, size=3.6, width=1.0)
        style.span(panel, chosen["mean"], chosen.low, chosen.high)
        panel_title(panel, chosen, finding)
        panel.locator_params(axis="x", nbins=3)
        panel.tick_params(labelleft=panel in axes[:, 0])
    for panel in axes.flat[len(findings) :]:
        panel.remove()
    for panel in axes[:, 0]:
        style.label_models(panel, pairs)
    style.heading(
        figure,
        f"{METRIC_TITLES[metric]} of every finding on {dataset_title(dataset)}",
        f"{main_population(table).capitalize()} test set; bars: interval over patients and seeds; "
        "every panel has its own scale",
    )
    return figure
