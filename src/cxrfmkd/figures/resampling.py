"""What balancing the test set did: shares of race, disease and age before and after."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from cxrfmkd.datasets.disclosure import Disclosure
from cxrfmkd.datasets.groups import groups_of
from cxrfmkd.figures import style
from cxrfmkd.figures.panels import PanelFigure, handle, label_rows, note
from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.tables.selecting import where
from cxrfmkd.vocabulary.attributes import PRESETS, Attribute
from cxrfmkd.vocabulary.groups import AGE_BINS
from cxrfmkd.vocabulary.titles import attribute_words, dataset_title

ROOM = 4  # letters that a title has room for beside the longest class
NUMBERS = ["patients", "images", "before", "after"]
RACE = PRESETS["race"]
PERCENT = PercentFormatter(1, decimals=0, symbol=" %")
METHODS = {
    "draws": "nested weighted draws with replacement, kept as counts",
    "weights": "exact weights",
    "none": "none",
}


def select_resampling(
    records: pd.DataFrame,
    weights: pd.DataFrame,
    disclosed: Disclosure,
    by: Attribute = RACE,
    findings: Findings = THESIS,
) -> pd.DataFrame:
    """Shares of images before and after balancing, by race, by disease and by age within race.

    records: the test split; weights: `image_id` and `weight`. Race "All" is the whole test set.
    disclosed: which counts no table shows; numbers of these are blank. by: the attribute that has
    equal shares, if not race; ages within its groups, which no other table has, are left out.
    """
    images = records.merge(weights, on="image_id", validate="one_to_one")
    images[by.name] = groups_of(images, by)
    images["age"] = pd.to_numeric(images.age_bin).map(dict(enumerate(AGE_BINS)))
    diseases = findings.groups_of_disease
    parts = [_shares(images, by.name, by.groups).assign(within="All")]
    for group in ("All", *by.groups):
        members = images if group == "All" else images[images[by.name] == group]
        parts.append(_shares(members, "disease", diseases).assign(within=group))
        if group == "All" or by.name == "race":
            parts.append(_shares(members, "age", AGE_BINS).assign(within=group))
    table = pd.concat(parts, ignore_index=True)
    hidden = []
    for attribute, level, group in zip(table.attribute, table.level, table.within, strict=True):
        within = {} if group == "All" else {by.name: group}
        levels = {"age_bin" if attribute == "age" else attribute: level} | within
        hidden.append(disclosed.hides(levels) or (bool(within) and disclosed.hides(within)))
    table.loc[hidden, NUMBERS] = np.nan
    return table.rename(columns={"within": by.name})[["attribute", by.name, "level", *NUMBERS]]


def _shares(images: pd.DataFrame, attribute: str, levels: Sequence[str]) -> pd.DataFrame:
    """One row a level: its share of images, and of weight, where the attribute is known."""
    images = images[images[attribute].notna()]
    grouped = images.groupby(attribute)
    table = pd.DataFrame(
        {
            "patients": grouped.patient_id.nunique(),
            "images": grouped.size(),
            "before": grouped.size() / max(len(images), 1),
            "after": grouped.weight.sum() / images.weight.sum(),
        }
    )
    table = table.reindex(levels).fillna(0).rename_axis("level").reset_index()
    return table.assign(attribute=attribute)


def _highest(rows: pd.DataFrame) -> float:
    """The largest share to be drawn; 1 where all are suppressed or 0."""
    return np.nanmax(rows[["before", "after"]].to_numpy(float), initial=0) or 1.0


def _draw_dumbbells(panel: Axes, rows: pd.DataFrame, labels: Sequence[str]) -> None:
    """From a grey tick before to a dot after, one row a group."""
    for y, (row, colour) in enumerate(zip(rows.itertuples(), cycle(style.UNORDERED), strict=False)):
        if np.isnan(row.before):
            note(panel, y, "suppressed")
            continue
        panel.plot([row.before, row.after], [y, y], color=colour, linewidth=1.4, zorder=2)
        panel.scatter(row.before, y, marker="|", s=34, c=style.AXIS, linewidths=1.3, zorder=3)
        panel.scatter(row.after, y, s=22, c=colour, linewidths=0, zorder=3)
    label_rows(panel, labels)
    panel.set_xlim(0, 1.1 * _highest(rows))
    panel.xaxis.set_major_formatter(PERCENT)
    panel.locator_params(axis="x", nbins=4)


def _draw_ages(panel: Axes, rows: pd.DataFrame, colour: str, top: float) -> None:
    """Distributions of age before (grey, dashed) and after; where all is hidden, that it is."""
    x = np.arange(len(rows))
    if rows[["before", "after"]].isna().all(axis=None):
        look: style.Look = {"size": 6.2, "color": style.MUTED, "ha": "center", "va": "center"}
        panel.text(0.5, 0.5, "suppressed", transform=panel.transAxes, **look)
    panel.plot(x, rows.before, lw=1, ls=style.DASHED, color=style.AXIS)
    panel.plot(x, rows.after, lw=1.3, color=colour, marker="o", markersize=3)
    panel.grid(True, axis="y")
    panel.grid(False, axis="x")
    panel.set(xlim=(-0.4, len(x) - 0.6), ylim=(0, top * 1.08))
    ages = [style.short_group(level) for level in rows.level]
    panel.set_xticks(x, ages, rotation=45, ha="right", rotation_mode="anchor")
    panel.yaxis.set_major_formatter(PERCENT)


def draw_resampling(table: pd.DataFrame, dataset: str, method: str, by: Attribute = RACE) -> Figure:
    """Above: race, and each disease within race; below: the age distribution of each race.

    by: as in `select_resampling`.
    """
    figure, name = PanelFigure(8, 4, (1.5, 0.85)), attribute_words(by.name)
    above, below = figure.panels
    gap = "\n" if len(name) > ROOM else " "
    _draw_dumbbells(above[0], where(table, attribute=by.name), by.groups)
    above[0].set_title("Share of the images")
    diseases = list(dict.fromkeys(where(table, attribute="disease").level))
    for panel in above[1 + len(diseases) :]:
        panel.set_axis_off()
    for panel, disease in zip(above[1:], diseases, strict=False):  # of more, the first three
        rows = where(table, attribute="disease", level=disease).set_index(by.name)
        _draw_dumbbells(panel, rows.loc[list(by.groups)], [""] * len(by.groups))
        panel.set_title(f"{disease},{gap}within {name}")
    ages = where(table, attribute="age")
    drawn = [group for group in (*by.groups, "All") if (ages[by.name] == group).any()]
    colours = dict(zip(by.groups, cycle(style.UNORDERED), strict=False)) | {"All": style.INK}
    for panel, group in zip(below, drawn, strict=False):
        rows = ages[ages[by.name] == group]
        _draw_ages(panel, rows, colours[group], _highest(ages))
        panel.set_title(f"Age, {group}" if group != "All" else "Age, whole test set")
        panel.tick_params(labelleft=panel is below[0], labelcolor=style.MUTED)
    for panel in below[len(drawn) :]:
        panel.remove()
    before = handle("before", linestyle=style.DASHED, color=style.AXIS, marker="|", markersize=6)
    figure.add_legend([before, handle("after")])
    hidden = bool(ages.before.isna().any())
    return figure.finish(
        f"Balancing the test set of {dataset_title(dataset)}",
        f"Shares of {name}, of disease within {name} and of age"
        f"{' within race' * (by.name == 'race')}; method: {METHODS.get(method, method)}"
        f"{'; ages of too few patients are not shown' * hidden}",
    )
