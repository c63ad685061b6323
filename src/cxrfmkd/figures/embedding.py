"""Embeddings as pictures: images as dots in two dimensions, coloured by groups of patients.

The dots are single images and carry no ids; what is saved beside the picture is one line per group.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from scipy import ndimage

from cxrfmkd.figures import style
from cxrfmkd.figures.panels import PanelFigure, blank, handle, text_width, write_left
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.statistics import suppression
from cxrfmkd.tables.selecting import models_in, where
from cxrfmkd.vocabulary.groups import GROUPS
from cxrfmkd.vocabulary.models import MODELS
from cxrfmkd.vocabulary.titles import dataset_title

# Groups of each attribute with their colours; ages, which have an order, go from pale to deep.
COLOURS = {
    attribute: dict(zip(GROUPS[attribute], colours, strict=True))
    for attribute, colours in {
        "disease": (style.BLUE, style.ORANGE, style.AXIS),
        "sex": (style.BLUE, style.ORANGE),
        "race": style.GROUP_COLOURS,
        "age": style.DEPTHS[2:],
    }.items()
}
SPACES = {
    "pca": ("mode_1", "mode_2", "PCA mode 1", "PCA mode 2", "the first PCA modes"),
    "pca-3-4": ("mode_3", "mode_4", "PCA mode 3", "PCA mode 4", "PCA modes 3 and 4"),
    "tsne": ("tsne_1", "tsne_2", "t-SNE 1", "t-SNE 2", "t-SNE"),
}
EDGE_SHARE = 0.24  # share of a panel that the distributions along its two edges take
MOST = 3000
PIXELS = 120
DOT = np.array([[0, 0.6, 0], [0.6, 1, 0.6], [0, 0.6, 0]])  # a dot's pixels


def select_points(
    projection: pd.DataFrame, records: pd.DataFrame, space: str, minimum_cell: int
) -> pd.DataFrame:
    """The main sample's images that have a place in `space`, at most `MOST` of each model.

    records: `image_id` and `patient_id`. Groups of too few patients among these images, and those
    that would tell them, lose their name, and with it their colour (`suppression`).
    """
    x, y, *_ = SPACES[space]
    if x not in projection or y not in projection:
        return projection.iloc[:0]
    table = projection[projection["sample"].astype(bool) & projection[[x, y]].notna().all(axis=1)]
    patients = table.image_id.map(records.set_index("image_id").patient_id)
    if patients.isna().any():
        raise InputError(
            f"{patients.isna().sum()} of {len(table)} images of projection.parquet are not in the "
            "test split's records. Analyse the bias again."
        )
    samples = []
    for _, images in table.assign(patient_id=patients).groupby(["model", "loss"], sort=False):
        sample = images.iloc[np.random.default_rng(0).permutation(len(images))[:MOST]].copy()
        for attribute in COLOURS.keys() & set(sample):
            patient_counts = sample.groupby(attribute).patient_id.nunique()
            hidden = suppression.suppressed(patient_counts, minimum_cell)
            groups = sample[attribute]
            sample[attribute] = groups.mask(groups.isin(patient_counts.index[hidden]))
        samples.append(sample)
    return pd.concat(samples, ignore_index=True) if samples else table


def summarise_points(points: pd.DataFrame, space: str) -> pd.DataFrame:
    """One row per model, attribute, group and axis: number of images, mean, SD and quartiles."""
    columns = ["model", "loss", "attribute", "group", "axis"]
    numbers = ["images", "mean", "sd", "q25", "median", "q75"]
    rows = []
    for model, images in points.groupby(["model", "loss"], sort=False):
        for attribute in [name for name in COLOURS if name in images]:
            for group, members in images.groupby(attribute):
                for axis in SPACES[space][:2]:
                    x = members[axis]
                    quartiles = x.quantile([0.25, 0.5, 0.75])
                    key = (*model, attribute, group, axis)
                    rows.append((*key, len(x), x.mean(), x.std(), *quartiles))
    return pd.DataFrame(rows, columns=[*columns, *numbers])


def density(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Gaussian kernel density (Scott's bandwidth) of `values` on an even `grid`, shape (n,).

    Through a histogram of the grid's width, so that it takes no longer for more values.
    """
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
    x: np.ndarray,
    y: np.ndarray,
    groups: Sequence[np.ndarray],
    colours: Sequence[str],
    bounds: Sequence[tuple[float, float]],
) -> np.ndarray:
    """The images as an image, float (PIXELS, PIXELS, 4), first row at the bottom.

    groups: bool (n,) each; bounds: of x and of y. Where images of several groups meet, their
    colours mix by number, so that no group hides another; opacity grows with the number of images.
    """
    edges = [np.linspace(*bound, PIXELS + 1) for bound in bounds]
    total, mixed = np.zeros((PIXELS, PIXELS)), np.zeros((PIXELS, PIXELS, 3))
    for group, colour in zip(groups, colours, strict=True):
        counts = np.histogram2d(y[group], x[group], bins=edges[::-1])[0]
        blurred = ndimage.correlate(counts, DOT, mode="constant")
        total += blurred
        mixed += blurred[..., None] * to_rgb(colour)
    image = np.zeros((PIXELS, PIXELS, 4))
    image[..., :3] = mixed / np.maximum(total, 1e-12)[..., None]
    image[..., 3] = 1 - np.exp(-0.8 * total)
    return np.round(image * 15) / 15 * (total > 0)[..., None]


def _draw_points(panel: Axes, table: pd.DataFrame, attribute: str, axes: Sequence[str]) -> None:
    """Dots, and along the lower and the left edge each group's distribution."""
    x, y = (table[axis].to_numpy(float) for axis in axes)
    members = {group: (table[attribute] == group).to_numpy() for group in COLOURS[attribute]}
    members = {group: rows for group, rows in members.items() if rows.sum() > 1}
    colours = [COLOURS[attribute][group] for group in members]
    bounds = limits(x), limits(y)
    image = dots(x, y, list(members.values()), colours, bounds)
    panel.imshow(
        image, extent=(*bounds[0], *bounds[1]), origin="lower", aspect="auto", interpolation="none"
    )
    for values, (start, end), (edge, top), fill in (
        (x, bounds[0], bounds[1], panel.fill_between),
        (y, bounds[1], bounds[0], panel.fill_betweenx),
    ):
        grid, room = np.linspace(start, end, 90), EDGE_SHARE * (top - edge)
        heights = [density(values[rows], grid) for rows in members.values()]
        tallest = np.max(heights, initial=0) or 1.0
        for colour, height in zip(colours, heights, strict=True):
            curve = edge - room + 0.9 * room * height / tallest
            fill(grid, edge - room, curve, color=colour, alpha=0.1, linewidth=0)
            line = (grid, curve) if values is x else (curve, grid)
            panel.plot(*line, color=colour, linewidth=0.9)
    (left, right), (bottom, top) = bounds
    panel.set_xlim(left - EDGE_SHARE * (right - left), right)
    panel.set_ylim(bottom - EDGE_SHARE * (top - bottom), top)
    panel.set(xticks=[], yticks=[])
    panel.grid(False)
    panel.spines["bottom"].set_visible(False)


def _add_group_legend(panel: Axes, attribute: str, table: pd.DataFrame) -> None:
    """The groups between a column's title and its first panel."""
    handles = [
        handle(style.short_group(group), color=colour, linestyle="none", markersize=3.5)
        for group, colour in COLOURS[attribute].items()
        if (table[attribute] == group).any()
    ]
    tight = {"handletextpad": 0.05, "columnspacing": 0.6, "handlelength": 1.0, "borderpad": 0}
    panel.legend(
        handles=handles, ncols=3, fontsize=6.3, loc="lower left", bbox_to_anchor=(0, 1.01), **tight
    )
    panel.set_title(attribute.capitalize(), pad=16)


def draw_embedding(table: pd.DataFrame, dataset: str, space: str) -> Figure:
    """A row a model, a column an attribute of which at least two groups are known."""
    *axes, x_name, y_name, what = SPACES[space]
    models = models_in(table)
    attributes = [name for name in COLOURS if name in table and table[name].nunique() > 1]
    if not attributes:
        return blank(dataset)
    figure = PanelFigure(len(models) * len(attributes), len(attributes), (1.42, 1.42))
    titles = {
        (model, loss): MODELS[model].title.replace("-Direct-", "-\nDirect-")
        + (f"\n{style.short_loss(loss)}" if loss else "")
        for model, loss in models
    }
    left = 0.07 + text_width("\n".join(titles.values()).split("\n"))
    for row, (model, loss) in zip(figure.panels, models, strict=True):
        for panel, attribute in zip(row, attributes, strict=True):
            _draw_points(panel, where(table, model=model, loss=loss), attribute, axes)
        write_left(row[0], titles[model, loss], 0.5, left, "axes fraction")
    for panel, attribute in zip(figure.panels[0], attributes, strict=True):
        _add_group_legend(panel, attribute, table)
    look = {"color": style.MUTED, "loc": "left", "size": 7}
    figure.panels[-1, 0].set_xlabel(f"→ {x_name}   ↑ {y_name}", **look)
    warning = "; for looking, distances and densities mean little" if space == "tsne" else ""
    return figure.finish(
        f"Embeddings of {dataset_title(dataset)} in {what}",
        "Each dot an image of the main sample, colours mixed where images meet; curves along the "
        f"edges: distribution of each group{warning}",
    )
