"""How well each group of patients is served, and how large the gaps between groups are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.figures.parallel import legend
from cxrfmkd.study.outputs import representatives
from cxrfmkd.tables.selecting import aligned, main_population, models_in, native, single_attributes
from cxrfmkd.vocabulary.findings import BY_RELEVANCE
from cxrfmkd.vocabulary.models import join_model, split_model
from cxrfmkd.vocabulary.titles import dataset_title

SHOWN = BY_RELEVANCE[:4]  # the thesis's defaults (method, section 6.5)
METRIC = "auc_roc"
EVERYONE = "all"
COLUMNS = [
    "dataset",
    "model",
    "loss",
    "population",
    "attribute",
    "group",
    "finding",
    "metric",
    "estimate",
    "low",
    "high",
    "relative",
    "relative_low",
    "relative_high",
    "n",
    "suppressed",
]
KINDS = {
    "subgroups": ("estimate", "low", "high", "AUC-ROC by group of patients", ""),
    "relative": (
        "relative",
        "relative_low",
        "relative_high",
        "AUC-ROC by group, relative to the mean of the groups",
        " %",
    ),
}


def select(subgroups: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """AUC-ROC of single attributes' groups for the four default findings; one model of each kind.

    Of distilled models the first loss is taken; every model stands in the table `subgroups.csv`.
    """
    table = native(subgroups, dataset)
    table = single_attributes(table)
    table = table[(table.metric == METRIC) & table.finding.isin(SHOWN)]
    table = table[table.population == main_population(table)]
    names = [join_model(*pair) for pair in models_in(table)]
    chosen = pd.DataFrame(
        [split_model(name) for name in representatives(names)], columns=["model", "loss"]
    )
    return table[COLUMNS].merge(chosen)


def draw(table: pd.DataFrame, dataset: str, kind: str) -> Figure:
    """A column a finding, a row a group, one dot a model."""
    centre, low, high, title, unit = KINDS[kind]
    pairs = models_in(table)
    groups = list(dict.fromkeys(zip(table.attribute, table.group, strict=True)))
    shown = table[table[centre].notna()]
    kept = set(zip(shown.attribute, shown.group, strict=True))
    hidden = [
        group
        for attribute, group in groups
        if (attribute, group) not in kept and attribute != EVERYONE
    ]
    groups = [group for group in groups if group in kept]
    if not groups:
        return style.blank(dataset)
    findings = [finding for finding in SHOWN if (table.finding == finding).any()]
    step = 0.075 * len(pairs) + 0.1
    labels = [_label(*group) for group in groups]
    margin = style.text_width(labels) + 0.75
    figure, axes = style.panels(
        1,
        max(len(findings), 1),
        (1.75, step * len(groups)),
        margins=(margin, 0.15, 0.95, 0.95),
        gaps=(0.2, 0.4),
    )
    for panel, finding in zip(axes[0], findings, strict=False):
        rows = table[table.finding == finding]
        values = []
        for y, (attribute, group) in enumerate(groups):
            mine = rows[(rows.attribute == attribute) & (rows.group == group)]
            found = aligned(mine, pairs)
            values.append(found[[centre, low, high]].to_numpy(float))
            if y % 2:
                panel.axhspan(y - 0.5, y + 0.5, color=style.BAND, linewidth=0, zorder=0)
            spread = np.linspace(-0.38, 0.38, len(pairs)) if len(pairs) > 1 else np.zeros(1)
            style.whiskers(
                panel,
                y + spread,
                *values[-1].T,
                [style.COLOURS[model] for model, _ in pairs],
                faces=[style.face(model) for model, _ in pairs],
                size=3.2,
                width=0.9,
            )
            if found[centre].isna().all():
                panel.annotate(
                    "too few patients",
                    (0.03, y),
                    xycoords=("axes fraction", "data"),
                    size=6,
                    va="center_baseline",
                    color=style.MUTED,
                )
        style.span(panel, *values)
        if kind == "relative":
            panel.axvline(0, color="#8a9199", linewidth=0.9, zorder=1)
            panel.xaxis.set_major_formatter(
                lambda value, _: f"{value:+.0f}{unit}".replace("-", "−")
            )
        panel.set_title(style.finding_title(finding))
        panel.locator_params(axis="x", nbins=4)
        style.rows_of(panel, labels if panel is axes[0, 0] else [""] * len(groups), top=0.5)
    _attributes(axes[0, 0], groups, margin)
    legend(figure, pairs)
    losses = {loss for _, loss in pairs if loss}
    first = f"; distilled with {style.loss_name(losses.pop())}" if len(losses) == 1 else ""
    if hidden:
        first += f"; too few patients: {', '.join(hidden)}"
    style.heading(
        figure,
        f"{title}, {dataset_title(dataset)}",
        f"{main_population(table).capitalize()} test set; bars: interval over patients and "
        f"seeds{first}",
    )
    return figure


def _label(attribute: str, group: str) -> str:
    return "All patients" if attribute == EVERYONE else group


def _attributes(panel, groups: Sequence[tuple[str, str]], margin: float) -> None:
    """The attribute's name at the far left of its first group."""
    from matplotlib.transforms import ScaledTranslation

    place = panel.get_yaxis_transform() + ScaledTranslation(
        0.12 - margin, 0, panel.figure.dpi_scale_trans
    )
    seen = set()
    for y, (attribute, _) in enumerate(groups):
        if attribute not in seen and attribute != EVERYONE:
            panel.text(
                0,
                y,
                attribute.capitalize(),
                size=7,
                weight="bold",
                va="center_baseline",
                transform=place,
            )
        seen.add(attribute)


def select_gaps(gaps: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Largest difference between groups of an attribute, for the two most relevant findings, every model."""
    table = native(gaps, dataset)
    table = single_attributes(table)
    table = table[
        (table.kind == "range") & (table.metric == METRIC) & table.finding.isin(SHOWN[:2])
    ]
    table = table[table.population == main_population(table)]
    columns = [
        "dataset",
        "model",
        "loss",
        "population",
        "attribute",
        "finding",
        "metric",
        "a",
        "b",
        "estimate",
        "low",
        "high",
        "expected",
        "corrected",
        "p",
    ]
    return table[columns].reset_index(drop=True)


def draw_gaps(table: pd.DataFrame, dataset: str) -> Figure:
    """A row of panels a finding, a panel an attribute, a row a model."""
    pairs = models_in(table)
    attributes = list(dict.fromkeys(table.attribute))
    findings = [finding for finding in SHOWN if (table.finding == finding).any()]
    figure, axes = style.panels(
        max(len(findings), 1),
        max(len(attributes), 1),
        (1.5, max(0.9, 0.145 * (len(pairs) + 0.6))),
        margins=(style.label_margin(pairs), 0.2, 1.05, 0.3),
        gaps=(0.2, 0.75),
    )
    colours = [style.COLOURS[model] for model, _ in pairs]
    y = np.arange(len(pairs))
    for row, finding in zip(axes, findings, strict=False):
        for panel, attribute in zip(row, attributes, strict=True):
            mine = table[(table.finding == finding) & (table.attribute == attribute)]
            found = aligned(mine, pairs)
            style.shade_families(panel, pairs)
            panel.scatter(
                found.expected, y, marker="|", s=26, c="#8a9199", linewidths=1.1, zorder=2.5
            )
            style.whiskers(
                panel,
                y,
                found.estimate,
                found.low,
                found.high,
                colours,
                faces=[style.face(model) for model, _ in pairs],
            )
            style.span(panel, mine.estimate, mine.low, mine.high, include=0.0)
            panel.set_title(attribute.capitalize())
            panel.locator_params(axis="x", nbins=4)
            style.rows_of(panel, [""] * len(pairs))
            if found.estimate.isna().all():
                panel.text(
                    0.5,
                    0.5,
                    "suppressed",
                    transform=panel.transAxes,
                    ha="center",
                    size=6.5,
                    color=style.MUTED,
                )
        style.label_models(row[0], pairs)
        row[0].annotate(
            finding,
            (0, 1),
            (0, 19),
            xycoords="axes fraction",
            textcoords="offset points",
            size=8,
            color=style.MUTED,
        )
    style.heading(
        figure,
        f"Gaps between the best and the worst served group, {dataset_title(dataset)}",
        "Difference in AUC-ROC with its interval over patients; grey tick: gap to be expected if "
        "all groups were served alike",
    )
    return figure
