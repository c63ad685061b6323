"""How well a linear probe on the whole embedding tells one group of patients from the others."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.tables.selecting import aligned, models_in
from cxrfmkd.vocabulary.titles import dataset_title

COLUMNS = [
    "dataset",
    "model",
    "loss",
    "attribute",
    "group",
    "given",
    "auc",
    "low",
    "high",
    "n",
    "n_group",
]


def select(encoding: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Mean over seeds of every group's AUC and its interval, in all images and within one disease or view."""
    table = encoding[encoding.dataset == dataset].copy()
    table["given"] = table.given.fillna("")
    keys = ["dataset", "model", "loss", "attribute", "group", "given"]
    numbers = ["auc", "low", "high", "n", "n_group"]
    return table.groupby(keys, sort=False, dropna=False)[numbers].mean().reset_index()[COLUMNS]


def draw(table: pd.DataFrame, dataset: str) -> Figure:
    """A panel a group; grey ticks: the same within one disease or one view."""
    pairs = models_in(table)
    groups = list(dict.fromkeys(zip(table.attribute, table.group, strict=True)))
    columns = min(len(groups), 5)
    figure, axes = style.panels(
        -(-len(groups) // columns),
        columns,
        (1.35, max(1.0, 0.145 * (len(pairs) + 0.6))),
        margins=(style.label_margin(pairs), 0.2, 0.98, 0.3),
        gaps=(0.22, 0.62),
    )
    colours = [style.COLOURS[model] for model, _ in pairs]
    y = np.arange(len(pairs))
    for panel, (attribute, group) in zip(axes.flat, groups, strict=False):
        chosen = table[(table.attribute == attribute) & (table.group == group)]
        style.shade_families(panel, pairs)
        panel.axvline(0.5, color="#8a9199", linewidth=0.9, zorder=1)
        for _, part in chosen[chosen.given != ""].groupby("given"):
            panel.scatter(
                aligned(part, pairs).auc, y, marker="|", s=20, c="#9aa1a9", linewidths=0.9, zorder=2
            )
        whole = aligned(chosen[chosen.given == ""], pairs)
        style.whiskers(
            panel,
            y,
            whole.auc,
            whole.low,
            whole.high,
            colours,
            faces=[style.face(model) for model, _ in pairs],
        )
        style.span(panel, chosen.auc, whole.low, whole.high, include=0.5)
        panel.locator_params(axis="x", nbins=4)
        panel.set_title(f"{attribute.capitalize()}:\n{group}", linespacing=1.25)
        style.rows_of(panel, [""] * len(pairs))
        if whole.auc.isna().all():
            panel.text(
                0.5,
                0.5,
                "too few patients",
                transform=panel.transAxes,
                ha="center",
                color=style.MUTED,
                size=6.5,
            )
    for panel in axes.flat[len(groups) :]:
        panel.remove()
    for panel in axes[:, 0]:
        style.label_models(panel, pairs)
    style.heading(
        figure,
        f"What a linear probe reads from the embeddings of {dataset_title(dataset)}",
        "AUC-ROC, this group against all others; 0.5: nothing is encoded; bars: interval over "
        "patients; grey ticks: within one disease or view",
    )
    return figure
