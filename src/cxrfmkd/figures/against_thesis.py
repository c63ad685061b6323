"""Our numbers beside those that the thesis logged."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.figures.panels import ModelFigure, handle, row_title
from cxrfmkd.tables.selecting import models_in, where
from cxrfmkd.vocabulary.findings import MACRO
from cxrfmkd.vocabulary.metrics import AREAS, METRIC_TITLES
from cxrfmkd.vocabulary.models import STRATEGIES
from cxrfmkd.vocabulary.titles import STRATEGY_TITLES, dataset_title

COLUMNS = (
    "dataset source strategy model loss metric finding ours ours_sd thesis thesis_sd difference z"
).split()
# Studies and their marks: distance from the row's middle, marker, size and line width.
STUDIES: dict[str, tuple[float, style.Look]] = {
    "thesis": (0.17, {"marker": "D", "size": 3.2, "width": 1.0}),
    "ours": (-0.1, {"size": 4.0}),
}


def select_against_thesis(against: pd.DataFrame) -> pd.DataFrame:
    """Macro AUCs that both studies have."""
    table = where(against, finding=MACRO, metric=AREAS)
    return table.loc[table.ours.notna() & table.thesis.notna(), COLUMNS].reset_index(drop=True)


def _setting_title(source: str, dataset: str, strategy: str) -> str:
    if strategy == "own":
        return dataset_title(dataset)
    return f"{dataset_title(source)} → {dataset_title(dataset)}\n{STRATEGY_TITLES[strategy]}"


def draw_against_thesis(table: pd.DataFrame) -> Figure:
    """A row of panels a metric, a panel a dataset or transfer; the thesis in grey."""
    models = models_in(table)
    settings = list(dict.fromkeys(zip(table.source, table.dataset, table.strategy, strict=True)))
    settings.sort(key=lambda setting: (["own", *STRATEGIES].index(setting[2]), setting))
    metrics = [metric for metric in AREAS if metric in set(table.metric)]
    figure = ModelFigure(models, len(metrics) * len(settings), len(settings), 1.6)
    grey = [style.AXIS] * len(models)
    for row, metric in zip(figure.panels, metrics, strict=True):
        for panel, setting in zip(row, settings, strict=True):
            source, dataset, strategy = setting
            rows = where(table, metric=metric, source=source, dataset=dataset, strategy=strategy)
            for study, (offset, look) in STUDIES.items():
                if study == "thesis":
                    look = look | {"colours": grey, "faces": grey}
                sd = rows[f"{study}_sd"].fillna(0)
                rows = rows.assign(low=rows[study] - sd, high=rows[study] + sd)
                figure.intervals(panel, rows, (study, "low", "high"), offset, **look)
            panel.set_title(_setting_title(*setting), fontsize=7.5, linespacing=1.25)
        row_title(row[0], f"Macro {METRIC_TITLES[metric]}", lines=2)
    ours = handle("this study, ± SD over seeds")
    theirs = handle("thesis, ± SD over seeds", color=style.AXIS, marker="D", markersize=3.2)
    figure.add_legend([ours, theirs])
    return figure.finish(
        "Against the thesis",
        "Resampled test sets; differences come from the data’s release, the method’s switches and "
        "chance",
    )
