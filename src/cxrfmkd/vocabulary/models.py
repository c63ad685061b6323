"""The models of the study: what each name means, defined once.

Source: thesis method, sections 1.2 and 5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """A classifier: a backbone, perhaps the distillation's projection, and a 14-way head.

    backbone: architecture of the image network, or "teacher" when the input is the teacher's
    embedding itself.
    student: the backbone comes from a distilled student, so there is one such model per loss.
    projection: the head sits on the student's Linear(1664 -> teacher dimension), else on the pooled
    features.
    finetuned: every weight is trained (full fine-tune), else the head alone (linear probe).
    title: name in tables and figures.
    """

    backbone: str
    student: bool
    projection: bool
    finetuned: bool
    title: str


MODELS = {
    "cxr-fm-lp": Model("teacher", False, False, False, "CXR-FM-LP"),
    "cxr-model-lp": Model("densenet169", False, False, False, "CXR-Model-LP"),
    "cxr-model-fft": Model("densenet169", False, False, True, "CXR-Model-FFT"),
    "densenet121-fft": Model("densenet121", False, False, True, "DenseNet121-FFT"),
    "resnet50-fft": Model("resnet50", False, False, True, "ResNet50-FFT"),
    "cxr-fmkd-lp": Model("densenet169", True, True, False, "CXR-FMKD-LP"),
    "cxr-fmkd-fft": Model("densenet169", True, True, True, "CXR-FMKD-FFT"),
    "cxr-fmkd-direct-lp": Model("densenet169", True, False, False, "CXR-FMKD-Direct-LP"),
    "cxr-fmkd-direct-fft": Model("densenet169", True, False, True, "CXR-FMKD-Direct-FFT"),
}

# Features after global pooling of each backbone.
WIDTHS = {"densenet169": 1664, "densenet121": 1024, "resnet50": 2048}

STRATEGIES = ("direct", "linear-probe", "full-finetune")

# Columns of a result table that name a run family: one model's runs over all seeds.
FAMILY = ["dataset", "source", "strategy", "model", "loss"]

LOSS_TITLES = {
    "mse": "MSE",
    "mae": "MAE",
    "huber": "Huber",
    "cosine": "Cosine",
    "mse-cosine": "MSE + cosine",
    "mse-cosine-learned": "MSE + cosine, learned weights",
}


def split_model(name: str) -> tuple[str, str]:
    """A model's wildcard into (model, loss): `cxr-fmkd-lp.mse` -> ("cxr-fmkd-lp", "mse").

    The loss of a model that has none is the empty string.
    """
    model, _, loss = name.partition(".")
    return model, loss


def join_model(model: str, loss: str = "") -> str:
    """The wildcard of a model: its name, and after a dot its loss where it has one."""
    return f"{model}.{loss}" if loss else model


def title(name: str) -> str:
    """A model's wildcard as people read it: `cxr-fmkd-lp.mse` -> `CXR-FMKD-LP (MSE)`."""
    model, loss = split_model(name)
    return MODELS[model].title + (f" ({loss_title(loss)})" if loss else "")


def loss_title(loss: str) -> str:
    """A loss as people read it; the weighted ones say their share of MSE."""
    share = loss_share(loss)
    return (
        LOSS_TITLES[loss] if share is None else f"MSE + cosine, {share:g} : {round(1 - share, 3):g}"
    )


def loss_share(loss: str) -> float | None:
    """The share of MSE in a weighted loss, `mse-cosine-0.6` -> 0.6; None for every other name."""
    found = re.fullmatch(r"mse-cosine-(0\.\d*[1-9])", loss)
    return float(found[1]) if found else None


def known_loss(loss: str) -> bool:
    """Whether `loss` is in the study's vocabulary."""
    return loss in LOSS_TITLES or loss_share(loss) is not None
