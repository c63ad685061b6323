"""The thesis's bias score beside the range that it has when the embedding knows nothing of the attribute."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cxrfmkd.figures import style
from cxrfmkd.tables.selecting import aligned, models_in
from cxrfmkd.vocabulary.titles import dataset_title

SAMPLES = {"main": "main sample", "all": "all images", "simulation": "mean of repeated samples"}
TITLES = {"combined": "Combined", "race": "Race", "sex": "Sex", "age": "Age", "view": "View"}
COLUMNS = [
    "dataset",
    "model",
    "loss",
    "sample",
    "attribute",
    "score",
    "least",
    "most",
    "null_low",
    "null_high",
    "p",
]


def select(score: pd.DataFrame, null: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The normalised score of every attribute and sample: mean and range over seeds, and the null's
    central 95 %.

    The null belongs to the main sample; over seeds its bounds are averaged and its largest p-value
    is kept.
    """
    keys = ["dataset", "model", "loss", "attribute"]
    table = score[(score.dataset == dataset) & (score.form == "normalised")]
    table = table[table["sample"].isin(SAMPLES) & table.attribute.map(shown)]
    found = (
        table.groupby([*keys, "sample"], sort=False).score.agg(["mean", "min", "max"]).reset_index()
    )
    found = found.rename(columns={"mean": "score", "min": "least", "max": "most"})
    chance = null[(null.dataset == dataset) & (null.form == "normalised")]
    bounds = {"null_low": "mean", "null_high": "mean", "p": "max"}
    chance = chance.groupby(keys, sort=False).agg(bounds).reset_index().assign(sample="main")
    return found.merge(chance, how="left", on=[*keys, "sample"])[COLUMNS]


def shown(attribute: str) -> bool:
    """Whether a score belongs into the figure: an attribute's or the combined one, not a single pair's."""
    return attribute in TITLES or attribute.startswith("combined (")


def draw(table: pd.DataFrame, dataset: str) -> Figure:
    """A panel an attribute, from 0 to 150."""
    pairs = models_in(table)
    attributes = sorted(table.attribute.unique(), key=lambda name: [*TITLES, name].index(name))
    figure, axes = style.panels(
        1,
        len(attributes),
        (1.55, max(1.0, 0.145 * (len(pairs) + 0.6))),
        margins=(style.label_margin(pairs), 0.2, 0.9, 0.62),
        gaps=(0.22, 0.4),
    )
    colours = [style.COLOURS[model] for model, _ in pairs]
    y = np.arange(len(pairs))
    for panel, attribute in zip(axes[0], attributes, strict=True):
        chosen = table[table.attribute == attribute]
        style.shade_families(panel, pairs)
        main = aligned(chosen[chosen["sample"] == "main"], pairs)
        for row in np.flatnonzero(main.null_low.notna()):
            low, high = main.null_low[row], main.null_high[row]
            panel.barh(
                row, high - low, left=low, height=0.62, color="#c9ced5", linewidth=0, zorder=1
            )
        every = aligned(chosen[chosen["sample"] == "simulation"], pairs)
        panel.scatter(every.score, y, marker="|", s=30, c="#59636e", linewidths=1.1, zorder=4)
        style.whiskers(
            panel,
            y,
            main.score,
            main.least,
            main.most,
            colours,
            faces=[style.face(model) for model, _ in pairs],
        )
        panel.set(xlim=(-4, 154), xticks=[0, 50, 100, 150])
        panel.set_title(TITLES.get(attribute, attribute.capitalize()))
        style.rows_of(panel, [""] * len(pairs))
    style.label_models(axes[0, 0], pairs)
    handles = [
        Line2D(
            [],
            [],
            color=style.MUTED,
            marker="o",
            markersize=4,
            label="main sample (mean and range over seeds)",
        ),
        Line2D(
            [],
            [],
            color="#59636e",
            marker="|",
            markersize=6,
            linestyle="none",
            label="mean of repeated samples",
        ),
        Patch(color="#c9ced5", label="when the attribute is permuted between patients"),
    ]
    height = figure.get_size_inches()[1]
    figure.legend(handles=handles, loc="lower center", ncols=3, bbox_to_anchor=(0.5, 0.1 / height))
    style.heading(
        figure,
        f"Bias score of the embeddings of {dataset_title(dataset)}",
        "0: no test of the first four PCA modes is significant; 150: all are, at 0.001. Lower is "
        "less biased.",
    )
    return figure
