"""Images: a chest with its findings and traces, exposed as the site exposes it.

The traces of sex, age and race are planted signals of this generator, chosen to be faint and
measurable. They say nothing about how people look on real images.

    sex    shadow over the lower lungs, wider or narrower chest
    age    contrast of the ribs, size and calcification of the aortic knob
    race   two made-up shadings of the whole image: top against bottom, and middle against sides
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from cxrfmkd.synthetic import anatomy, pathology
from cxrfmkd.synthetic.anatomy import edge
from cxrfmkd.synthetic.population import stream
from cxrfmkd.synthetic.truth import Truth


@dataclass(frozen=True)
class Exposure:
    """What one image shows.

    findings: visibility of each finding but "No Finding", 0-1; sex, age, race: the planted
    quantities (about standard normal); seed, patient, study, image: numbers that decide the anatomy
    (the first two), where the findings sit (the first three), and everything that differs between
    two images of one study.
    """

    view: str
    findings: dict[str, float]
    sex: float
    age: float
    race: tuple[float, float]
    seed: int
    patient: int
    study: int
    image: int


def draw(exposure: Exposure, truth: Truth) -> np.ndarray:
    """The image as the site stores it: uint8, shape `truth.images`; bone is bright."""
    chest = anatomy.build(stream("anatomy", truth, exposure.seed, exposure.patient))
    rng = stream("exposure", truth, exposure.seed, exposure.patient, exposure.study, exposure.image)
    if exposure.view == "LATERAL":
        return _expose(_lateral(exposure, truth, rng), exposure, truth, rng)
    x, y = anatomy.coordinates(*truth.images, rng)
    breath = rng.normal(0, 0.02)
    chest.diaphragm = [height + breath for height in chest.diaphragm]
    chest.ribs = 0.085 - 0.016 * exposure.age
    chest.knob = 0.076 + 0.014 * exposure.age
    chest.calcium = 0.16 + 0.05 * exposure.age
    chest.breasts = 0.080 + 0.045 * exposure.sex
    chest.width -= 0.014 * exposure.sex
    if exposure.view == "AP":
        chest.heart[2] *= 1.12
        chest.mediastinum *= 1.15
        chest.diaphragm = [height - 0.05 for height in chest.diaphragm]
    places = stream("places", truth, exposure.seed, exposure.patient, exposure.study)
    pathology.reshape(chest, exposure.findings, places)
    canvas = anatomy.draw(chest, x, y, rng)
    if exposure.view == "AP":
        for side in (-1, 1):
            xs = [side * 0.66, side * 0.60]
            canvas.attenuation += 0.07 * canvas.stroke(xs, [-0.55, 0.0], 0.10)
    pathology.add(canvas, exposure.findings, places)
    return _expose(canvas.attenuation, exposure, truth, rng)


def _lateral(exposure: Exposure, truth: Truth, rng: np.random.Generator) -> np.ndarray:
    """A plain view from the side: spine behind, heart in front, lungs between."""
    x, y = anatomy.coordinates(*truth.images, rng)
    body = edge(0.75 - np.abs(x) - 0.1 * y, 0.06)
    lung = edge(1 - np.hypot(x / 0.52, (y + 0.1) / 0.62), 0.2) * edge(0.42 + 0.2 * x - y, 0.05)
    heart = edge(1 - np.hypot((x + 0.22) / 0.26, (y - 0.15) / 0.26), 0.2)
    vertebrae = 0.15 + 0.05 * np.cos(2 * np.pi * y / 0.16)
    spine = np.exp(-(((x - 0.5 + 0.15 * y) / 0.1) ** 2)) * vertebrae
    fluid = exposure.findings["Pleural Effusion"] * edge(y - 0.25, 0.1) * edge(x - 0.1, 0.2)
    return body * (0.75 + spine) - lung * (0.4 - 0.3 * heart - 0.3 * fluid)


def _expose(
    attenuation: np.ndarray, exposure: Exposure, truth: Truth, rng: np.random.Generator
) -> np.ndarray:
    height, width = attenuation.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    shaded = attenuation + 0.020 * anatomy.smooth_noise(attenuation.shape, 5, rng)
    shaded += 0.028 * exposure.race[0] * y + 0.028 * exposure.race[1] * (1 - 2.5 * x**2)
    portable = exposure.view == "AP"
    low, high = rng.normal(0.02, 0.015), rng.normal(1.0 + 0.08 * portable, 0.03)
    gamma = np.exp(rng.normal(np.log(truth.exposure[0]), truth.exposure[1]))
    image_values = np.clip((shaded - low) / (high - low), 0, 1) ** np.float32(gamma)
    image_values = ndimage.gaussian_filter(image_values, 0.9)
    spread = truth.noise * (1.4 if portable else 1.0)
    grain = rng.standard_normal(image_values.shape, dtype=np.float32) * np.float32(spread)
    pixels = np.clip(245 * image_values + grain, 0, 255).astype(np.uint8)
    return _marked(pixels, truth.marker, portable, rng)


def _marked(
    pixels: np.ndarray, corner: str, portable: bool, rng: np.random.Generator
) -> np.ndarray:
    """The site's side marker, and a bar below it on portable images."""
    height, width = pixels.shape
    image = Image.fromarray(pixels)
    pen = ImageDraw.Draw(image)
    size = height // 16
    right = corner.endswith("right")
    left = width - 2 * size if right else size
    left += int(rng.integers(-size // 3, size // 3 + 1))
    top = int(rng.integers(size // 2, size))
    frame = pen.ellipse if right else pen.rectangle
    frame((left, top, left + size, top + size), outline=250, width=2)
    stem, foot = left + size // 3, top + size - 4
    pen.line((stem, top + 3, stem, foot), fill=250, width=2)
    pen.line((stem, foot, left + size - 4, foot), fill=250, width=2)
    if portable:
        pen.line((left, top + size + 5, left + size, top + size + 5), fill=230, width=3)
    return np.asarray(image)
