"""A chest without findings: shapes in image coordinates, drawn as X-ray attenuation.

Coordinates: x from -1 (left of the image, the patient's right) to 1, y from -1 (top) to 1.
Attenuation is in
arbitrary units: about 0 for air beside the patient, 0.25 in the lung, 0.9 in the heart and abdomen.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image


@dataclass
class Chest:
    """One patient's shapes at one exposure; findings and views change them before drawing.

    diaphragm: heights (y) of the right and left dome; heart: centre x, y and half axes;
    mediastinum: half width.
    """

    width: float
    apex: float
    diaphragm: list[float]
    heart: list[float]
    mediastinum: float
    rib_phase: float
    ribs: float = 0.1
    knob: float = 0.07
    calcium: float = 0.16
    breasts: float = 0.0
    shift: float = 0.0


@dataclass
class Canvas:
    """An image in the making.

    x, y: coordinates of every pixel, shape (h, w), float32; lung: 0-1, where air-filled lung is;
    side: -1 for the patient's right (left of the image), 1 for the left; attenuation: what the
    image will show.
    """

    x: np.ndarray
    y: np.ndarray
    lung: np.ndarray
    side: np.ndarray
    attenuation: np.ndarray
    texture: np.ndarray
    chest: Chest

    def blob(self, x: float, y: float, width: float, height: float) -> np.ndarray:
        """A Gaussian of height 1 around (x, y)."""
        return np.exp(-(((self.x - x) / width) ** 2 + ((self.y - y) / height) ** 2) / 2)

    def disc(self, x: float, y: float, width: float, height: float, soft=0.3) -> np.ndarray:
        """An ellipse with values 0-1 and an edge that is `soft` of its radius wide."""
        return edge(1 - np.hypot((self.x - x) / width, (self.y - y) / height), soft)

    def stroke(self, xs, ys, width: float) -> np.ndarray:
        """A line through the points, 0-1 across, `width` wide."""
        nearest = np.full(self.x.shape, np.inf, np.float32)
        points = np.stack([xs, ys], axis=1).tolist()
        for (x0, y0), (x1, y1) in pairwise(points):
            dx, dy = x1 - x0, y1 - y0
            length = max(dx * dx + dy * dy, 1e-9)
            along = np.clip(((self.x - x0) * dx + (self.y - y0) * dy) / length, 0, 1)
            distance = (self.x - x0 - along * dx) ** 2 + (self.y - y0 - along * dy) ** 2
            np.minimum(nearest, distance, out=nearest)
        return np.exp(-nearest / (2 * (width / 2) ** 2))


def edge(inside: np.ndarray, soft: float) -> np.ndarray:
    """0 outside, 1 inside, and a straight ramp of width `soft` where `inside` passes 0."""
    ramp = inside / soft
    ramp += 0.5
    return np.clip(ramp, 0, 1, out=ramp)


def build(rng: np.random.Generator) -> Chest:
    """A patient's own chest."""
    base, width, apex, raised, heart_x, heart_width, heart_height, mediastinum = rng.normal(
        [0.40, 0.70, -0.74, 0.05, 0.09, 0.29, 0.38, 0.115],
        [0.05, 0.03, 0.03, 0.02, 0.02, 0.022, 0.03, 0.012],
    ).tolist()
    heart = [heart_x, base - 0.17, heart_width, heart_height]
    return Chest(width, apex, [base - raised, base], heart, mediastinum, rng.uniform(0, 1))


def coordinates(height: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pixel coordinates of a patient who stands a little turned, shifted and near."""
    angle = np.deg2rad(rng.normal(0, 2.0))
    scale_x, scale_y = (1 + rng.normal(0, 0.03, 2)).tolist()
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] + np.float32(rng.normal(0, 0.03))
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] + np.float32(rng.normal(0, 0.03))
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    return scale_x * (cos * x - sin * y), scale_y * (sin * x + cos * y)


def smooth_noise(shape: tuple[int, int], cells: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit variance (roughly) with `cells` bumps along each side."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32))
    return np.asarray(coarse.resize(shape[::-1], Image.Resampling.BILINEAR))


def draw(chest: Chest, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Canvas:
    """The chest's attenuation, without noise and without the image's exposure."""
    x = x - np.float32(chest.shift) * edge(0.9 - np.abs(y), 0.4)
    side = np.where(x < 0, np.float32(-1), np.float32(1))
    across = np.abs(x)

    neck = np.interp(y.ravel(), [-1.2, -0.95, -0.62, -0.2, 1.2], [0.24, 0.26, 1.0, 0.93, 0.96])
    body_width = neck.reshape(y.shape).astype(np.float32)
    body = edge(body_width - across, 0.05)
    depth = 1 - 0.45 * np.clip(across / body_width, 0, 1) ** 2
    attenuation = body * (0.50 * depth + 0.20 + 0.16 * edge(y - 0.45, 0.5))

    span = 0.35 - chest.apex
    outer = chest.width * np.clip(1 - (np.minimum(y - 0.35, 0) / span) ** 2, 0, 1) ** 0.45
    inner = chest.mediastinum + 0.05 * edge(y - 0.0, 0.8)
    dome = np.where(side < 0, np.float32(chest.diaphragm[0]), np.float32(chest.diaphragm[1]))
    floor = dome + 1.3 * (across - 0.34) ** 2
    lung = edge(outer - across, 0.05) * edge(across - inner, 0.05) * edge(floor - y, 0.04)

    hx, hy, half_width, half_height = chest.heart
    tilted = (x - hx) - 0.45 * (y - hy)
    heart = edge(1 - np.hypot(tilted / half_width, (y - hy) / half_height), 0.16)
    lung = lung * (1 - 0.88 * heart)
    attenuation -= 0.42 * lung
    attenuation += 0.05 * heart + 0.10 * edge(chest.mediastinum - across, 0.06) * body

    spine = np.exp(-((x / 0.08) ** 2)) * (0.08 + 0.02 * np.cos(2 * np.pi * y / 0.13))
    attenuation += spine * body
    attenuation -= 0.12 * np.exp(-((x / 0.03) ** 2)) * edge(-0.24 - y, 0.06)

    canvas = Canvas(x, y, lung, side, attenuation, np.zeros_like(x), chest)
    knob = canvas.disc(0.13, -0.27, chest.knob, chest.knob * 1.1, 0.5)
    canvas.attenuation += chest.calcium * knob
    for hilum in (-0.17, 0.17):
        canvas.attenuation += 0.09 * canvas.blob(hilum, -0.02, 0.05, 0.09) * (lung > 0.3)
    for breast in (-0.42, 0.42):
        canvas.attenuation += chest.breasts * canvas.disc(breast, 0.42, 0.30, 0.26, 0.5)

    _bones(canvas, outer)
    canvas.texture = _vessels(canvas, rng)
    canvas.attenuation += 0.035 * canvas.texture * lung
    return canvas


def _vessels(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Markings that run outwards from both hila and thin out: streaks in angle."""
    streaks = smooth_noise((360, 64), 64, rng)
    beside, below = np.abs(canvas.x) - 0.13, canvas.y + 0.05
    distance = np.hypot(beside, below)
    turn = 180 + np.arctan2(below, beside) * (180 / np.pi)
    row = np.where(canvas.side < 0, turn, turn * 0.93 + 20).astype(np.intp) % 360
    column = np.minimum(distance * 64, 63).astype(np.intp)
    return streaks[row, column] * np.exp(-distance / 0.4)


def rib_phase(canvas: Canvas) -> np.ndarray:
    """How many ribs lie above each pixel; whole numbers are the middle of a rib."""
    across = np.abs(canvas.x)
    return (canvas.y + 0.62 - 0.30 * across + 0.75 * across**2) / 0.145 + canvas.chest.rib_phase


def _bones(canvas: Canvas, outer: np.ndarray) -> None:
    across = np.abs(canvas.x)
    cage = edge(outer + 0.03 - across, 0.04) * edge(0.62 - canvas.y, 0.25)
    posterior = np.clip(np.cos(2 * np.pi * rib_phase(canvas)), 0, 1) ** 1.5
    front = (canvas.y + 0.62 + 0.45 * across) / 0.17 + canvas.chest.rib_phase
    anterior = np.clip(np.cos(2 * np.pi * front), 0, 1) ** 2 * edge(across - 0.25, 0.2)
    strength = canvas.chest.ribs
    canvas.attenuation += cage * strength * (posterior * edge(across - 0.1, 0.1) + 0.35 * anterior)
    middle = -0.60 - 0.12 * across + 0.25 * (across - 0.4) ** 2
    clavicle = np.exp(-(((canvas.y - middle) / 0.03) ** 2)) * edge(across - 0.06, 0.05)
    canvas.attenuation += 1.2 * strength * clavicle * edge(0.78 - across, 0.1)
