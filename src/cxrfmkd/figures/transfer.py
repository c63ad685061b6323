"""What a model is worth on another dataset: the transfer strategies side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.figures.performance import PLOTTED, draw_rows
from cxrfmkd.tables.selecting import aligned, main_population, models_in, transferred
from cxrfmkd.vocabulary.metrics import METRIC_TITLES
from cxrfmkd.vocabulary.titles import dataset_title

METRICS = ("auc_roc", "auc_pr")
TITLES = {
    "direct": "Direct",
    "linear-probe": "Linear probe",
    "full-finetune": "Full fine-tune",
    "own": "Trained on {target} itself",
}


def select(summary: pd.DataFrame, source: str, target: str) -> pd.DataFrame:
    """Macro AUCs on the target: of the source's models by strategy, and of the same models trained there."""
    table = transferred(summary[summary.metric.isin(METRICS)], source, target)
    return table[PLOTTED].reset_index(drop=True)


def draw(table: pd.DataFrame, source: str, target: str) -> Figure:
    """A row of panels a metric, a panel a strategy, all on one scale."""
    pairs = models_in(table)
    strategies = [s for s in TITLES if (table.strategy == s).any()]
    metrics = [m for m in METRICS if (table.metric == m).any()]
    figure, axes = style.panels(
        len(metrics),
        len(strategies),
        (1.5, max(0.9, 0.145 * (len(pairs) + 0.6))),
        margins=(style.label_margin(pairs), 0.2, 1.05, 0.3),
        gaps=(0.2, 0.75),
    )
    for row, metric in zip(axes, metrics, strict=True):
        chosen = table[table.metric == metric]
        for panel, strategy in zip(row, strategies, strict=True):
            here = chosen[chosen.strategy == strategy]
            style.shade_families(panel, pairs)
            absent = aligned(here, pairs)["mean"].isna()
            best = aligned(chosen[chosen.strategy == "own"], pairs)["mean"].mask(absent)
            if strategy != "own" and best.notna().any():
                panel.scatter(
                    best,
                    np.arange(len(pairs)),
                    marker="|",
                    s=26,
                    c="#8a9199",
                    linewidths=1.1,
                    zorder=2.5,
                )
            draw_rows(panel, here, pairs)
            style.span(panel, chosen["mean"], chosen.low, chosen.high)
            panel.set_title(TITLES[strategy].format(target=dataset_title(target)))
            panel.locator_params(axis="x", nbins=4)
            style.rows_of(panel, [""] * len(pairs))
            for y in np.flatnonzero(absent):
                panel.annotate(
                    "not applicable",
                    (0.5, y),
                    xycoords=("axes fraction", "data"),
                    ha="center",
                    va="center_baseline",
                    size=6,
                    color=style.MUTED,
                )
        style.label_models(row[0], pairs)
        row[0].annotate(
            f"Macro {METRIC_TITLES[metric]}",
            (0, 1),
            (0, 19),
            xycoords="axes fraction",
            textcoords="offset points",
            size=8,
            color=style.MUTED,
        )
    own = "; grey tick: the same model trained on the target" if "own" in strategies else ""
    style.heading(
        figure,
        f"From {dataset_title(source)} to {dataset_title(target)}",
        f"Mean of the 14 findings on the {main_population(table)} test set of "
        f"{dataset_title(target)}; bars: "
        f"interval over patients and seeds{own}",
    )
    return figure
