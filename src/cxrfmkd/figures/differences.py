"""Paired differences between models: which of them the data can tell apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.tables.selecting import SIGNIFICANCE, comparisons_by_model, main_population, models_in
from cxrfmkd.vocabulary.metrics import METRIC_TITLES
from cxrfmkd.vocabulary.titles import dataset_title

METRICS = ("auc_roc", "auc_pr")
# What a model is compared with, by the kind of comparison (`cxrfmkd.evaluation.families`).
REFERENCES = {
    "teacher": "the teacher’s probe",
    "baseline": "undistilled network",
    "loss": "best loss (validation)",
}
COLUMNS = [
    "dataset",
    "population",
    "kind",
    "strategy",
    "model",
    "loss",
    "reference",
    "finding",
    "metric",
    "difference",
    "low",
    "high",
    "p",
    "p_adjusted",
]


def select(comparisons: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Macro differences of the dataset's own models, in the main population."""
    table = comparisons_by_model(comparisons[comparisons.dataset == dataset])[COLUMNS]
    table = table[
        (table.strategy == "own") & (table.finding == "Macro") & table.metric.isin(METRICS)
    ]
    return table[table.population == main_population(table)].reset_index(drop=True)


def draw(table: pd.DataFrame, dataset: str) -> Figure:
    """A panel per reference and metric; filled where the adjusted p-value is below 0.05."""
    pairs = models_in(table)
    shown = [
        (kind, metric)
        for kind in REFERENCES
        for metric in METRICS
        if ((table.kind == kind) & (table.metric == metric)).any()
    ]
    figure, axes = style.panels(
        1,
        max(len(shown), 1),
        (1.3, max(1.0, 0.145 * (len(pairs) + 0.6))),
        margins=(style.label_margin(pairs), 0.2, 1.0, 0.3),
        gaps=(0.2, 0.4),
    )
    colours = [style.COLOURS[model] for model, _ in pairs]
    wanted = pd.MultiIndex.from_tuples(pairs, names=["model", "loss"])
    for panel, (kind, metric) in zip(axes[0], shown, strict=False):
        chosen = table[(table.kind == kind) & (table.metric == metric)]
        rows = chosen.set_index(["model", "loss"]).reindex(wanted)
        certain = (rows.p_adjusted < SIGNIFICANCE).to_numpy()
        style.shade_families(panel, pairs)
        panel.axvline(0, color="#8a9199", linewidth=0.9, zorder=1)
        style.whiskers(
            panel,
            np.arange(len(pairs)),
            rows.difference,
            rows.low,
            rows.high,
            colours,
            faces=[c if sure else style.PAPER for c, sure in zip(colours, certain, strict=True)],
        )
        style.span(panel, chosen.low, chosen.high, include=0)
        panel.locator_params(axis="x", nbins=3)
        panel.set_title(
            f"{METRIC_TITLES[metric]} minus\n{REFERENCES[kind]}",
            linespacing=1.25,
            fontsize=7.5,
        )
        style.rows_of(panel, [""] * len(pairs))
    style.label_models(axes[0, 0], pairs)
    style.heading(
        figure,
        f"Which models differ on {dataset_title(dataset)}",
        "Paired differences of the macro average with their interval over patients and seeds; "
        "filled: adjusted p < 0.05; empty rows: the reference itself",
    )
    return figure
