"""Our numbers beside those that the thesis logged."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cxrfmkd.figures import style
from cxrfmkd.tables.selecting import aligned, models_in
from cxrfmkd.vocabulary.metrics import METRIC_TITLES
from cxrfmkd.vocabulary.titles import dataset_title

METRICS = ("auc_roc", "auc_pr")
STRATEGIES = {
    "own": "",
    "direct": ", direct",
    "linear-probe": ", linear probe",
    "full-finetune": ", full fine-tune",
}
COLUMNS = [
    "dataset",
    "source",
    "strategy",
    "model",
    "loss",
    "metric",
    "finding",
    "ours",
    "ours_sd",
    "thesis",
    "thesis_sd",
    "difference",
    "z",
]


def select(against: pd.DataFrame) -> pd.DataFrame:
    """Macro AUCs that both studies have."""
    table = against[(against.finding == "Macro") & against.metric.isin(METRICS)]
    return table.loc[table.ours.notna() & table.thesis.notna(), COLUMNS].reset_index(drop=True)


def _where(source: str, dataset: str, strategy: str) -> str:
    if strategy == "own":
        return dataset_title(dataset)
    return (
        f"{dataset_title(source)} → {dataset_title(dataset)}\n{STRATEGIES[strategy].lstrip(', ')}"
    )


def draw(table: pd.DataFrame) -> Figure:
    """A row of panels a metric, a panel a dataset or transfer; the thesis in grey, ours in the models' colours."""
    pairs = models_in(table)
    places = list(dict.fromkeys(zip(table.source, table.dataset, table.strategy, strict=True)))
    places.sort(key=lambda place: (list(STRATEGIES).index(place[2]), place))
    metrics = [metric for metric in METRICS if (table.metric == metric).any()]
    figure, axes = style.panels(
        len(metrics),
        len(places),
        (1.6, max(0.9, 0.145 * (len(pairs) + 0.6))),
        margins=(style.label_margin(pairs), 0.2, 1.15, 0.62),
        gaps=(0.22, 0.85),
    )
    y = np.arange(len(pairs))
    colours = [style.COLOURS[model] for model, _ in pairs]
    for row, metric in zip(axes, metrics, strict=True):
        for panel, place in zip(row, places, strict=True):
            chosen = table[
                (table.metric == metric)
                & (table.source == place[0])
                & (table.dataset == place[1])
                & (table.strategy == place[2])
            ]
            found = aligned(chosen, pairs)
            style.shade_families(panel, pairs)
            ends = []
            for name in ("thesis", "ours"):
                reach = found[f"{name}_sd"].fillna(0)
                ends.append((found[name], found[name] - reach, found[name] + reach))
            style.whiskers(
                panel,
                y + 0.17,
                *ends[0],
                ["#8a9199"] * len(pairs),
                markers=["D"] * len(pairs),
                size=3.2,
                width=1.0,
            )
            style.whiskers(
                panel,
                y - 0.1,
                *ends[1],
                colours,
                faces=[style.face(model) for model, _ in pairs],
                size=4.0,
            )
            style.span(panel, *ends[0], *ends[1])
            panel.set_title(_where(*place), fontsize=7.5, linespacing=1.25)
            panel.locator_params(axis="x", nbins=4)
            style.rows_of(panel, [""] * len(pairs))
        style.label_models(row[0], pairs)
        row[0].annotate(
            f"Macro {METRIC_TITLES[metric]}",
            (0, 1),
            (0, 30),
            xycoords="axes fraction",
            textcoords="offset points",
            size=8,
            color=style.MUTED,
        )
    handles = [
        Line2D(
            [], [], color=style.MUTED, marker="o", markersize=4, label="this study, ± SD over seeds"
        ),
        Line2D(
            [], [], color="#8a9199", marker="D", markersize=3.2, label="thesis, ± SD over seeds"
        ),
    ]
    height = figure.get_size_inches()[1]
    figure.legend(handles=handles, loc="lower center", ncols=2, bbox_to_anchor=(0.5, 0.12 / height))
    style.heading(
        figure,
        "Against the thesis",
        "Resampled test sets; differences come from the data’s release, the method’s switches and "
        "chance",
    )
    return figure
