"""What balancing the test set did: shares of race, disease and age before and after."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cxrfmkd.figures import style
from cxrfmkd.vocabulary.titles import dataset_title

RACES = ("White", "Asian", "Black")
DISEASES = ("Pleural Effusion", "No Finding", "Other")
AGES = ("to 20", "21–30", "31–40", "41–50", "51–60", "61–70", "71–80", "over 80")
COLUMNS = ["attribute", "race", "level", "patients", "images", "before", "after"]


def select(records: pd.DataFrame, weights: pd.DataFrame, minimum_cell: int) -> pd.DataFrame:
    """Shares of images before and after balancing, by race, by disease within race, by age within
    race.

    records: the test split; weights: `image_id` and `weight`. Race "All" is the whole test set. The
    shares of a group with fewer than `minimum_cell` patients are blank, and those of the next
    smallest where it would otherwise follow from the rest.
    """
    table = records.merge(weights, on="image_id", validate="one_to_one")
    table["age_bin"] = pd.to_numeric(table.age_bin)
    parts = [_shares(table, "race", "All", table.race, RACES, minimum_cell)]
    for race in ("All", *RACES):
        part = table if race == "All" else table[table.race == race]
        parts.append(_shares(part, "disease", race, part.disease, DISEASES, minimum_cell))
        names = part.age_bin.map(dict(enumerate(AGES)))
        parts.append(_shares(part, "age", race, names, AGES, minimum_cell))
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def _shares(
    table, attribute: str, race: str, values: pd.Series, levels, minimum_cell: int
) -> pd.DataFrame:
    """One row a level: its share of images, and of weight, among the images where the attribute is known."""
    known = table[values.notna()].assign(level=values.dropna())
    grouped = known.groupby("level")
    found = pd.DataFrame(
        {
            "patients": grouped.patient_id.nunique(),
            "images": grouped.size(),
            "before": grouped.size() / max(len(known), 1),
            "after": grouped.weight.sum() / known.weight.sum(),
        }
    ).reindex(levels)
    found = found.fillna(0)
    small = found.patients.between(1, minimum_cell - 1)
    if small.sum() == 1 and (rest := found.patients[~small & (found.patients > 0)]).size:
        small[rest.idxmin()] = True
    few = 0 < known.patient_id.nunique() < minimum_cell
    found[small | few] = np.nan
    return found.rename_axis("level").reset_index().assign(attribute=attribute, race=race)


def _dumbbells(panel: Axes, rows: pd.DataFrame, labels: list[str], colours: list[str]) -> None:
    """From a hollow dot before to a filled one after, one row a group."""
    for y, (row, colour) in enumerate(zip(rows.itertuples(), colours, strict=True)):
        if np.isnan(row.before):
            panel.annotate(
                "suppressed",
                (0.02, y),
                xycoords=("axes fraction", "data"),
                size=6,
                va="center_baseline",
                color=style.MUTED,
            )
            continue
        panel.plot([row.before, row.after], [y, y], color=colour, linewidth=1.4, zorder=2)
        panel.scatter(
            [row.before], [y], s=22, c=style.PAPER, edgecolors=colour, linewidths=1.1, zorder=3
        )
        panel.scatter([row.after], [y], s=22, c=colour, edgecolors=colour, linewidths=1.1, zorder=3)
    style.rows_of(panel, labels)
    panel.set_xlim(0, 1.1 * _highest(rows))
    panel.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    panel.locator_params(axis="x", nbins=4)


def _highest(rows: pd.DataFrame) -> float:
    """The largest share to be drawn; 1 where all are suppressed or 0."""
    shares = rows[["before", "after"]].to_numpy(float)
    return np.nanmax(shares, initial=0) or 1.0


def draw(table: pd.DataFrame, dataset: str, method: str) -> Figure:
    """Above: race, and each disease within race; below: the age distribution of each race."""
    colours = list(style.GROUP_COLOURS[: len(RACES)])
    figure, axes = style.panels(2, 4, (1.5, 0.85), margins=(0.6, 0.2, 0.85, 0.58), gaps=(0.3, 0.72))
    _dumbbells(axes[0, 0], table[table.attribute == "race"], list(RACES), colours)
    axes[0, 0].set_title("Share of the images")
    for panel, kind in zip(axes[0, 1:], DISEASES, strict=True):
        rows = table[(table.attribute == "disease") & (table.level == kind)].set_index("race")
        _dumbbells(panel, rows.loc[list(RACES)], [""] * len(RACES), colours)
        panel.set_title(f"{kind}, within race")
    top = _highest(table[table.attribute == "age"])
    for panel, race, colour in zip(axes[1], (*RACES, "All"), [*colours, style.INK], strict=True):
        rows = table[(table.attribute == "age") & (table.race == race)]
        x = np.arange(len(rows))
        panel.plot(
            x,
            rows.before,
            color=colour,
            linewidth=1,
            linestyle=(0, (3, 1.5)),
            marker="o",
            markersize=3,
            markerfacecolor=style.PAPER,
        )
        panel.plot(x, rows.after, color=colour, linewidth=1.3, marker="o", markersize=3)
        panel.set_title(f"Age, {race}" if race != "All" else "Age, whole test set")
        panel.grid(True, axis="y")
        panel.grid(False, axis="x")
        panel.set(xlim=(-0.4, len(rows) - 0.6), ylim=(0, top * 1.08))
        panel.set_xticks(x, rows.level, rotation=45, ha="right", rotation_mode="anchor")
        panel.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        panel.tick_params(labelleft=panel is axes[1, 0], labelcolor=style.MUTED)
    handles = [
        Line2D(
            [],
            [],
            color=style.MUTED,
            marker="o",
            markersize=4,
            linestyle=dash,
            markerfacecolor=fill,
            label=label,
        )
        for dash, fill, label in (
            ((0, (3, 1.5)), style.PAPER, "before"),
            ("-", style.MUTED, "after"),
        )
    ]
    height = figure.get_size_inches()[1]
    width = figure.get_size_inches()[0]
    figure.legend(
        handles=handles,
        loc="upper right",
        ncols=2,
        bbox_to_anchor=(1 - 0.2 / width, 1 - 0.16 / height),
    )
    style.heading(
        figure,
        f"Balancing the test set of {dataset_title(dataset)}",
        "Shares of race, of disease within race and of age within race; method: "
        f"{METHODS.get(method, method)}",
    )
    return figure


METHODS = {
    "draws": "nested weighted draws with replacement, kept as counts",
    "weights": "exact weights",
    "none": "none",
}
