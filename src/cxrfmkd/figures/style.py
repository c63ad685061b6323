"""The look of every figure: one style file, one colour per model, one marker per loss.

The colours were searched so that every pair stays apart (CIELAB distance of 18 or more) for normal
sight and for simulated protanopia, deuteranopia and tritanopia, and so that each stands out on
white and on dark paper.
A family shares a hue: the linear probe is its lighter, the full fine-tune its darker colour, and
probes are drawn hollow.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.textpath import text_to_path
from matplotlib.transforms import ScaledTranslation

from cxrfmkd.runtime.files import atomic_write
from cxrfmkd.tables.selecting import losses_of
from cxrfmkd.vocabulary.models import MODELS, loss_title
from cxrfmkd.vocabulary.titles import dataset_title

HERE = Path(__file__).parent
for font in sorted((HERE / "fonts").glob("*.ttf")):
    fontManager.addfont(font)
matplotlib.style.use(HERE / "cxrfmkd.mplstyle")

# Families of equal width for every reader of an SVG, whatever fonts the machine has.
FONTS = "'Liberation Sans', Arial, Helvetica, sans-serif"
INK, MUTED, RULE, BAND, PAPER = "#1f2328", "#59636e", "#e3e6ea", "#eef0f3", "#ffffff"

COLOURS = {
    "cxr-fm-lp": INK,
    "cxr-model-lp": "#7ba786",
    "cxr-model-fft": "#19874b",
    "densenet121-fft": "#9e5d8b",
    "resnet50-fft": "#ab9a4a",
    "cxr-fmkd-lp": "#d48f15",
    "cxr-fmkd-fft": "#ae4301",
    "cxr-fmkd-direct-lp": "#4ba5d7",
    "cxr-fmkd-direct-fft": "#0a61c5",
}
ACCENT, WARNING = COLOURS["cxr-fmkd-direct-fft"], COLOURS["cxr-fmkd-fft"]

# Groups of people and losses are never models: they have colours of their own, in a fixed order.
GROUP_COLOURS = (
    "#0a61c5",
    "#d48f15",
    "#19874b",
    "#9e5d8b",
    "#ae4301",
    "#4ba5d7",
    "#ab9a4a",
    "#59636e",
)

MARKERS = {
    "": "o",
    "mse": "o",
    "mae": "s",
    "huber": "D",
    "cosine": "^",
    "mse-cosine": "v",
    "mse-cosine-learned": "P",
    "mse-cosine-0.5": "<",
    "mse-cosine-0.6": ">",
    "mse-cosine-0.7": "p",
    "mse-cosine-0.8": "h",
    "mse-cosine-0.9": "X",
}

FINDING_TITLES = {"Macro": "Mean of the 14", "Enlarged Cardiomediastinum": "Enlarged Cardiomed."}


def finding_title(name: str) -> str:
    """A finding in the little room that a figure has."""
    return FINDING_TITLES.get(name, name)


def marker(loss: str) -> str:
    """The loss's marker; those that are not in the thesis share a star."""
    return MARKERS.get(loss, "*")


def face(model: str) -> str:
    """The fill of a model's marker: its colour, or paper for a linear probe."""
    return COLOURS[model] if MODELS[model].finetuned else PAPER


def loss_name(loss: str) -> str:
    """A loss in the little room that a figure has."""
    return loss_title(loss).replace(", learned weights", ", learned").replace(" : ", ":")


def names(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Models in words: the loss is left out where the study has but one."""
    several = losses_of(pairs)
    return [
        MODELS[model].title + (f" ({loss_name(loss)})" if loss and several else "")
        for model, loss in pairs
    ]


def label_margin(pairs: Sequence[tuple[str, str]]) -> float:
    """Inches that `label_models` needs to the left of the axes."""
    losses = [loss_name(loss) for loss in losses_of(pairs)]
    room = text_width((MODELS[model].title for model, _ in pairs), 7)
    return 0.12 + room + (0.16 + text_width(losses, 7) if losses else 0) + 0.07


def label_models(axes: Axes, pairs: Sequence[tuple[str, str]], top: float = 0.7) -> None:
    """One row a model: its name once at the left, and every loss beside the axes, as in a table."""
    several = losses_of(pairs)
    rows_of(axes, [loss_name(loss) if loss and several else "" for _, loss in pairs], top=top)
    axes.tick_params(axis="y", labelcolor=MUTED)
    margin = label_margin(pairs)
    for row, (model, _) in enumerate(pairs):
        if not row or model != pairs[row - 1][0]:
            place = ScaledTranslation(0.12 - margin, 0, axes.figure.dpi_scale_trans)
            axes.text(
                0,
                row,
                MODELS[model].title,
                size=7,
                va="center_baseline",
                ha="left",
                transform=axes.get_yaxis_transform() + place,
            )


def shade_families(axes: Axes, pairs: Sequence[tuple[str, str]]) -> None:
    """Shade every other group of rows that share a model, so that the eye can follow them."""
    starts = [i for i, pair in enumerate(pairs) if not i or pair[0] != pairs[i - 1][0]]
    if len(pairs) > len(starts):
        for start, end in list(zip(starts, [*starts[1:], len(pairs)], strict=True))[1::2]:
            axes.axhspan(start - 0.5, end - 0.5, color=BAND, linewidth=0, zorder=0)


def text_width(texts: Iterable[str], size: float = 7.0, weight: str = "normal") -> float:
    """Width in inches of the widest of `texts`, whose lines are broken by newlines."""
    font = FontProperties(family=["Figure Sans"], size=size, weight=weight)
    lines = [line for text in texts for line in str(text).split("\n")]
    widths = [text_to_path.get_text_width_height_descent(line, font, False)[0] for line in lines]
    return max(widths, default=0.0) / 72


def panels(
    rows: int,
    columns: int,
    size: tuple[float, float],
    *,
    margins: tuple[float, float, float, float] = (0.6, 0.15, 0.75, 0.45),
    gaps: tuple[float, float] = (0.25, 0.45),
    share_x: bool = False,
    share_y: bool = False,
) -> tuple[Figure, np.ndarray]:
    """A figure of equal panels laid out in inches, so that no layout engine has to guess.

    size: (width, height) of one panel. margins: left, right, top, bottom. gaps: between columns,
    between rows. Returns the figure and its axes, shape (rows, columns).
    """
    left, right, top, bottom = margins
    width = left + columns * size[0] + (columns - 1) * gaps[0] + right
    height = top + rows * size[1] + (rows - 1) * gaps[1] + bottom
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = np.empty((rows, columns), dtype=object)
    for row in range(rows):
        for column in range(columns):
            x = left + column * (size[0] + gaps[0])
            y = height - top - size[1] - row * (size[1] + gaps[1])
            first = axes[0, 0]
            axes[row, column] = figure.add_axes(
                (x / width, y / height, size[0] / width, size[1] / height),
                sharex=first if share_x else None,
                sharey=first if share_y else None,
            )
    return figure, axes


def blank(subject: str) -> Figure:
    """In place of a figure whose tables hold nothing to draw."""
    figure, axes = panels(1, 1, (7.0, 0.4), margins=(0.12, 0.12, 0.1, 0.1))
    axes[0, 0].axis("off")
    text = f"Nothing to draw of {dataset_title(subject)}: its tables are empty or suppressed."
    axes[0, 0].text(0, 0.5, text, color=MUTED, va="center", transform=axes[0, 0].transAxes)
    return figure


def heading(figure: Figure, text: str, about: str = "", *, right: float = 0.12) -> None:
    """A bold title at the top left, and under it in grey what is shown, broken where the figure
    ends.

    right: inches that the lines leave free at the right. The figure grows by as much as further
    lines need.
    """
    edge, step = 0.12, 0.13
    width, height = figure.get_size_inches()
    letters = len(about) * (width - edge - right) / max(text_width([about], 7.5), 1e-9)
    lines = textwrap.wrap(about, max(int(letters), 20))
    if extra := step * max(len(lines) - 1, 0):
        for axes in figure.axes:
            box = axes.get_position()
            scale = height / (height + extra)
            axes.set_position((box.x0, box.y0 * scale, box.width, box.height * scale))
        height += extra
        figure.set_size_inches(width, height)
    figure.text(edge / width, 1 - 0.12 / height, text, size=10, weight="bold", va="top")
    for i, line in enumerate(lines):
        place = 1 - (0.33 + step * i) / height
        figure.text(edge / width, place, line, size=7.5, color=MUTED, va="top")


def whiskers(
    axes: Axes,
    y: np.ndarray,
    estimate: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    colours: Sequence[str],
    *,
    faces: Sequence[str] | None = None,
    markers: Sequence[str] | None = None,
    size: float = 4.5,
    width: float = 1.3,
) -> None:
    """Horizontal intervals with a dot at each estimate; rows without a number stay empty.

    y, estimate, low, high: shape (n,); low or high may be NaN where there is no interval.
    """
    y, estimate = np.asarray(y, float), np.asarray(estimate, float)
    low, high = np.asarray(low, float), np.asarray(high, float)
    known = np.isfinite(low) & np.isfinite(high)
    lines = [[(low[i], y[i]), (high[i], y[i])] for i in np.flatnonzero(known)]
    axes.add_collection(
        LineCollection(
            lines,
            colors=[colours[i] for i in np.flatnonzero(known)],
            linewidths=width,
            capstyle="round",
            zorder=2,
        ),
        autolim=False,
    )
    faces = faces or colours
    markers = markers or ["o"] * len(y)
    for shape in dict.fromkeys(markers):
        chosen = [i for i in range(len(y)) if markers[i] == shape and np.isfinite(estimate[i])]
        axes.scatter(
            estimate[chosen],
            y[chosen],
            s=size**2,
            c=[faces[i] for i in chosen],
            edgecolors=[colours[i] for i in chosen],
            linewidths=1.1,
            marker=shape,
            zorder=3,
        )


def span(axes: Axes, *values, pad: float = 0.06, include: float | None = None) -> None:
    """Set the x limits to what `values` cover, with a margin."""
    numbers = np.concatenate([np.ravel(np.asarray(value, float)) for value in values])
    numbers = numbers[np.isfinite(numbers)]
    if include is not None:
        numbers = np.append(numbers, include)
    if not len(numbers):
        return
    low, high = numbers.min(), numbers.max()
    room = pad * ((high - low) or 0.1)
    axes.set_xlim(low - room, high + room)


def rows_of(
    axes: Axes, labels: Sequence[str], *, top: float = 0.7, bold: Sequence[str] = ()
) -> None:
    """Label the y axis with one row per label, the first at the top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 1 + top, -top)
    for tick in axes.get_yticklabels():
        if tick.get_text() in bold:
            tick.set_fontweight("bold")


def save(figure: Figure, svg: str | Path, png: str | Path) -> None:
    """Write both files, byte for byte the same for the same figure; each whole or not at all."""
    with atomic_write(svg) as partial:
        figure.savefig(partial, format="svg", metadata={"Date": None, "Creator": None})
        text = partial.read_text().replace("'Figure Sans', 'DejaVu Sans', sans-serif", FONTS)
        partial.write_text(text)
    with atomic_write(png) as partial:
        figure.savefig(partial, format="png", metadata={"Software": None})
