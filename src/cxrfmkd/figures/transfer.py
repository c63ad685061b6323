"""What a model is worth on another dataset: the transfer strategies side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cxrfmkd.figures.panels import ModelFigure, note, row_title
from cxrfmkd.figures.performance import SUMMARY_COLUMNS
from cxrfmkd.tables.selecting import aligned, main_population, models_in, transferred, where
from cxrfmkd.vocabulary.metrics import AREAS, METRIC_TITLES
from cxrfmkd.vocabulary.titles import STRATEGY_TITLES, dataset_title


def select_transfer(summary: pd.DataFrame, pair: str) -> pd.DataFrame:
    """Macro AUCs on the target of `<source>-to-<target>`, by strategy.

    Of the source's models, and of the same models trained on the target itself.
    """
    source, _, target = pair.partition("-to-")
    table = transferred(where(summary, metric=AREAS), source, target)
    return table[SUMMARY_COLUMNS].reset_index(drop=True)


def draw_transfer(table: pd.DataFrame, pair: str) -> Figure:
    """A row of panels a metric, a panel a strategy, all on one scale."""
    source, _, target = map(dataset_title, pair.partition("-to-"))
    strategies = [s for s in STRATEGY_TITLES if s in set(table.strategy)]
    metrics = [metric for metric in AREAS if metric in set(table.metric)]
    models = models_in(table)
    count = len(metrics) * len(strategies)
    figure = ModelFigure(models, count, len(strategies), 1.5, sharex="row")
    for panels, metric in zip(figure.panels, metrics, strict=True):
        trained = where(table, metric=metric, strategy="own")
        for panel, strategy in zip(panels, strategies, strict=True):
            numbers = where(table, metric=metric, strategy=strategy)
            if strategy != "own":
                moved = numbers.loc[numbers["mean"].notna(), ["model", "loss"]]
                figure.ticks(panel, trained.merge(moved), "mean")
            figure.intervals(panel, numbers)
            title = STRATEGY_TITLES[strategy].replace("the target", target)
            panel.set_title(title[0].upper() + title[1:])
            for row, value in enumerate(aligned(numbers, models)["mean"]):
                if np.isnan(value):
                    note(panel, row, "not applicable", 0.5, ha="center")
        row_title(panels[0], f"Macro {METRIC_TITLES[metric]}")
    ticks = "; grey tick: the same model trained on the target" if "own" in strategies else ""
    return figure.finish(
        f"From {source} to {target}",
        f"Mean of all findings on the {main_population(table)} test set of {target}; bars: "
        f"interval over patients and seeds{ticks}",
    )
