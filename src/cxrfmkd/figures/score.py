"""The thesis's bias score beside its range when the embedding knows nothing of the attribute."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cxrfmkd.figures import style
from cxrfmkd.figures.panels import ModelFigure, handle
from cxrfmkd.tables.selecting import aligned, models_in, where
from cxrfmkd.vocabulary.titles import attribute_title, dataset_title

SAMPLES = ("main", "all", "simulation")
ATTRIBUTES = ("combined", "race", "sex", "age", "view")
COLUMNS = "dataset model loss sample attribute score least most null_low null_high p".split()


def select_score(score: pd.DataFrame, null: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The normalised score of every attribute and sample: mean and range over seeds.

    With the null distribution's central 95 %, which belongs to the main sample; over seeds its
    bounds are averaged and its largest p-value is taken. Scores of single pairs are left out.
    """
    keys = ["dataset", "model", "loss", "attribute"]
    table = where(score, dataset=dataset, form="normalised", sample=SAMPLES)
    single = ~table.attribute.str.contains(" ")  # neither pairs nor other means
    of_attribute = single | table.attribute.str.startswith("combined (")
    grouped = table[of_attribute].groupby([*keys, "sample"], sort=False).score
    scores = grouped.agg(score="mean", least="min", most="max").reset_index()
    grouped = where(null, dataset=dataset, form="normalised").groupby(keys, sort=False)
    bounds = grouped.agg({"null_low": "mean", "null_high": "mean", "p": "max"}).reset_index()
    return scores.merge(bounds.assign(sample="main"), "left", [*keys, "sample"])[COLUMNS]


def draw_score(table: pd.DataFrame, dataset: str) -> Figure:
    """A panel an attribute, from 0 to 150."""
    models = models_in(table)
    attributes = sorted(table.attribute.unique(), key=lambda name: [*ATTRIBUTES, name].index(name))
    figure = ModelFigure(models, len(attributes), min(len(attributes), 5), 1.55)
    for panel, attribute in zip(figure.used, attributes, strict=True):
        main = where(table, attribute=attribute, sample="main")
        bounds = aligned(main, models)
        rows = np.flatnonzero(bounds.null_low.notna())
        low, high = bounds.null_low[rows], bounds.null_high[rows]
        panel.barh(rows, high - low, 0.62, low, color=style.NULL, linewidth=0, zorder=1)
        figure.ticks(panel, where(table, attribute=attribute, sample="simulation"), "score", 30)
        figure.intervals(panel, main, ("score", "least", "most"))
        panel.set(xlim=(-4, 154), xticks=[0, 50, 100, 150])
        panel.set_title(attribute_title(attribute))
    tick = {"marker": "|", "markersize": 6, "color": style.AXIS, "linestyle": "none"}
    figure.add_legend(
        [
            handle("main sample (mean and range over seeds)"),
            handle("mean of repeated samples", **tick),
            Patch(color=style.NULL, label="when the attribute is permuted between patients"),
        ]
    )
    return figure.finish(
        f"Bias score of the embeddings of {dataset_title(dataset)}",
        "0: no test of the first four PCA modes is significant; 150: all are, at 0.001. Lower is "
        "less biased.",
    )
