"""The losses of distillation as the study names them; their functions are in `training.losses`."""

from __future__ import annotations

import re

from cxrfmkd.vocabulary.backbones import STUDENT, split_student

# Losses of the thesis in its order. Any other is called by its name.
LOSS_TITLES = {
    "mse": "MSE",
    "mae": "MAE",
    "huber": "Huber",
    "cosine": "Cosine",
    "mse-cosine": "MSE + cosine",
    "mse-cosine-learned": "MSE + cosine, learned weights",
}


def loss_share(loss: str) -> float | None:
    """The share of MSE in a weighted loss, `mse-cosine-0.6` -> 0.6; None for every other name."""
    match = re.fullmatch(r"mse-cosine-(0\.\d*[1-9])", loss)
    return float(match[1]) if match else None


def loss_title(loss: str) -> str:
    """A loss as people read it; the weighted ones say their share of MSE.

    A student's name says its backbone too, where that is not the default.
    """
    loss, backbone = split_student(loss)
    network = "" if backbone == STUDENT else f" on {backbone}"
    if not loss:
        return network.strip()
    share = loss_share(loss)
    if share is not None:
        return f"MSE + cosine, {share:g} : {round(1 - share, 3):g}" + network
    return (LOSS_TITLES.get(loss) or loss.replace("-", " ").capitalize()) + network
