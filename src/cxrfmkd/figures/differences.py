"""Paired differences between models: which of them the data can tell apart."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.figures.performance import main_population
from cxrfmkd.zoo import MODELS, split_model

METRICS = ("auc_roc", "auc_pr")
NAME = re.compile(r"(?P<strategy>[^/]+)/(?P<model>[^@]+)@(?P<source>.+)")
LEVEL = 0.05


def name_parts(name: str) -> tuple[str, str, str, str]:
    """`own/cxr-fmkd-lp.mse@mimic` -> (strategy, model, loss, source)."""
    found = NAME.fullmatch(name)
    if not found:
        return "", name, "", ""
    return found["strategy"], *split_model(found["model"]), found["source"]


def against(comparisons: pd.DataFrame, dataset: str, reference: str) -> pd.DataFrame:
    """Differences of the dataset's own models from the model `reference`: positive where they are better.

    Returns columns model, loss, reference, population, finding, metric, difference, low, high, p, p_adjusted.
    """
    rows = []
    for row in comparisons[comparisons.dataset == dataset].itertuples():
        a, b = name_parts(row.model_a), name_parts(row.model_b)
        if a[0] != "own" or b[0] != "own" or reference not in (a[1], b[1]):
            continue
        turned = a[1] == reference
        other = b if turned else a
        low, high = (-row.high, -row.low) if turned else (row.low, row.high)
        difference = -row.difference if turned else row.difference
        rows.append((other[1], other[2], reference, row.population, row.finding, row.metric, difference,
                     low, high, row.p, row.p_adjusted))  # fmt: skip
    columns = ["model", "loss", "reference", "population", "finding", "metric", "difference", "low", "high", "p", "p_adjusted"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def select(comparisons: pd.DataFrame, dataset: str, references: Sequence[str]) -> pd.DataFrame:
    """Macro differences from every reference, in the main population."""
    parts = [against(comparisons, dataset, reference) for reference in references]
    table = pd.concat(parts, ignore_index=True)
    table = table[(table.finding == "Macro") & table.metric.isin(METRICS)]
    return table[table.population == main_population(table)].reset_index(drop=True)


def draw(table: pd.DataFrame, dataset: str) -> Figure:
    """A panel per reference and metric; filled where the adjusted p-value is below 0.05."""
    pairs = style.in_order(zip(table.model, table.loss, strict=True))
    shown = [(r, m) for r in dict.fromkeys(table.reference) for m in METRICS
             if ((table.reference == r) & (table.metric == m)).any()]  # fmt: skip
    figure, axes = style.panels(
        1, len(shown), (1.5, max(1.0, 0.145 * (len(pairs) + 0.6))),
        margins=(style.label_margin(pairs), 0.2, 1.0, 0.3), gaps=(0.22, 0.4),
    )  # fmt: skip
    for panel, (reference, metric) in zip(axes[0], shown, strict=True):
        chosen = table[(table.reference == reference) & (table.metric == metric)]
        wanted = pd.MultiIndex.from_tuples(pairs, names=["model", "loss"])
        rows = chosen.set_index(["model", "loss"]).reindex(wanted)
        colours = [style.COLOURS[model] for model, _ in pairs]
        certain = (rows.p_adjusted < LEVEL).to_numpy()
        style.shade_families(panel, pairs)
        panel.axvline(0, color="#8a9199", linewidth=0.9, zorder=1)
        style.whiskers(panel, np.arange(len(pairs)), rows.difference, rows.low, rows.high, colours,
                       faces=[c if sure else style.PAPER for c, sure in zip(colours, certain, strict=True)])  # fmt: skip
        style.span(panel, chosen.low, chosen.high, include=0)
        panel.locator_params(axis="x", nbins=4)
        panel.set_title(f"{style.METRIC_TITLES[metric]}\nminus {MODELS[reference].title}", linespacing=1.3)
        style.rows_of(panel, [""] * len(pairs))
    style.label_models(axes[0, 0], pairs)
    style.heading(
        figure,
        f"Which models differ on {style.dataset_title(dataset)}",
        "Paired differences of the macro average with their interval over patients and seeds; filled: adjusted p < 0.05",
    )
    return figure
