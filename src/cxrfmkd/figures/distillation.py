"""How close students come to the teacher, beside controls without distillation; training curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxrfmkd.figures import style
from cxrfmkd.figures.panels import PanelFigure, handle, label_rows, log_ticks, note, plane
from cxrfmkd.tables.selecting import loss_order, of_each_teacher, where
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


def select_distillation(qualities: Sequence[dict], dataset: str) -> pd.DataFrame:
    """Long table of every measure: of each loss's students, of the controls, of each teacher.

    qualities: contents of `quality.json` with what their path says under `about`. Controls are
    averaged over losses.
    """
    rows = []
    for quality in qualities:
        loss = quality["about"]["loss"]
        for part in of_each_teacher(quality):
            sources = [("student", loss, part["student"]), ("teacher", "", part["teacher"])]
            sources += [("control", name, values) for name, values in part["controls"].items()]
            for kind, name, values in sources:
                rows += [
                    (dataset, part.get("name", ""), kind, name, measure, values[measure])
                    for measure in MEASURES
                    if values.get(measure) is not None
                ]
    keys = ["dataset", "teacher", "kind", "name", "measure"]
    table = pd.DataFrame(rows, columns=[*keys, "value"])
    return table.groupby(keys, sort=False).value.mean().reset_index()


def row_labels(table: pd.DataFrame) -> dict[tuple[str, str], str]:
    """(kind, name) of the rows of the figure, students above controls -> how people write it."""
    losses = sorted(set(table.name[table.kind == "student"]), key=loss_order)
    controls = set(table.name[table.kind == "control"])
    return {("student", loss): style.short_loss(loss) for loss in losses} | {
        ("control", name): title for name, title in CONTROL_TITLES.items() if name in controls
    }


def off_scale(value: float) -> str:
    """What is written at the left edge of a panel that `value` lies beyond; else nothing."""
    return f"← {value:.3g}".replace("-", "−") if value < FLOOR else ""


def _draw_measure(panel: Axes, measure: str, values: pd.Series, students: int) -> None:
    """values: of students and below them controls; NaN where the measure has none."""
    shown, y = values.clip(lower=FLOOR), np.arange(len(values))
    chance = CHANCE.get(measure, 0.0)
    panel.axhspan(students - 0.5, len(values), color=style.BAND, linewidth=0, zorder=0)
    panel.hlines(y, chance, shown, color=style.RULE, linewidth=2.2, zorder=1)
    panel.axvline(chance, color=style.AXIS, linewidth=0.8, zorder=1)
    colours = [style.BLUE] * students + [style.AXIS] * (len(values) - students)
    panel.scatter(shown, y, s=24, c=colours, linewidths=0, zorder=3)
    for row, value in enumerate(values):
        if text := off_scale(value):
            note(panel, row, text, 0.25)
    panel.set_title(MEASURES[measure], fontsize=7.5)
    panel.locator_params(axis="x", nbins=3)


def draw_distillation(table: pd.DataFrame, dataset: str) -> Figure:
    """A panel a measure, a row of panels a teacher; students above, controls in grey below.

    The teacher itself is a line.
    """
    teachers = list(dict.fromkeys(table.teacher))
    labels = row_labels(table)
    students = sum(kind == "student" for kind, _ in labels)
    measures = [measure for measure in MEASURES if measure in set(table.measure)]
    size = (0.93, max(1.0, 0.165 * (len(labels) + 0.6)))
    columns = len(measures)
    figure = PanelFigure(columns * len(teachers), columns, size, sharey=True)
    for panels, teacher in zip(figure.panels, teachers, strict=True):
        of_teacher = table[table.teacher == teacher]
        values = of_teacher.pivot(index=["kind", "name"], columns="measure", values="value")
        for panel, measure in zip(panels, measures, strict=True):
            shown = values.reindex(columns=measures)[measure]
            _draw_measure(panel, measure, shown.reindex(list(labels)), students)
            if np.isfinite(itself := shown.get(("teacher", ""), np.nan)):
                look: style.Look = {"color": style.INK, "linewidth": 0.9, "linestyle": style.DASHED}
                panel.axvline(itself, zorder=1, **look)
        label_rows(panels[0], list(labels.values()))
        if len(teachers) > 1:
            panels[0].set_ylabel(teacher, fontsize=8, weight="bold")
    about = "Students of each loss, mean over seeds, on validation images (blue)"
    about += " and controls (grey)" if students < len(labels) else ""
    about += "; dashed: a probe on the teacher itself" if (table.kind == "teacher").any() else ""
    kept_of = " and ".join(teachers) if len(teachers) > 1 else "the teacher"
    title = f"What the students of {dataset_title(dataset)} kept of {kept_of}"
    return figure.finish(title, about)


def select_training(history: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Losses by epoch of every seed."""
    columns = ["dataset", "loss", "seed", "epoch", "train_loss", "val_loss"]
    return where(history, dataset=dataset)[columns].reset_index(drop=True)


def draw_training(table: pd.DataFrame, dataset: str) -> Figure:
    """A panel a loss; validation solid, training dashed, a dot at each seed's best epoch."""
    losses = sorted(set(table.loss), key=loss_order)
    figure = PanelFigure(len(losses), min(4, len(losses)), (1.65, 1.15))
    train: style.Look = {"color": style.AXIS, "linestyle": style.DASHED}
    val: style.Look = {"color": style.BLUE}
    for panel, loss in zip(figure.used, losses, strict=True):
        rows = where(table, loss=loss)
        plane(panel)
        for _, epochs in rows.groupby("seed"):
            panel.plot(epochs.epoch + 1, epochs.train_loss, linewidth=0.8, **train)
            panel.plot(epochs.epoch + 1, epochs.val_loss, linewidth=0.9, alpha=0.8, **val)
            best = epochs.loc[epochs.val_loss.idxmin()]
            panel.scatter(best.epoch + 1, best.val_loss, s=12, linewidths=0, zorder=3, **val)
        if (rows[["train_loss", "val_loss"]] > 0).all(axis=None):
            panel.set_yscale("log")
            log_ticks(panel.yaxis)
        panel.set_title(style.short_loss(loss), fontsize=7.5)
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    figure.panels[-1, 0].set_xlabel("epoch", loc="left", color=style.MUTED)
    figure.panels[0, 0].set_ylabel("loss", loc="top", color=style.MUTED)
    validation = handle("validation, best epoch dotted", marker="", **val)
    figure.add_legend([validation, handle("training", marker="", **train)])
    return figure.finish(f"Training the students of {dataset_title(dataset)}")
