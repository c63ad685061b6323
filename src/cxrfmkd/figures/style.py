"""The look of every figure: one style file, one colour per model, one marker per loss.

The colours were searched so that every pair stays apart (CIELAB distance of 18 or more) for normal
sight and for simulated protanopia, deuteranopia and tritanopia, and so that each stands out on
white and on dark paper.
A family shares a hue: the linear probe is its lighter, the full fine-tune its darker colour, and
probes are drawn hollow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib import rcParams
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.font_manager import fontManager

from cxrfmkd.vocabulary.findings import MACRO
from cxrfmkd.vocabulary.losses import LOSS_TITLES, loss_title
from cxrfmkd.vocabulary.models import MODELS

Look = dict[str, Any]  # keyword arguments of Matplotlib's functions

HERE = Path(__file__).parent
for font in sorted((HERE / "fonts").glob("*.ttf")):
    fontManager.addfont(font)
matplotlib.style.use(HERE / "cxrfmkd.mplstyle")

# Families of equal width for every reader of an SVG, whatever fonts the machine has.
FONT_NAMES = "'Figure Sans', 'DejaVu Sans', sans-serif"  # as Matplotlib writes them
FONTS = "'Liberation Sans', Arial, Helvetica, sans-serif"
DASHED = (0, (3, 1.5))

INK, PAPER, RULE = rcParams["text.color"], rcParams["figure.facecolor"], rcParams["grid.color"]
MUTED, AXIS = rcParams["xtick.labelcolor"], rcParams["axes.edgecolor"]
BAND, NULL = "#eef0f3", "#c9ced5"  # every other row; range of a score under its null distribution
BLUE, SKY, ORANGE, RUST, GREEN = "#0a61c5", "#4ba5d7", "#d48f15", "#ae4301", "#19874b"
COLOURS = {
    "cxr-fm-lp": INK,
    "cxr-model-lp": "#7ba786",
    "cxr-model-fft": GREEN,
    "densenet121-fft": "#9e5d8b",
    "resnet50-fft": "#ab9a4a",
    "cxr-fmkd-lp": ORANGE,
    "cxr-fmkd-fft": RUST,
    "cxr-fmkd-direct-lp": SKY,
    "cxr-fmkd-direct-fft": BLUE,
}
GROUP_COLOURS = (BLUE, ORANGE, GREEN)  # groups of patients, in a fixed order
UNORDERED = (*GROUP_COLOURS, RUST, SKY, AXIS)  # where there are more of them, without an order
# Pale to deep blue: lightness alone carries the order, so that it survives grey print and any
# colour vision. Numbers on it are nearly white or black, since the report inverts PAPER and INK.
DEPTHS = ("#f3f6fa", "#c3d8ee", "#7fb0dd", "#2f78c4", "#083a80")
DEPTH = LinearSegmentedColormap.from_list("depth", DEPTHS)
ON_DARK, ON_PALE = "#fefefe", "#15181c"

WEIGHTED_LOSSES = [f"mse-cosine-0.{tenths}" for tenths in range(5, 10)]
MARKERS = dict(zip(["", *LOSS_TITLES, *WEIGHTED_LOSSES], "oosD^vP<>phX", strict=True))
SHORT_FINDINGS = {MACRO: "Mean of all", "Enlarged Cardiomediastinum": "Enlarged Cardiomed."}
SHORT_GROUPS = {"Pleural Effusion": "Effusion"}


def short_finding(name: str) -> str:
    """A finding in the little room that a figure has."""
    return SHORT_FINDINGS.get(name, name)


def short_group(name: str) -> str:
    """A group of patients in the little room that a figure has, an en dash between ages."""
    return SHORT_GROUPS.get(name, name).replace("-", "–")


def short_loss(loss: str) -> str:
    """A loss in the little room that a figure has."""
    return loss_title(loss).replace(", learned weights", ", learned").replace(" : ", ":")


def marker(loss: str) -> str:
    """The loss's marker; those that are not in the thesis share a star."""
    return MARKERS.get(loss, "*")


def face(model: str) -> str:
    """The fill of a model's marker: its colour, or paper for a linear probe."""
    return COLOURS[model] if MODELS[model].finetuned else PAPER
