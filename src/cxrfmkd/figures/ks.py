"""Kolmogorov-Smirnov distances between groups of patients along each PCA mode, as maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from cxrfmkd.bias.grouping import EXTRA, THESIS
from cxrfmkd.figures import style
from cxrfmkd.figures.panels import Models, PanelFigure, label_models
from cxrfmkd.tables.selecting import aligned, models_in, where
from cxrfmkd.vocabulary.attributes import PRESETS
from cxrfmkd.vocabulary.titles import attribute_title, dataset_title

BANDS = {"FALSE": "", "TRUE": "*", "TRUE+": "**"}  # bands of p-values, and their stars
CELL, TALL = 0.3, 0.16  # inches of one cell
# Attributes whose comparisons stand in one line: the thesis's, and age and view; others by name.
FAMILIES = dict.fromkeys(THESIS, "thesis") | dict.fromkeys(EXTRA, "extra")
MOST_IN_LINE = 6
KEYS = ["dataset", "model", "loss", "mode", "attribute", "a", "b"]
NUMBERS = ["n_a", "n_b", "d", "p_adjusted"]


def select_ks(ks: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """One row per model, comparison and mode of the main sample, mean over seeds.

    The band is the most frequent; ties: the lower.
    """
    grouped = where(ks, dataset=dataset, sample="main").groupby(KEYS, sort=False, dropna=False)
    return grouped[NUMBERS].mean().assign(band=grouped.band.agg(_most_frequent_band)).reset_index()


def _most_frequent_band(bands: pd.Series) -> str:
    counts = bands.dropna().map(str).map(str.upper).value_counts()
    return max((band for band in BANDS if band in counts), key=counts.get, default="")


def _write_cell(panel: Axes, x: int, y: int, distance: float, stars: str, dark: bool) -> None:
    look: style.Look = {"ha": "center", "va": "center_baseline"}
    if np.isnan(distance):
        panel.text(x, y, "–", size=6, color=style.MUTED, **look)
        return
    look |= {"color": style.ON_DARK if dark else style.ON_PALE}
    look |= {"weight": "bold" if stars else "normal", "size": 5.8}
    panel.text(x - 0.06 * len(stars), y, f"{distance:.2f}".lstrip("0"), **look)
    panel.text(x + 0.24, y - 0.06, stars, **look | {"ha": "left", "weight": "normal", "size": 5})


def _draw_map(
    panel: Axes, rows: pd.DataFrame, models: Models, modes: Sequence[int], scale: Normalize
) -> None:
    """One comparison: a row a model, a column a mode."""
    columns = [aligned(where(rows, mode=mode), models) for mode in modes]
    distances = np.column_stack([column.d.to_numpy(float) for column in columns])
    edges = [np.arange(size + 1) - 0.5 for size in (len(modes), len(models))]
    look: style.Look = {"edgecolors": style.PAPER, "linewidth": 0.8}
    panel.pcolormesh(*edges, np.ma.masked_invalid(distances), cmap=style.DEPTH, norm=scale, **look)
    for x, column in enumerate(columns):
        for y, (distance, band) in enumerate(zip(column.d, column.band, strict=True)):
            dark = scale(distance) > 0.62
            _write_cell(panel, x, y, distance, BANDS.get(band, ""), dark)
    panel.set_xlim(-0.5, len(modes) - 0.5)
    panel.grid(False)
    panel.spines["bottom"].set_visible(False)
    panel.set_xticks(range(len(modes)), [str(mode) for mode in modes])
    panel.tick_params(axis="x", length=0)


def draw_ks(table: pd.DataFrame, dataset: str) -> Figure:
    """A map a comparison; stars by the adjusted p-value's band. The thesis's comparisons above."""
    models, modes = models_in(table), sorted(table["mode"].unique())
    comparisons = list(dict.fromkeys(zip(table.attribute, table.a, table.b, strict=True)))
    families: dict[str, list] = {}
    for comparison in comparisons:
        families.setdefault(FAMILIES.get(comparison[0], comparison[0]), []).append(comparison)
    lines = [
        family[start : start + MOST_IN_LINE]
        for family in families.values()
        for start in range(0, len(family), MOST_IN_LINE)
    ]
    columns = max(map(len, lines))
    size = (CELL * len(modes), TALL * len(models))
    figure = PanelFigure(len(lines) * columns, columns, size, sharey=True)
    scale = Normalize(0, np.nanmax([0.1, *table.d]))
    for panels, line in zip(figure.panels, lines, strict=True):
        for panel, (attribute, a, b) in zip(panels, line, strict=False):
            rows = where(table, attribute=attribute, a=a, b=b)
            _draw_map(panel, rows, models, modes, scale)
            named = "" if attribute in PRESETS else f"{attribute_title(attribute)}: "
            title = f"{named}{style.short_group(a)} vs\n{style.short_group(b)}"
            panel.set_title(title, fontsize=7.5, linespacing=1.25)
        for panel in panels[len(line) :]:
            panel.remove()
        label_models(panels[0], models, top=0.5)
    figure.panels[-1, 0].set_xlabel("PCA mode", color=style.MUTED, loc="left")
    key = figure.colorbar(
        ScalarMappable(scale, style.DEPTH),
        ax=list(figure.panels[:, 0]),
        location="bottom",
        shrink=1.0,
        aspect=14,
        label="Distance D",
        ticks=[0, scale.vmax],
    )
    key.outline.set_visible(False)
    key.ax.set_xticklabels(["0", f"{scale.vmax:.2f}"])
    return figure.finish(
        f"Distances between groups in the embeddings of {dataset_title(dataset)}",
        "Kolmogorov-Smirnov D of the main sample; * adjusted p < 0.05, ** < 0.001 "
        "(Benjamini-Yekutieli within each model); –: too few patients",
    )
