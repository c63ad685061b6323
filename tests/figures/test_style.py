"""The look of figures: colours that everyone can tell apart, headings that fit."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.colors import to_rgb
from matplotlib.font_manager import FontProperties, fontManager

from cxrfmkd.figures import style
from cxrfmkd.figures.panels import PanelFigure, text_width
from cxrfmkd.vocabulary.models import MODELS

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def lab(colour: str, sight: np.ndarray) -> np.ndarray:
    """CIELAB of a colour as seen by `sight`."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(sight @ linear, 0, 1)
    xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    x, y, z = (v if v > 0.008856 else 0 for v in xyz @ linear / [0.95047, 1, 1.08883])
    x, y, z = np.cbrt([x, y, z])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_of_models_stay_apart_for_every_sight(sight):
    perceived = {model: lab(colour, SIGHT[sight]) for model, colour in style.COLOURS.items()}
    apart = {
        (a, b): np.linalg.norm(perceived[a] - perceived[b]) for a, b in combinations(perceived, 2)
    }
    closest = min(apart, key=apart.get)
    assert apart[closest] > 17, closest


def test_every_model_has_one_colour_and_every_loss_of_the_thesis_a_marker_of_its_own():
    assert list(style.COLOURS) == list(MODELS)
    assert len(set(style.COLOURS.values())) == len(MODELS)
    markers = [marker for loss, marker in style.MARKERS.items() if loss]
    assert len(set(markers)) == len(markers)


def test_a_figure_grows_around_its_panels_and_by_the_lines_of_its_heading():
    sizes = []
    for about in ("", "a few words", "many words " * 12):
        figure = PanelFigure(1, 1, (2.0, 1.0)).finish("Title", about)
        width, height = figure.get_size_inches()
        panel = figure.axes[0].get_position()
        assert (panel.width * width, panel.height * height) == pytest.approx((2.0, 1.0), abs=0.02)
        lines = figure.texts[1].get_text().split("\n")
        assert all(text_width([line], 7.5) < width for line in lines)
        sizes.append(height - 0.13 * (len(lines) if about else 0))
    assert len(lines) > 1
    assert sizes == pytest.approx([sizes[0]] * 3, abs=0.02)


def test_the_fonts_of_the_package_are_the_ones_drawn_with():
    """So that no figure depends on what a machine has installed."""
    name = rcParams["font.sans-serif"][0]
    for weight in ("normal", "bold"):
        found = fontManager.findfont(
            FontProperties(family=name, weight=weight), fallback_to_default=False
        )
        assert Path(found).parent == Path(style.__file__).parent / "fonts"
