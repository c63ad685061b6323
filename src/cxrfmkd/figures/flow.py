"""The way of the images into the study: what was kept, what was left out and why, and the three splits."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from cxrfmkd.figures import style
from cxrfmkd.vocabulary.titles import dataset_title

WIDTH, BOX, SIDE = 7.4, 2.6, 4.21  # inches: figure, box of what is kept, box of what is left out
LINE, PAD = 0.135, 0.13  # inches: a line of text, and the air above and below all lines of a box
GAP = 0.14  # between one box and the next
SPLITS = {"train": "Training", "val": "Validation", "test": "Test"}


def _tall(lines: list[str]) -> float:
    return LINE * len(lines) + PAD


def _box(
    panel: Axes, x: float, y: float, width: float, lines: list[str], *, quiet: bool = False
) -> None:
    """A box of centred text whose first line is bold; `x`, `y` its centre in inches."""
    height = _tall(lines)
    panel.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.05",
            facecolor=style.BAND if quiet else style.PAPER,
            edgecolor=style.BAND if quiet else "#8a9199",
            linewidth=0.8,
        )
    )
    top = y + LINE * (len(lines) - 1) / 2
    for i, line in enumerate(lines):
        panel.text(
            x,
            top - LINE * i,
            line,
            ha="center",
            va="center_baseline",
            size=7.5 if i == 0 else 7,
            weight="bold" if i == 0 else "normal",
            color=style.MUTED if quiet and i else style.INK,
        )


def _arrow(panel: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    panel.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=7,
            color="#8a9199",
            linewidth=0.9,
            shrinkA=0,
            shrinkB=0,
        )
    )


def _size(images: float, patients: float) -> str:
    text = f"{images:,.0f} images"
    return text if pd.isna(patients) else f"{text} of {patients:,.0f} patients"


def _moves(steps: pd.DataFrame) -> list[tuple[list[str], list[str]]]:
    """(what is left out, what is kept), as lines of text; steps that leave nothing out are passed over."""
    moves = []
    for i, row in enumerate(steps.itertuples()):
        if i and not row.excluded:
            continue
        reason = str(row.reason)
        wrapped = textwrap.wrap(reason[:1].upper() + reason[1:], 72)
        kept = _size(row.kept, row.patients)
        moves.append(
            (
                [f"{row.excluded:,.0f} left out", *wrapped],
                [str(row.step), kept] if not i else [kept],
            )
        )
    return moves


def draw(steps: pd.DataFrame, dataset: str) -> Figure:
    """Boxes from top to bottom.

    steps: `kind` (step or split), `step`, `kept`, `excluded`, `patients`, `reason`, in order.
    """
    moves = _moves(steps[steps.kind == "step"])
    splits = steps[steps.kind == "split"]
    tall = sum(_tall(kept) for _, kept in moves) + sum(_tall(out) + 2 * GAP for out, _ in moves[1:])
    height = 0.55 + tall + (1.0 if len(splits) else 0.1)
    figure, axes = style.panels(1, 1, (WIDTH, height), margins=(0, 0, 0, 0))
    panel = axes[0, 0]
    panel.set(xlim=(0, WIDTH), ylim=(0, height))
    panel.axis("off")
    x, side = 0.12 + BOX / 2, 0.12 + BOX + 0.35 + SIDE / 2
    bottom = height - 0.5
    for i, (out, kept) in enumerate(moves):
        if i:
            middle, top = bottom - GAP - _tall(out) / 2, bottom - 2 * GAP - _tall(out)
            _arrow(panel, (x, bottom), (x, top))
            _arrow(panel, (x, middle), (side - SIDE / 2, middle))
            _box(panel, side, middle, SIDE, out, quiet=True)
            bottom = top
        _box(panel, x, bottom - _tall(kept) / 2, BOX, kept)
        bottom -= _tall(kept)
    if len(splits):
        width = (WIDTH - 0.24 - 0.2 * (len(splits) - 1)) / len(splits)
        centres = [0.12 + width / 2 + i * (width + 0.2) for i in range(len(splits))]
        turn, top = bottom - GAP, bottom - 2 * GAP
        panel.plot([x, x], [bottom, turn], color="#8a9199", linewidth=0.9)
        panel.plot([min(centres), max(centres)], [turn, turn], color="#8a9199", linewidth=0.9)
        for centre, row in zip(centres, splits.itertuples(), strict=True):
            lines = [SPLITS.get(row.step, row.step), _size(row.kept, row.patients)]
            _arrow(panel, (centre, turn), (centre, top))
            _box(panel, centre, top - _tall(lines) / 2, width, lines)
    style.heading(figure, f"From the raw files of {dataset_title(dataset)} to the study")
    return figure


def select(summary: dict, excluded: pd.DataFrame | None = None) -> pd.DataFrame:
    """The steps and splits of a dataset's `summary.json` as the table that `draw` takes; counts
    alone.

    excluded: `image_id` and `reason` of the images that could not be packed. The splits are those
    of the records.
    """
    steps = [{"kind": "step", **step} for step in summary["flow"]]
    kept = steps[-1]["kept"]
    if excluded is not None:
        # A reason may name a file, and a file a patient: only the kind of error leaves the
        # dataset's folder.
        for kind, count in excluded.reason.str.split(":").str[0].value_counts().items():
            kept -= count
            steps.append(
                {
                    "kind": "step",
                    "step": "packed",
                    "kept": kept,
                    "excluded": count,
                    "patients": float("nan"),
                    "reason": f"the image cannot be read ({kind})",
                }
            )
    splits = [
        {
            "kind": "split",
            "step": name,
            "kept": found["images"],
            "excluded": 0,
            "patients": found["patients"],
            "reason": "",
        }
        for name, found in summary["counts"].items()
    ]
    columns = ["kind", "step", "kept", "excluded", "patients", "reason"]
    return pd.DataFrame(steps + splits, columns=columns)
