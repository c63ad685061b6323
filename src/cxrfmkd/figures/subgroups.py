"""How well each group of patients is served, and how large the gaps between groups are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.figures.panels import (
    ModelFigure,
    Models,
    PanelFigure,
    blank,
    draw_intervals,
    label_nested_rows,
    model_handles,
    model_look,
    note,
    row_title,
)
from cxrfmkd.study.outputs import representatives
from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.tables.selecting import (
    aligned,
    in_main_population,
    main_population,
    models_in,
    native,
    single_attributes,
    where,
)
from cxrfmkd.vocabulary.models import join_model, split_model
from cxrfmkd.vocabulary.titles import attribute_title, dataset_title

SHOWN, SHOWN_GAPS = 4, 2  # findings: the thesis's defaults (method, section 6.5)
METRIC = "auc_roc"
EVERYONE = "all"
COLUMNS = (
    "dataset model loss population attribute group finding metric estimate low high relative "
    "relative_low relative_high n suppressed"
).split()
GAP_COLUMNS = (
    "dataset model loss population attribute finding metric a b estimate low high expected "
    "corrected p"
).split()
INTERVALS = {
    "estimate": ["estimate", "low", "high"],
    "relative": ["relative", "relative_low", "relative_high"],
}
TITLES = {
    "estimate": "AUC-ROC by group of patients",
    "relative": "AUC-ROC by group, relative to the mean of the groups",
}


def select_subgroups(
    subgroups: pd.DataFrame, dataset: str, findings: Findings = THESIS
) -> pd.DataFrame:
    """AUC-ROC of single attributes' groups for the first four findings; one model of each kind.

    Of distilled models the first loss is taken; every model stands in the table `subgroups.csv`.
    """
    table = where(
        native(subgroups, dataset), metric=METRIC, finding=_first(findings, subgroups, SHOWN)
    )
    table = in_main_population(single_attributes(table))
    names = representatives([join_model(*pair) for pair in models_in(table)])
    models = pd.DataFrame(map(split_model, names), columns=["model", "loss"])
    return table[COLUMNS].merge(models)


def _first(findings: Findings, table: pd.DataFrame, count: int) -> list[str]:
    """The most relevant of the findings that a table has."""
    present = set(table.finding)
    return [finding for finding in findings.by_relevance if finding in present][:count]


def draw_subgroups(
    table: pd.DataFrame, dataset: str, column: str, findings: Findings = THESIS
) -> Figure:
    """A column of panels a finding, a row a group, one dot a model.

    column: `estimate` or `relative`. Groups without any number are named and left out.
    """
    models = models_in(table)
    numbers = table.groupby(["attribute", "group"], sort=False)[column].count()
    groups = list(numbers.index[numbers > 0])
    hidden = [group for attribute, group in numbers.index[numbers == 0] if attribute != EVERYONE]
    if not groups:
        return blank(dataset)
    shown = _first(findings, table, SHOWN)
    height = (0.075 * len(models) + 0.1) * len(groups)
    figure = PanelFigure(len(shown), len(shown), (1.75, height), sharey=True)
    for panel, finding in zip(figure.used, shown, strict=True):
        rows = where(table, finding=finding)
        for y, (attribute, group) in enumerate(groups):
            of_group = aligned(where(rows, attribute=attribute, group=group), models)
            _draw_group(panel, y, of_group[INTERVALS[column]].to_numpy(float), models)
        if column == "relative":
            panel.axvline(0, color=style.AXIS, linewidth=0.9, zorder=1)
            panel.xaxis.set_major_formatter(lambda value, _: f"{value:+.0f} %".replace("-", "−"))
        panel.set_title(style.short_finding(finding))
        panel.locator_params(axis="x", nbins=4)
    outer, inner = zip(*(_row_labels(*group) for group in groups), strict=True)
    label_nested_rows(figure.panels[0, 0], outer, inner, top=0.5)
    figure.add_legend(model_handles(models))
    losses = {loss for _, loss in models if loss}
    loss = f"; distilled with {style.short_loss(losses.pop())}" if len(losses) == 1 else ""
    few = f"; too few patients: {', '.join(hidden)}" if hidden else ""
    return figure.finish(
        f"{TITLES[column]}, {dataset_title(dataset)}",
        f"{main_population(table).capitalize()} test set; bars: interval over patients and "
        f"seeds{loss}{few}",
    )


def _row_labels(attribute: str, group: str) -> tuple[str, str]:
    if attribute == EVERYONE:
        return "All patients", ""
    return attribute_title(attribute), style.short_group(group)


def _draw_group(panel: Axes, row: int, numbers: np.ndarray, models: Models) -> None:
    """One dot a model, below each other in a row; numbers: estimate, low, high of each model."""
    if row % 2:
        panel.axhspan(row - 0.5, row + 0.5, color=style.BAND, linewidth=0, zorder=0)
    if np.isnan(numbers[:, 0]).all():
        note(panel, row, "too few patients")
    spread = np.linspace(-0.38, 0.38, len(models)) if len(models) > 1 else np.zeros(1)
    draw_intervals(panel, row + spread, numbers, **model_look(models), size=3.2, width=0.9)


def select_gaps(gaps: pd.DataFrame, dataset: str, findings: Findings = THESIS) -> pd.DataFrame:
    """Largest difference between groups of an attribute, for the two most relevant findings."""
    table = single_attributes(native(gaps, dataset))
    table = in_main_population(where(table, kind="range", metric=METRIC))
    table = where(table, finding=_first(findings, table, SHOWN_GAPS))
    return table[GAP_COLUMNS].reset_index(drop=True)


def draw_gaps(table: pd.DataFrame, dataset: str, findings: Findings = THESIS) -> Figure:
    """A row of panels a finding, a panel an attribute, a row a model."""
    attributes = list(dict.fromkeys(table.attribute))
    shown = _first(findings, table, SHOWN_GAPS)
    count = len(shown) * len(attributes)
    figure = ModelFigure(models_in(table), count, len(attributes), 1.5)
    for row, finding in zip(figure.panels, shown, strict=True):
        for panel, attribute in zip(row, attributes, strict=True):
            numbers = where(table, finding=finding, attribute=attribute)
            figure.ticks(panel, numbers, "expected")
            figure.intervals(panel, numbers, ("estimate", "low", "high"))
            panel.update_datalim([(0, 0)])
            panel.set_title(attribute_title(attribute))
        row_title(row[0], finding)
    return figure.finish(
        f"Gaps between the best and the worst served group, {dataset_title(dataset)}",
        "Difference in AUC-ROC with its interval over patients; grey tick: gap to be expected if "
        "all groups were served alike",
    )
