"""The losses of distillation as the study names them; their functions are in `training.losses`."""

from __future__ import annotations

import re

from cxrfmkd.vocabulary.backbones import STUDENT, probed_teacher, split_student, student_name

# Losses of the thesis in its order. Any other is called by its name.
LOSS_TITLES = {
    "mse": "MSE",
    "mae": "MAE",
    "huber": "Huber",
    "cosine": "Cosine",
    "mse-cosine": "MSE + cosine",
    "mse-cosine-learned": "MSE + cosine, learned weights",
}


# Students of a control are trained like the others, but what they reproduce is not the teacher's.
CONTROLS = {
    "shuffled": "embeddings of other patients",
    "random": "a random network as teacher",
    "labels": "the labels as teacher",
}


def split_control(loss: str) -> tuple[str, str]:
    """A student without its control, and that control: `mse-shuffled` -> ("mse", "shuffled").

    The backbone's name stays; the control of a student of the teacher is the empty string.
    """
    name, backbone = split_student(loss)
    base, _, last = name.rpartition("-")
    return (student_name(base, backbone), last) if base and last in CONTROLS else (loss, "")


def control_of(loss: str, control: str) -> str:
    """The same student of a control: ("mse", "shuffled") -> `mse-shuffled`."""
    name, backbone = split_student(loss)
    return student_name(f"{name}-{control}", backbone)


def loss_share(loss: str) -> float | None:
    """The share of MSE in a weighted loss, `mse-cosine-0.6` -> 0.6; None for every other name."""
    match = re.fullmatch(r"mse-cosine-(0\.\d*[1-9])", split_control(loss)[0])
    return float(match[1]) if match else None


def loss_title(loss: str) -> str:
    """A loss as people read it; the weighted ones say their share of MSE.

    A student's name says its backbone too, where that is not the default; what is no loss but the
    name of a probed teacher says that.
    """
    if teacher := probed_teacher(loss):
        return f"teacher {teacher}"
    loss, backbone = split_student(loss)
    network = "" if backbone == STUDENT else f" on {backbone}"
    if not loss:
        return network.strip()
    loss, control = split_control(loss)
    if control:
        return f"{loss_title(loss)}, {CONTROLS[control]}" + network
    share = loss_share(loss)
    if share is not None:
        return f"MSE + cosine, {share:g} : {round(1 - share, 3):g}" + network
    return (LOSS_TITLES.get(loss) or loss.replace("-", " ").capitalize()) + network
