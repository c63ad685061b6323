"""What the students kept of the teacher, beside controls that know nothing of the single image; training curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from cxrfmkd.figures import style
from cxrfmkd.tables.selecting import loss_order
from cxrfmkd.vocabulary.titles import CONTROL_TITLES, dataset_title

MEASURES = {
    "cosine": "Raw cosine",
    "centred_cosine": "Centred cosine",
    "r2_overall": "R², all variance",
    "cka_debiased": "CKA, debiased",
    "neighbour_overlap": "Shared neighbours",
    "probe_auc": "AUC-ROC, probe",
    "teacher_probe_auc": "Teacher’s probe",
}
CHANCE = {"probe_auc": 0.5, "teacher_probe_auc": 0.5}
FLOOR = -0.3  # what lies further to the left stands at the edge, as a number
STUDENT, CONTROL = style.COLOURS["cxr-fmkd-direct-fft"], "#8a9199"


def select(qualities: Sequence[dict], dataset: str) -> pd.DataFrame:
    """Long table of every measure: of each loss's chosen student, of the controls (mean over
    losses), of the teacher.

    qualities: contents of `quality.json` with what their path says under `about`.
    """
    rows = []
    for quality in qualities:
        loss = quality["about"]["loss"]
        named = [("student", loss, quality["student"]), ("teacher", "", quality["teacher"])]
        named += [("control", name, found) for name, found in quality["controls"].items()]
        for kind, name, found in named:
            rows += [
                (dataset, kind, name, m, found[m]) for m in MEASURES if found.get(m) is not None
            ]
    columns = ["dataset", "kind", "name", "measure"]
    table = pd.DataFrame(rows, columns=[*columns, "value"])
    return table.groupby(columns, sort=False).value.mean().reset_index()


def draw(table: pd.DataFrame, dataset: str) -> Figure:
    """A panel a measure; students above, controls in grey below, the teacher itself as a line."""
    losses = sorted(table.name[table.kind == "student"].unique(), key=loss_order)
    controls = [name for name in CONTROL_TITLES if name in set(table.name[table.kind == "control"])]
    rows = [("student", loss) for loss in losses] + [("control", name) for name in controls]
    labels = [style.loss_name(loss) for loss in losses] + [
        CONTROL_TITLES[name] for name in controls
    ]
    measures = [m for m in MEASURES if (table.measure == m).any()]
    figure, axes = style.panels(
        1,
        len(measures),
        (0.93, max(1.0, 0.165 * (len(rows) + 0.6))),
        margins=(style.text_width(labels) + 0.25, 0.15, 0.9, 0.3),
        gaps=(0.16, 0.4),
    )
    values = table.set_index(["kind", "name", "measure"]).value
    for panel, measure in zip(axes[0], measures, strict=True):
        found = np.array([values.get((*row, measure), np.nan) for row in rows], float)
        shown = np.maximum(found, FLOOR)
        y = np.arange(len(rows))
        panel.axhspan(len(losses) - 0.5, len(rows), color=style.BAND, linewidth=0, zorder=0)
        start = CHANCE.get(measure, 0.0)
        panel.hlines(y, start, shown, color=style.RULE, linewidth=2.2, zorder=1)
        panel.axvline(start, color="#8a9199", linewidth=0.8, zorder=1)
        if (teacher := values.get(("teacher", "", measure))) is not None:
            panel.axvline(
                teacher, color=style.INK, linewidth=0.9, linestyle=(0, (3, 1.5)), zorder=1
            )
        colours = [STUDENT if kind == "student" else CONTROL for kind, _ in rows]
        panel.scatter(shown, y, s=24, c=colours, linewidths=0, zorder=3)
        for row in np.flatnonzero(found < FLOOR):
            panel.annotate(
                f"← {found[row]:.3g}".replace("-", "−"),
                (FLOOR, row),
                (6, 0),
                textcoords="offset points",
                size=6,
                va="center_baseline",
                color=style.MUTED,
            )
        ends = [*shown[np.isfinite(shown)], start, *([teacher] if teacher is not None else [])]
        style.span(panel, ends, pad=0.1)
        panel.set_title(MEASURES[measure], fontsize=7.5)
        panel.locator_params(axis="x", nbins=3)
        style.rows_of(panel, labels if panel is axes[0, 0] else [""] * len(rows))
    style.heading(
        figure,
        f"What the students of {dataset_title(dataset)} kept of the teacher",
        "Chosen seed of each loss on validation images (blue) and controls (grey); dashed: a probe "
        "on the teacher itself. "
        "A mean vector alone already has the raw cosine shown.",
    )
    return figure


def select_training(history: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Losses by epoch of every seed."""
    columns = ["dataset", "loss", "seed", "epoch", "train_loss", "val_loss"]
    return history.loc[history.dataset == dataset, columns].reset_index(drop=True)


def draw_training(table: pd.DataFrame, dataset: str) -> Figure:
    """A panel a loss; validation solid, training dashed, a dot at each seed's best epoch."""
    losses = sorted(table.loss.unique(), key=loss_order)
    columns = min(4, len(losses))
    figure, axes = style.panels(
        -(-len(losses) // columns),
        columns,
        (1.65, 1.15),
        margins=(0.5, 0.15, 0.9, 0.4),
        gaps=(0.42, 0.55),
    )
    for panel, loss in zip(axes.flat, losses, strict=False):
        for _, own in table[table.loss == loss].groupby("seed"):
            panel.plot(
                own.epoch + 1, own.train_loss, color=CONTROL, linewidth=0.8, linestyle=(0, (3, 1.5))
            )
            panel.plot(own.epoch + 1, own.val_loss, color=STUDENT, linewidth=0.9, alpha=0.8)
            best = own.loc[own.val_loss.idxmin()]
            panel.scatter(
                [best.epoch + 1], [best.val_loss], s=12, c=STUDENT, linewidths=0, zorder=3
            )
        own = table[table.loss == loss]
        if (own[["train_loss", "val_loss"]] > 0).all(axis=None):
            panel.set_yscale("log")
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            panel.yaxis.set_minor_formatter(NullFormatter())
        panel.set_title(style.loss_name(loss), fontsize=7.5)
        panel.grid(True, axis="both")
        panel.tick_params(axis="y", which="both", length=0, labelcolor=style.MUTED)
        panel.xaxis.get_major_locator().set_params(integer=True, nbins=5)
    for panel in axes.flat[len(losses) :]:
        panel.remove()
    axes[-1, 0].set_xlabel("epoch", loc="left", color=style.MUTED)
    axes[0, 0].set_ylabel("loss", loc="top", color=style.MUTED)
    width, height = figure.get_size_inches()
    handles = [
        Line2D([], [], color=STUDENT, label="validation, best epoch dotted"),
        Line2D([], [], color=CONTROL, linestyle=(0, (3, 1.5)), label="training"),
    ]
    figure.legend(
        handles=handles, loc="upper left", ncols=2, bbox_to_anchor=(0.12 / width, 1 - 0.36 / height)
    )
    style.heading(figure, f"Training the students of {dataset_title(dataset)}")
    return figure
