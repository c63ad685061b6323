"""Embeddings as pictures: images as dots in two dimensions, coloured by what is known of the
patient.

The dots are single images and carry no ids; what is saved beside the picture is one line per group.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cxrfmkd.figures import style
from cxrfmkd.tables.selecting import models_in
from cxrfmkd.vocabulary.models import MODELS
from cxrfmkd.vocabulary.titles import dataset_title

BLUE, ORANGE, GREEN, GREY = "#0a61c5", "#d48f15", "#19874b", "#9aa1a9"
# Groups in drawing order with their colours; ages, which have an order of their own, go from pale
# to deep.
GROUPS = {
    "disease": {"Pleural Effusion": BLUE, "No Finding": ORANGE, "Other": GREY},
    "sex": {"Male": BLUE, "Female": ORANGE},
    "race": {"White": BLUE, "Asian": ORANGE, "Black": GREEN},
    "age": {"up to 50": "#7fb0dd", "51-70": "#2f78c4", "over 70": "#083a80"},
}
SPACES = {
    "pca": ("mode_1", "mode_2", "PCA mode 1", "PCA mode 2"),
    "pca-3-4": ("mode_3", "mode_4", "PCA mode 3", "PCA mode 4"),
    "tsne": ("tsne_1", "tsne_2", "t-SNE 1", "t-SNE 2"),
}
ROOM = 0.24  # share of a panel that the distributions along its two edges take
MOST = 3000
PIXELS = 120
DOT = {(0, 0): 1.0, (0, 1): 0.6, (1, 0): 0.6, (0, -1): 0.6, (-1, 0): 0.6}


def select(points: pd.DataFrame, space: str, minimum_cell: int) -> pd.DataFrame:
    """The main sample's images that have a place in `space`, at most `MOST` of each model.

    Groups with fewer than `minimum_cell` images lose their name, and with it their colour.
    """
    first, second, *_ = SPACES[space]
    if first not in points or second not in points:
        return points.iloc[:0]
    table = points[points["sample"].astype(bool) & points[first].notna() & points[second].notna()]
    kept = []
    for _, part in table.groupby(["model", "loss"], sort=False):
        chosen = part.iloc[np.random.default_rng(0).permutation(len(part))[:MOST]].copy()
        for attribute in [name for name in GROUPS if name in chosen]:
            sizes = chosen[attribute].map(chosen[attribute].value_counts())
            chosen[attribute] = chosen[attribute].where(sizes >= minimum_cell)
        kept.append(chosen)
    return pd.concat(kept, ignore_index=True) if kept else table


def aggregate(table: pd.DataFrame, space: str) -> pd.DataFrame:
    """One row per model, attribute, group and axis: number of images, mean, SD and quartiles."""
    keys = ["model", "loss", "attribute", "group", "axis"]
    rows = []
    for pair, part in table.groupby(["model", "loss"], sort=False):
        for attribute in [name for name in GROUPS if name in part]:
            for group, own in part.groupby(attribute):
                for axis in SPACES[space][:2]:
                    x = own[axis]
                    rows.append(
                        (
                            *pair,
                            attribute,
                            group,
                            axis,
                            len(x),
                            x.mean(),
                            x.std(),
                            *x.quantile([0.25, 0.5, 0.75]),
                        )
                    )
    return pd.DataFrame(rows, columns=[*keys, "images", "mean", "sd", "q25", "median", "q75"])


def density(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Gaussian kernel density (Scott's bandwidth) of `values` on an even `grid`, through a fine histogram."""
    step = grid[1] - grid[0]
    counts, _ = np.histogram(values, bins=np.append(grid - step / 2, grid[-1] + step / 2))
    width = max(np.std(values) * len(values) ** -0.2, step)
    reach = int(np.ceil(4 * width / step))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / width) ** 2)
    smooth = np.convolve(counts, kernel / kernel.sum(), mode="full")[reach : reach + len(grid)]
    return smooth / max(len(values) * step, 1e-300)


def limits(values: np.ndarray) -> tuple[float, float]:
    """From the 0.5th to the 99.5th percentile, a little wider."""
    low, high = np.quantile(values, [0.005, 0.995])
    room = 0.06 * ((high - low) or 1.0)
    return float(low - room), float(high + room)


def dots(
    x: np.ndarray, y: np.ndarray, groups: Sequence[np.ndarray], colours: Sequence[str], bounds
) -> np.ndarray:
    """The images as an image, float (PIXELS, PIXELS, 4), first row at the bottom.

    groups: bool (n,) each. Where images of several groups meet, their colours mix by number, so
    that no group hides another; opacity grows with the number of images.
    """
    edges = [np.linspace(*bound, PIXELS + 1) for bound in bounds]
    total, mixed = np.zeros((PIXELS, PIXELS)), np.zeros((PIXELS, PIXELS, 3))
    for group, colour in zip(groups, colours, strict=True):
        counts = np.histogram2d(y[group], x[group], bins=edges[::-1])[0]
        padded = np.pad(counts, 1)
        spread = sum(
            weight * padded[1 + dy : PIXELS + 1 + dy, 1 + dx : PIXELS + 1 + dx]
            for (dy, dx), weight in DOT.items()
        )
        total += spread
        mixed += spread[..., None] * to_rgb(colour)
    image = np.zeros((PIXELS, PIXELS, 4))
    image[..., :3] = mixed / np.maximum(total, 1e-12)[..., None]
    image[..., 3] = 1 - np.exp(-0.8 * total)
    return np.round(image * 15) / 15 * (total > 0)[..., None]


def _panel(panel: Axes, table: pd.DataFrame, attribute: str, first: str, second: str) -> None:
    """Dots, and along the lower and the left edge each group's distribution."""
    x, y = table[first].to_numpy(float), table[second].to_numpy(float)
    members = {group: (table[attribute] == group).to_numpy() for group in GROUPS[attribute]}
    members = {group: rows for group, rows in members.items() if rows.sum() > 1}
    colours = [GROUPS[attribute][group] for group in members]
    bounds = limits(x), limits(y)
    image = dots(x, y, list(members.values()), colours, bounds)
    panel.imshow(
        image, extent=(*bounds[0], *bounds[1]), origin="lower", aspect="auto", interpolation="none"
    )
    (left, right), (bottom, top) = bounds
    room_x, room_y = ROOM * (right - left), ROOM * (top - bottom)
    grids = [np.linspace(*bound, 90) for bound in bounds]
    along_x = [density(x[rows], grids[0]) for rows in members.values()]
    along_y = [density(y[rows], grids[1]) for rows in members.values()]
    tall_x, tall_y = (
        max((h.max() for h in heights), default=1.0) or 1.0 for heights in (along_x, along_y)
    )
    for colour, over, beside in zip(colours, along_x, along_y, strict=True):
        edge = bottom - room_y + 0.9 * room_y * over / tall_x
        panel.fill_between(grids[0], bottom - room_y, edge, color=colour, alpha=0.1, linewidth=0)
        panel.plot(grids[0], edge, color=colour, linewidth=0.9)
        edge = left - room_x + 0.9 * room_x * beside / tall_y
        panel.fill_betweenx(grids[1], left - room_x, edge, color=colour, alpha=0.1, linewidth=0)
        panel.plot(edge, grids[1], color=colour, linewidth=0.9)
    panel.set(xlim=(left - room_x, right), ylim=(bottom - room_y, top), xticks=[], yticks=[])
    panel.grid(False)
    panel.spines["bottom"].set_visible(False)


def attributes_of(table: pd.DataFrame) -> list[str]:
    """Attributes of which the pictures know at least two groups."""
    return [name for name in GROUPS if name in table and table[name].nunique() > 1]


def draw(table: pd.DataFrame, dataset: str, space: str) -> Figure:
    """A row a model, a column an attribute."""
    first, second, x_name, y_name = SPACES[space]
    pairs = models_in(table)
    attributes = attributes_of(table)
    margin = 0.26 + style.text_width((_name(pair) for pair in pairs), 7)
    figure, axes = style.panels(
        len(pairs),
        len(attributes),
        (1.42, 1.42),
        margins=(margin, 0.12, 1.02, 0.3),
        gaps=(0.1, 0.1),
    )
    for line, pair in zip(axes, pairs, strict=True):
        own = table[(table.model == pair[0]) & (table.loss == pair[1])]
        for panel, attribute in zip(line, attributes, strict=True):
            _panel(panel, own, attribute, first, second)
        line[0].set_ylabel(_name(pair), rotation=0, ha="left", va="center", labelpad=0)
        line[0].yaxis.set_label_coords(-(margin - 0.12) / 1.42, 0.5)
    for panel, attribute in zip(axes[0], attributes, strict=True):
        panel.set_title(attribute.capitalize(), pad=_legend(panel, attribute, table) + 8)
    axes[-1, 0].set_xlabel(f"→ {x_name}   ↑ {y_name}", color=style.MUTED, loc="left", size=7)
    what = (
        "the first PCA modes"
        if space == "pca"
        else "PCA modes 3 and 4"
        if space == "pca-3-4"
        else "t-SNE"
    )
    style.heading(
        figure,
        f"Embeddings of {dataset_title(dataset)} in {what}",
        "Each dot an image of the main sample, colours mixed where images meet; curves along the "
        "edges: distribution of each group"
        + ("; for looking, distances and densities mean little" if space == "tsne" else ""),
    )
    return figure


def _name(pair: tuple[str, str]) -> str:
    model, loss = pair
    return MODELS[model].title.replace("-Direct-", "-\nDirect-") + (
        f"\n{style.loss_name(loss)}" if loss else ""
    )


def _legend(panel: Axes, attribute: str, table: pd.DataFrame) -> float:
    """The groups above a column; returns the points that they take."""
    groups = [group for group in GROUPS[attribute] if (table[attribute] == group).any()]
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker="o",
            markersize=3.5,
            color=GROUPS[attribute][group],
            label=SHORT.get(group, group),
        )
        for group in groups
    ]
    panel.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1.01),
        ncols=3,
        fontsize=6.3,
        handletextpad=0.05,
        columnspacing=0.6,
        handlelength=1.0,
        borderpad=0,
    )
    return 8.0


SHORT: dict[str, str] = {"Pleural Effusion": "Effusion", "51-70": "51–70"}
