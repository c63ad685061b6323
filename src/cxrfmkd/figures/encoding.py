"""How well a linear probe on the whole embedding tells one group of patients from the others."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.figures.panels import ModelFigure
from cxrfmkd.tables.selecting import models_in, where
from cxrfmkd.vocabulary.titles import attribute_title, dataset_title

KEYS = ["dataset", "model", "loss", "attribute", "group", "given"]
NUMBERS = ["auc", "low", "high", "n", "n_group"]


def select_encoding(encoding: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Mean over seeds of each group's AUC and interval, in all images and in parts.

    given: the disease or view to which the images of a part belong, blank for all images.
    """
    table = where(encoding, dataset=dataset).assign(given=lambda rows: rows.given.fillna(""))
    return table.groupby(KEYS, sort=False, dropna=False)[NUMBERS].mean().reset_index()


def draw_encoding(table: pd.DataFrame, dataset: str) -> Figure:
    """A panel a group; grey ticks: the same within one disease or one view."""
    groups = list(dict.fromkeys(zip(table.attribute, table.group, strict=True)))
    figure = ModelFigure(models_in(table), len(groups), min(len(groups), 5), 1.35)
    for panel, (attribute, group) in zip(figure.used, groups, strict=True):
        numbers = where(table, attribute=attribute, group=group)
        panel.axvline(0.5, color=style.AXIS, linewidth=0.9, zorder=1)
        for given, rows in numbers.groupby("given"):
            if given:
                figure.ticks(panel, rows, "auc", 20)
        figure.intervals(panel, where(numbers, given=""), ("auc", "low", "high"))
        panel.set_title(
            f"{attribute_title(attribute)}:\n{style.short_group(group)}", linespacing=1.25
        )
    return figure.finish(
        f"What a linear probe reads from the embeddings of {dataset_title(dataset)}",
        "AUC-ROC, this group against all others; 0.5: nothing is encoded; bars: interval over "
        "patients; grey ticks: within one disease or view",
    )
