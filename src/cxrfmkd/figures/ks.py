"""Kolmogorov-Smirnov distances between groups of patients along each PCA mode, as one map of all models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.tables.selecting import models_in
from cxrfmkd.vocabulary.titles import dataset_title

# Pale to deep blue: lightness alone carries the order, so the map survives grey print and any
# colour vision.
DEPTH = LinearSegmentedColormap.from_list(
    "depth", ["#f3f6fa", "#c3d8ee", "#7fb0dd", "#2f78c4", "#083a80"]
)
STARS = {"TRUE": "*", "TRUE+": "**"}
CELL, TALL = 0.3, 0.16  # inches of one cell
COLUMNS = [
    "dataset",
    "model",
    "loss",
    "mode",
    "attribute",
    "a",
    "b",
    "n_a",
    "n_b",
    "d",
    "p_adjusted",
    "band",
]


def select(ks: pd.DataFrame, dataset: str, sample: str = "main") -> pd.DataFrame:
    """One row per model, comparison and mode, mean over seeds; the band is the most frequent, of equal ones the lower."""
    table = ks[(ks.dataset == dataset) & (ks["sample"] == sample)]
    keys = ["dataset", "model", "loss", "mode", "attribute", "a", "b"]
    grouped = table.groupby(keys, sort=False, dropna=False)
    found = grouped[["n_a", "n_b", "d", "p_adjusted"]].mean()
    found["band"] = grouped.band.agg(_usual)
    return found.reset_index()[COLUMNS]


def _usual(bands: pd.Series) -> str:
    counts = bands.dropna().map(str).map(str.upper).value_counts()
    order = [band for band in ("FALSE", "TRUE", "TRUE+") if band in counts]
    return max(order, key=lambda band: counts[band]) if order else ""


def _block(
    panel: Axes,
    rows: pd.DataFrame,
    pairs: Sequence[tuple[str, str]],
    modes: Sequence[int],
    scale: Normalize,
) -> None:
    """One comparison: a row a model, a column a mode."""
    index = pd.MultiIndex.from_tuples(pairs, names=["model", "loss"])
    distance = rows.pivot_table(index=["model", "loss"], columns="mode", values="d", dropna=False)
    distance = distance.reindex(index=index, columns=modes).to_numpy(float)
    bands = rows.set_index(["model", "loss", "mode"]).band.to_dict()
    edges = np.arange(len(modes) + 1) - 0.5, np.arange(len(pairs) + 1) - 0.5
    panel.pcolormesh(
        *edges,
        np.ma.masked_invalid(distance),
        cmap=DEPTH,
        norm=scale,
        edgecolors=style.PAPER,
        linewidth=0.8,
    )
    for (y, x), value in np.ndenumerate(distance):
        if np.isnan(value):
            panel.text(x, y, "–", ha="center", va="center_baseline", size=6, color=style.MUTED)
            continue
        stars = STARS.get(bands.get((*pairs[y], modes[x]), ""), "")
        ink = "#fefefe" if scale(value) > 0.62 else "#15181c"
        panel.text(
            x - 0.06 * len(stars),
            y,
            f"{value:.2f}".lstrip("0"),
            ha="center",
            va="center_baseline",
            size=5.8,
            weight="bold" if stars else "normal",
            color=ink,
        )
        panel.text(x + 0.24, y - 0.06, stars, va="center_baseline", size=5, color=ink)
    style.rows_of(panel, [""] * len(pairs), top=0.5)
    panel.set_xlim(-0.5, len(modes) - 0.5)
    panel.grid(False)
    panel.spines["bottom"].set_visible(False)
    panel.set_xticks(range(len(modes)), [str(mode) for mode in modes])
    panel.tick_params(axis="x", length=0)


def draw(table: pd.DataFrame, dataset: str) -> Figure:
    """A block a comparison; stars by the adjusted p-value's band. The thesis's comparisons come first, others below."""
    pairs = models_in(table)
    modes = sorted(table["mode"].unique())
    kinds = list(dict.fromkeys(zip(table.attribute, table.a, table.b, strict=True)))
    thesis = [kind for kind in kinds if kind[0] in ("disease", "race", "sex")]
    rows = [row for row in (thesis, [kind for kind in kinds if kind not in thesis]) if row]
    columns = max(len(row) for row in rows)
    figure, axes = style.panels(
        len(rows),
        columns,
        (CELL * len(modes), TALL * len(pairs)),
        margins=(style.label_margin(pairs), 0.15, 1.05, 0.42),
        gaps=(0.12, 0.7),
    )
    top = np.nanmax([0.1, *table.d.to_numpy(float)])
    scale = Normalize(0, top)
    for line, row in zip(axes, rows, strict=True):
        for panel, (attribute, a, b) in zip(line, row, strict=False):
            chosen = table[(table.attribute == attribute) & (table.a == a) & (table.b == b)]
            _block(panel, chosen, pairs, modes, scale)
            panel.set_title(
                f"{SHORT.get(a, a)} vs\n{SHORT.get(b, b)}", fontsize=7.5, linespacing=1.25
            )
        for panel in line[len(row) :]:
            panel.remove()
        style.label_models(line[0], pairs, top=0.5)
    axes[-1, 0].set_xlabel("PCA mode", color=style.MUTED, loc="left")
    style.heading(
        figure,
        f"Distances between groups in the embeddings of {dataset_title(dataset)}",
        "Kolmogorov-Smirnov D of the main sample; * adjusted p < 0.05, ** < 0.001 "
        "(Benjamini-Yekutieli within each model); –: too few images",
        right=1.6,
    )
    _key(figure, scale)
    return figure


SHORT = {"Pleural Effusion": "Effusion"}


def _key(figure: Figure, scale: Normalize) -> None:
    """A small bar that says which colour is which distance."""
    width, height = figure.get_size_inches()
    bar = figure.add_axes(((width - 1.35) / width, 1 - 0.3 / height, 1.2 / width, 0.09 / height))
    bar.pcolormesh(
        np.linspace(0, scale.vmax, 41),
        [0, 1],
        np.linspace(0, scale.vmax, 40)[None],
        cmap=DEPTH,
        norm=scale,
        edgecolors="face",
    )
    bar.set(yticks=[], title="")
    bar.grid(False)
    bar.spines["bottom"].set_visible(False)
    bar.set_xticks([0, scale.vmax], ["D = 0", f"{scale.vmax:.2f}"], size=6)
    bar.tick_params(axis="x", length=0, pad=1)
