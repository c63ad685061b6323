"""The findings as they look on an image: each distinct, each stronger with its visibility (0-1).

Those that change the shape of the chest act before it is drawn (`reshape`), the others on the drawn
image (`add`).
"""

from __future__ import annotations

import numpy as np

from cxrfmkd.synthetic.anatomy import Canvas, Chest, edge, rib_phase


def reshape(chest: Chest, findings: dict[str, float], rng: np.random.Generator) -> None:
    """Widen the heart and the mediastinum; draw up the diaphragm over a collapsed base."""
    size = findings["Cardiomegaly"]
    chest.heart[2] *= 1 + 0.42 * size
    chest.heart[3] *= 1 + 0.10 * size
    chest.heart[0] += 0.05 * size
    chest.mediastinum += 0.07 * findings["Enlarged Cardiomediastinum"]
    size = findings["Atelectasis"]
    if size:
        raised = int(rng.random() < 0.5)
        chest.diaphragm[raised] -= 0.13 * size
        chest.shift += (0.06 if raised else -0.06) * size


def add(canvas: Canvas, findings: dict[str, float], rng: np.random.Generator) -> None:
    """Draw every present finding that has a shape of its own.

    Air replaces tissue first, then come opacities, fluid, bone and metal, so nothing hides under a
    pneumothorax.
    """
    for name, drawer in DRAWERS.items():
        if findings[name]:
            drawer(canvas, findings[name], rng)


def _side(rng: np.random.Generator) -> int:
    return int(rng.choice((-1, 1)))


def pneumothorax(canvas: Canvas, size: float, rng: np.random.Generator) -> None:
    """Air without lung markings above and beside the lung, and the thin line of its edge."""
    side = _side(rng)
    chest = canvas.chest
    gap = 0.12 + 0.16 * size
    span = 0.35 - chest.apex
    height = (canvas.y - 0.35) / (span - 1.3 * gap)
    border = (chest.width - gap) * np.clip(1 - np.minimum(height, 0) ** 2, 0, 1) ** 0.45
    outside = edge(np.abs(canvas.x) - border, 0.03) * (canvas.side == side) * canvas.lung
    outside = outside * edge(0.25 - canvas.y, 0.3)
    canvas.attenuation -= outside * ((0.07 + 0.09 * size) + 0.035 * canvas.texture)
    line = np.exp(-(((np.abs(canvas.x) - border) / 0.012) ** 2)) * (canvas.side == side)
    canvas.attenuation += 0.12 * line * canvas.lung * edge(0.2 - canvas.y, 0.2)
    canvas.lung = canvas.lung * (1 - outside)


def edema(canvas: Canvas, size: float, rng: np.random.Generator) -> None:
    """Haze around both hila, like bat wings, with coarse vessels."""
    haze = canvas.blob(-0.27, 0.0, 0.17, 0.24) + canvas.blob(0.27, 0.0, 0.17, 0.24)
    canvas.attenuation += size * canvas.lung * haze * (0.17 + 0.05 * canvas.texture)


def lung_opacity(canvas: Canvas, size: float, rng: np.random.Generator) -> None:
    """A large faint patch without a border, in the upper or middle zone of one lung."""
    where = _side(rng) * rng.uniform(0.33, 0.48), rng.uniform(-0.42, 0.1)
    canvas.attenuation += (0.10 + 0.10 * size) * canvas.lung * canvas.blob(*where, 0.17, 0.15)


def consolidation(canvas: Canvas, size: float, rng: np.random.Generator) -> None:
    """A dense lobe with a straight lower or upper border and dark bronchi in it."""
    side, upper = _side(rng), rng.random() < 0.5
    fissure = canvas.y - (-0.22 if upper else 0.08) - 0.1 * (np.abs(canvas.x) - 0.3)
    lobe = edge(-fissure if upper else fissure, 0.04) * (canvas.side == side) * canvas.lung
    bronchi = np.clip(np.cos(2 * np.pi * (canvas.y + 0.8 * np.abs(canvas.x)) / 0.12), 0, 1) ** 6
    canvas.attenuation += (0.13 + 0.17 * size) * lobe * (1 - 0.45 * bronchi)


def pneumonia(canvas: Canvas, size: float, rng: np.random.Generator) -> None:
    """Several small patches that run together in the lower zone of one lung."""
    side = _side(rng)
    patches = np.zeros_like(canvas.x)
    for _ in range(6):
        where = side * rng.uniform(0.25, 0.55), rng.uniform(0.08, 0.38)
        np.maximum(patches, canvas.blob(*where, 0.05, 0.045), out=patches)
    canvas.attenuation += (0.18 + 0.18 * size) * canvas.lung * patches


def lung_lesion(canvas: Canvas, size: float, rng: np.random.Generator) -> None:
    """One to three round nodules with sharp edges."""
    for _ in range(int(rng.integers(1, 4))):
        where = _side(rng) * rng.uniform(0.25, 0.52), rng.uniform(-0.42, 0.25)
        radius = rng.uniform(0.05, 0.08)
        nodule = canvas.disc(*where, radius, radius)
        canvas.attenuation += (0.21 + 0.20 * size) * canvas.lung * nodule


def atelectasis(canvas: Canvas, size: float, rng: np.random.Generator) -> None:
    """Flat bands above the raised half of the diaphragm."""
    chest = canvas.chest
    side = 1 if chest.shift > 0 else -1
    base = chest.diaphragm[side > 0]
    for step in range(3):
        height = base - 0.07 - 0.085 * step + rng.normal(0, 0.01)
        xs = side * np.linspace(0.22, 0.58, 4)
        ys = height + rng.normal(0, 0.015, 4)
        canvas.attenuation += (0.12 + 0.16 * size) * canvas.lung * canvas.stroke(xs, ys, 0.028)


def pleural_effusion(canvas: Canvas, size: float, rng: np.random.Generator) -> None:
    """White angle with a meniscus that climbs the chest wall, on one side or both."""
    sides = (-1, 1) if rng.random() < 0.35 else (_side(rng),)
    for side in sides:
        level = canvas.chest.diaphragm[side > 0] + 0.10 - 0.24 * size
        wall = np.clip(np.abs(canvas.x) / canvas.chest.width, 0, 1)
        fluid = edge(canvas.y - (level - 0.30 * wall**6), 0.05) * (canvas.side == side)
        canvas.attenuation += (0.20 + 0.22 * size) * fluid * canvas.lung
        canvas.lung = canvas.lung * (1 - 0.8 * fluid)


def pleural_other(canvas: Canvas, size: float, rng: np.random.Generator) -> None:
    """A thick bright rim along the side wall and the apex of one lung."""
    chest, side = canvas.chest, _side(rng)
    height = np.minimum((canvas.y - 0.35) / (0.35 - chest.apex), 0)
    wall = chest.width * np.clip(1 - height**2, 0, 1) ** 0.45
    thick = 0.08 + 0.06 * size
    rim = edge(np.abs(canvas.x) - (wall - thick), 0.03) * (canvas.side == side)
    canvas.attenuation += (0.22 + 0.18 * size) * rim * canvas.lung * edge(0.15 - canvas.y, 0.2)


def fracture(canvas: Canvas, size: float, rng: np.random.Generator) -> None:
    """Neighbouring ribs that break off: a dark gap, and bright callus on both of its ends."""
    side, x = _side(rng), rng.uniform(0.40, 0.54)
    first = int(rng.integers(2, 4))
    phase = rib_phase(canvas)
    for rib in range(first, first + 3):
        on_rib = np.exp(-(((phase - rib) / 0.30) ** 2)) * (canvas.side == side)
        across = np.abs(canvas.x) - x
        gap = np.exp(-((across / 0.035) ** 2))
        ends = np.exp(-(((np.abs(across) - 0.085) / 0.035) ** 2))
        canvas.attenuation += (0.10 + 0.13 * size) * on_rib * (1.3 * ends - 1.2 * gap)


def support_devices(canvas: Canvas, size: float, rng: np.random.Generator) -> None:
    """A breathing tube, a central line, a pacemaker: one or more of them."""
    bright = 0.22 + 0.25 * size
    tube, line, pacemaker = rng.random(3) < (0.5, 0.6, 0.25)
    if tube or not (line or pacemaker):
        end = rng.uniform(-0.25, -0.12)
        sway = rng.normal(0, 0.01, 2)
        canvas.attenuation += bright * canvas.stroke([*sway, 0.0], [-1.1, -0.6, end], 0.024)
    if line:
        side = _side(rng)
        xs = np.array([side * 0.75, side * 0.5, side * 0.2, -0.09, -0.10])
        ys = np.array([-0.5, -0.62, -0.56, -0.38, rng.uniform(-0.1, 0.1)])
        canvas.attenuation += bright * canvas.stroke(xs, ys, 0.022)
    if pacemaker:
        box = canvas.disc(0.55, -0.48, 0.085, 0.075, 0.15)
        xs, ys = np.array([0.5, 0.25, -0.02, 0.02, 0.2]), np.array([-0.5, -0.55, -0.3, 0.1, 0.33])
        canvas.attenuation += bright * (1.3 * box + canvas.stroke(xs, ys, 0.018))


DRAWERS = {
    "Pneumothorax": pneumothorax,
    "Edema": edema,
    "Lung Opacity": lung_opacity,
    "Consolidation": consolidation,
    "Pneumonia": pneumonia,
    "Lung Lesion": lung_lesion,
    "Atelectasis": atelectasis,
    "Pleural Effusion": pleural_effusion,
    "Pleural Other": pleural_other,
    "Fracture": fracture,
    "Support Devices": support_devices,
}
