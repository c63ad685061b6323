"""Embeddings as pictures: where the groups of patients lie in two dimensions.

A dot for every image would be row-level data: the same dot in the panels of sex, race and age tells
all three of one patient. Drawn are densities of groups, smoothed until no part of them rests on few
patients; the images' own places stay in the dataset's folder (`projection.parquet`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from cxrfmkd.figures import style
from cxrfmkd.figures.panels import PanelFigure, blank, handle, text_width, write_left
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.statistics import suppression
from cxrfmkd.tables.selecting import models_in, where
from cxrfmkd.vocabulary.attributes import PRESETS, Attributes, declarations
from cxrfmkd.vocabulary.models import MODELS
from cxrfmkd.vocabulary.titles import attribute_title, dataset_title

# Groups of each attribute with their colours; ages, which have an order, go from pale to deep.
COLOURS = {
    "disease": (style.BLUE, style.ORANGE, style.AXIS),
    "sex": (style.BLUE, style.ORANGE),
    "race": style.GROUP_COLOURS,
    "age": style.DEPTHS[2:],
}
PALEST = 0.4


def group_colours(attributes: Attributes = PRESETS) -> dict[str, dict[str, str]]:
    """The colour of each group of each pictured attribute; ordered groups go from pale to deep."""
    result = {
        name: dict(zip(attributes[name].groups, colours, strict=False))
        for name, colours in COLOURS.items()
    }
    for one in declarations(attributes):
        ramp = [to_hex(style.DEPTH(x)) for x in np.linspace(PALEST, 1, len(one.groups))]
        colours = ramp if one.edges else style.UNORDERED
        result[one.name] = dict(zip(one.groups, colours, strict=False))
    return result


SPACES = {
    "pca": ("mode_1", "mode_2", "PCA mode 1", "PCA mode 2", "the first PCA modes"),
    "pca-3-4": ("mode_3", "mode_4", "PCA mode 3", "PCA mode 4", "PCA modes 3 and 4"),
    "tsne": ("tsne_1", "tsne_2", "t-SNE 1", "t-SNE 2", "t-SNE"),
}
EDGE_SHARE = 0.24  # share of a panel that the distributions along its two edges take
MOST = 3000
GRID = 48  # points of a density along each axis
INSIDE = (0.5, 0.8)  # shares of a group within its inner and its outer line
DIGITS = 1  # of the numbers beside the picture, beyond the first of the spread of all images


def select_points(
    projection: pd.DataFrame,
    records: pd.DataFrame,
    space: str,
    minimum_cell: int,
    attributes: Attributes = PRESETS,
) -> pd.DataFrame:
    """The main sample's images that have a place in `space`, at most `MOST` of each model.

    records: `image_id` and `patient_id`. Groups of too few patients among these images, and those
    that would tell them, lose their name, and with it their colour (`suppression`). Row-level: what
    leaves the dataset's folder are the densities that are drawn and the numbers of
    `summarise_points`. With a minimum of 0 every group keeps its name.
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
        for attribute in group_colours(attributes).keys() & set(sample):
            patient_counts = sample.groupby(attribute).patient_id.nunique()
            hidden = suppression.suppressed(patient_counts, minimum_cell)
            groups = sample[attribute]
            sample[attribute] = groups.mask(groups.isin(patient_counts.index[hidden]))
        samples.append(sample)
    return pd.concat(samples, ignore_index=True) if samples else table


def summarise_points(
    points: pd.DataFrame, space: str, attributes: Attributes = PRESETS
) -> pd.DataFrame:
    """One row per model, attribute, group and axis: number of images, mean, SD and quartiles.

    Rounded to a few hundredths of the axis's SD, since a quartile can be a single
    image's place.
    """
    columns = ["model", "loss", "attribute", "group", "axis"]
    numbers = ["images", "mean", "sd", "q25", "median", "q75"]
    rows = []
    for model, images in points.groupby(["model", "loss"], sort=False):
        for attribute in [name for name in group_colours(attributes) if name in images]:
            for group, members in images.groupby(attribute):
                for axis in SPACES[space][:2]:
                    x = members[axis]
                    decimals = DIGITS - int(np.floor(np.log10(images[axis].std() or 1.0)))
                    values = np.array([x.mean(), x.std(), *x.quantile([0.25, 0.5, 0.75])])
                    key = (*model, attribute, group, axis)
                    rows.append((*key, len(x), *values.round(decimals)))
    return pd.DataFrame(rows, columns=[*columns, *numbers])


def widths(places: np.ndarray, patients: np.ndarray, fewest: int) -> np.ndarray:
    """SD of each image's kernel: Scott's, or as wide as to reach `fewest` patients; shape (n,).

    places: shape (n, d), in SDs of the whole sample; patients: shape (n,), codes 0, 1, ... An image
    that lies alone is spread until its kernel covers as many patients as a shown group has, so that
    no bump of a density is one patient's (a sample-point estimator; Breiman, Meisel and Purcell
    1977).
    """
    from scipy.spatial.distance import cdist  # a second that every other figure can do without

    people = patients.max() + 1
    scott = places.std(axis=0).mean() * people ** (-1 / (places.shape[1] + 4))
    order = np.argsort(patients, kind="stable")
    starts = np.searchsorted(patients[order], np.arange(people))
    to_patients = np.minimum.reduceat(cdist(places, places[order]), starts, axis=1)
    last = min(fewest, people) - 1
    nearest = np.partition(to_patients, last, axis=1)[:, last]
    return np.maximum(nearest, scott)


def density(
    places: np.ndarray, patients: np.ndarray, grids: Sequence[np.ndarray], fewest: int
) -> np.ndarray:
    """Density of one group on a grid, shape of the grids, the first axis last; every patient alike.

    places: shape (n, d); grids: d axes, in the units of `places`; patients, fewest: as in `widths`.
    """
    codes = pd.factorize(patients)[0]
    sd = widths(places, codes, fewest)
    share = 1 / np.bincount(codes)[codes] / (codes.max() + 1)
    kernels = [
        np.exp(-0.5 * ((grid[None] - x[:, None]) / sd[:, None]) ** 2)
        / (sd[:, None] * np.sqrt(2 * np.pi))
        for x, grid in zip(places.T, grids, strict=True)
    ]
    if len(kernels) == 1:
        return share @ kernels[0]
    return (share[:, None] * kernels[1]).T @ kernels[0]


def levels(heights: np.ndarray) -> list[float]:
    """The heights above which the shares `INSIDE` of a density on an even grid lie, rising."""
    ranked = np.sort(heights.ravel())[::-1]
    inside = np.cumsum(ranked) / max(ranked.sum(), 1e-300)
    found = [float(ranked[np.searchsorted(inside, share)]) for share in INSIDE[::-1]]
    return found if found[0] < found[1] else found[:1]


def _draw_densities(
    panel: Axes,
    table: pd.DataFrame,
    attribute: str,
    colours: Mapping[str, str],
    axes: Sequence[str],
    fewest: int,
) -> None:
    """Lines around each group, and along the lower and the left edge its distributions."""
    places = table[list(axes)].to_numpy(float)
    places = (places - places.mean(axis=0)) / np.where(places.std(axis=0) > 0, places.std(0), 1)
    span = 3.2
    grid = np.linspace(-span, span, GRID)
    low = -span - EDGE_SHARE * 2 * span
    edges: list[list[tuple[str, np.ndarray]]] = [[], []]
    for group, colour in colours.items():
        rows = (table[attribute] == group).to_numpy()
        if not rows.any():
            continue
        people = table.patient_id.to_numpy()[rows]
        plane = density(places[rows], people, (grid, grid), fewest)
        panel.contour(grid, grid, plane, levels(plane), colors=[colour], linewidths=(0.7, 1.3))
        for axis in range(2):
            along = density(places[rows][:, [axis]], people, (grid,), fewest)
            edges[axis].append((colour, along))
    for axis, curves in enumerate(edges):
        tallest = max((along.max() for _, along in curves), default=1.0)
        for colour, along in curves:
            curve = low + 0.9 * EDGE_SHARE * 2 * span * along / tallest
            line = (curve, grid) if axis else (grid, curve)
            panel.plot(*line, color=colour, linewidth=0.9)
    panel.set(xlim=(low, span), ylim=(low, span))


def _add_group_legend(
    panel: Axes, attribute: str, colours: Mapping[str, str], table: pd.DataFrame
) -> None:
    """The groups between a column's title and its first panel."""
    handles = [
        handle(style.short_group(group), color=colour, linestyle="none", markersize=3.5)
        for group, colour in colours.items()
        if (table[attribute] == group).any()
    ]
    tight = {"handletextpad": 0.05, "columnspacing": 0.6, "handlelength": 1.0, "borderpad": 0}
    panel.legend(
        handles=handles, ncols=3, fontsize=6.3, loc="lower left", bbox_to_anchor=(0, 1.01), **tight
    )
    panel.set_title(attribute_title(attribute), pad=16 + 9 * ((len(handles) - 1) // 3))


def draw_embedding(
    table: pd.DataFrame,
    dataset: str,
    space: str,
    minimum_cell: int = 10,
    attributes: Attributes = PRESETS,
) -> Figure:
    """Densities: a row a model, a column an attribute of which at least two groups are known."""
    axes = SPACES[space][:2]

    def draw(panel: Axes, images: pd.DataFrame, attribute: str, colours: dict[str, str]) -> None:
        _draw_densities(panel, images, attribute, colours, axes, minimum_cell)

    return _grid(
        table,
        dataset,
        space,
        attributes,
        draw,
        "Lines hold half and 80 % of each group of the main sample; along the edges: its "
        f"distribution; smoothed over {minimum_cell} patients at least",
    )


def draw_points(
    table: pd.DataFrame, dataset: str, space: str, attributes: Attributes = PRESETS
) -> Figure:
    """Row-level: a dot an image, in the same panels; for the dataset's folder alone."""
    x, y, *_ = SPACES[space]

    def draw(panel: Axes, images: pd.DataFrame, attribute: str, colours: dict[str, str]) -> None:
        known = images[images[attribute].isin(list(colours))]
        colour = known[attribute].map(colours).astype(object)
        panel.scatter(known[x], known[y], s=3, c=colour, linewidths=0, alpha=0.6)

    about = "A dot an image of the main sample: row-level data, not to be shared"
    return _grid(table, dataset, space, attributes, draw, about)


def _grid(
    table: pd.DataFrame,
    dataset: str,
    space: str,
    attributes: Attributes,
    draw: Callable[[Axes, pd.DataFrame, str, dict[str, str]], None],
    about: str,
) -> Figure:
    """A panel for each model and attribute, filled by `draw(panel, images, attribute, colours)`."""
    *_, x_name, y_name, what = SPACES[space]
    models = models_in(table)
    colours = group_colours(attributes)
    shown = [name for name in colours if name in table and table[name].nunique() > 1]
    if not shown:
        return blank(dataset)
    figure = PanelFigure(len(models) * len(shown), len(shown), (1.42, 1.42))
    titles = {
        (model, loss): MODELS[model].title.replace("-Direct-", "-\nDirect-")
        + (f"\n{style.short_loss(loss)}" if loss else "")
        for model, loss in models
    }
    left = 0.07 + text_width("\n".join(titles.values()).split("\n"))
    for row, (model, loss) in zip(figure.panels, models, strict=True):
        for panel, attribute in zip(row, shown, strict=True):
            draw(panel, where(table, model=model, loss=loss), attribute, colours[attribute])
            panel.set(xticks=[], yticks=[])
            panel.grid(False)
            panel.spines["bottom"].set_visible(False)
        write_left(row[0], titles[model, loss], 0.5, left, "axes fraction")
    for panel, attribute in zip(figure.panels[0], shown, strict=True):
        _add_group_legend(panel, attribute, colours[attribute], table)
    look = {"color": style.MUTED, "loc": "left", "size": 7}
    figure.panels[-1, 0].set_xlabel(f"→ {x_name}   ↑ {y_name}", **look)
    warning = "; for looking, distances and densities mean little" if space == "tsne" else ""
    return figure.finish(f"Embeddings of {dataset_title(dataset)} in {what}", about + warning)
