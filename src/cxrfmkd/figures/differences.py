"""Paired differences between models: which of them the data can tell apart."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.figures.panels import ModelFigure
from cxrfmkd.tables.selecting import (
    SIGNIFICANCE,
    comparisons_by_model,
    in_main_population,
    models_in,
    where,
)
from cxrfmkd.vocabulary.attributes import PRESETS
from cxrfmkd.vocabulary.findings import MACRO
from cxrfmkd.vocabulary.losses import CONTROLS
from cxrfmkd.vocabulary.metrics import AREAS, METRIC_TITLES
from cxrfmkd.vocabulary.titles import attribute_words, dataset_title

# What a model is compared with, by the kind of comparison (`cxrfmkd.evaluation.families`).
REFERENCES = {
    "teacher": "the teacher’s probe",
    "baseline": "undistilled network",
    "loss": "best loss (validation)",
    **{control: f"control: {title}" for control, title in CONTROLS.items()},
}
COLUMNS = (
    "dataset population kind strategy model loss reference finding metric difference low high p "
    "p_adjusted margin p_equivalent"
).split()


def select_differences(comparisons: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Macro differences of the dataset's own models, in the main population."""
    table = comparisons_by_model(where(comparisons, dataset=dataset, finding=MACRO, metric=AREAS))
    table = in_main_population(where(table, strategy="own"))
    return table[COLUMNS].reset_index(drop=True)


def _draw_panel(
    figure: ModelFigure, panel: Axes, rows: pd.DataFrame, margin: float, title: str
) -> None:
    """Differences around 0 and the margin, with stars."""
    panel.axvline(0, color=style.AXIS, linewidth=0.9, zorder=1)
    panel.axvspan(-margin, margin, color=style.RULE, alpha=0.6, linewidth=0, zorder=0)
    figure.intervals(panel, rows, ("difference", "low", "high"))
    figure.stars(panel, rows, "p_adjusted", "high")
    panel.set_title(title, linespacing=1.25, fontsize=7.5)


def draw_differences(table: pd.DataFrame, dataset: str) -> Figure:
    """A panel per reference and metric; a star where the adjusted p-value is significant."""
    models = models_in(table)
    panels = [
        (kind, metric)
        for kind in REFERENCES
        for metric in AREAS
        if len(where(table, kind=kind, metric=metric))
    ]
    figure = ModelFigure(models, len(panels), len(panels), 1.3)
    for panel, (kind, metric) in zip(figure.used, panels, strict=True):
        rows = where(table, kind=kind, metric=metric)
        title = f"{METRIC_TITLES[metric]} minus\n{REFERENCES[kind]}"
        _draw_panel(figure, panel, rows, rows.margin.iloc[0], title)
    return figure.finish(
        f"Which models differ on {dataset_title(dataset)}",
        "Paired differences of the macro average with their interval over patients and seeds; "
        f"star: adjusted p < {SIGNIFICANCE}; hollow: linear probe; shaded: the margin within which "
        "a difference counts as none; empty rows: the reference itself",
    )


BIAS_COLUMNS = (
    "dataset kind model loss reference measure attribute difference low high p p_adjusted margin "
    "p_equivalent"
).split()


def select_bias_differences(differences: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Differences in D and energy over all scored attributes, and in the probes' areas of each.

    Also in the areas of the study's own attributes; without race and sex, in D of each attribute.
    """
    table = where(differences, dataset=dataset, measure=["D", "energy", "AUC"])
    overall = table.attribute.str.fullmatch(r"combined( \(.+\))?")
    own = ~table.attribute.isin(list(PRESETS)) & ~table.attribute.str.contains(" ")
    probed = (table.measure == "AUC") & (table.attribute.isin(["race", "sex"]) | own)
    if len(table) and not overall.any():
        probed = table.measure.isin(["D", "AUC"]) & ~table.attribute.str.contains(" ")
    return table[overall | probed][BIAS_COLUMNS].reset_index(drop=True)


def draw_bias_differences(table: pd.DataFrame, dataset: str) -> Figure:
    """A row per reference, a panel per measure; a star where adjusted p is significant."""
    models = models_in(table)
    measures = list(dict.fromkeys(zip(table.measure, table.attribute, strict=True)))
    kinds = [kind for kind in REFERENCES if (table.kind == kind).any()]
    figure = ModelFigure(models, len(kinds) * len(measures), len(measures), 1.3)
    for row, kind in zip(figure.panels, kinds, strict=True):
        for panel, (measure, attribute) in zip(row, measures, strict=True):
            rows = where(table, kind=kind, measure=measure, attribute=attribute)
            margin = where(table, measure=measure).margin.iloc[0]  # there is one without rows too
            name = "Probe AUC" if measure == "AUC" else measure.capitalize()
            name += "" if attribute.startswith("combined") else f" {attribute_words(attribute)}"
            _draw_panel(figure, panel, rows, margin, f"{name} minus\n{REFERENCES[kind]}")
    return figure.finish(
        f"Which models are less biased on {dataset_title(dataset)}",
        "Paired differences, left of 0 is less bias, with 95 % intervals over patients and seeds; "
        f"star: adjusted p < {SIGNIFICANCE}; hollow: linear probe; shaded: the margin within which "
        "a difference counts as none; empty rows: the reference itself",
    )
