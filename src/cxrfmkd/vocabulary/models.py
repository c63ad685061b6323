"""The models of the study: what each name means, defined once.

Source: thesis method, sections 1.2 and 5.
"""

from __future__ import annotations

from dataclasses import dataclass

from cxrfmkd.vocabulary.backbones import STUDENT, on_backbone, split_student


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

STRATEGIES = ("direct", "linear-probe", "full-finetune")

# Columns of a result table that name a run family: one model's runs over all seeds.
RUN_FAMILY = ["dataset", "source", "strategy", "model", "loss"]


def split_model(name: str) -> tuple[str, str]:
    """A model's wildcard into (model, loss): `cxr-fmkd-lp.mse` -> ("cxr-fmkd-lp", "mse").

    The loss of a model that has none is the empty string. Where the backbone is not the default,
    the loss carries it: `mse-on-resnet18`, or `on-resnet18` without distillation.
    """
    model, _, loss = name.partition(".")
    return model, loss


def network_of(name: str) -> str:
    """Architecture of a model's image network, or "teacher"; `name` carries its loss."""
    model, loss = split_model(name)
    backbone = split_student(loss)[1]
    return backbone if backbone != STUDENT else MODELS[model].backbone


def run_folder(source: str, target: str, strategy: str, model: str, seed: int) -> str:
    """Folder below the results of a classifier's run; `model` carries its loss."""
    if strategy == "own":
        return f"{target}/models/{model}/seed{seed}"
    return f"{source}-to-{target}/{strategy}/{model}/seed{seed}"


def reference_model(kind: str, model: str, loss: str) -> tuple[str, str]:
    """The model and loss that a model is compared with in a comparison of this kind.

    "teacher": the probe on the teacher's own embeddings. "baseline": the same network without
    distillation, probed or fine-tuned as the model is.
    """
    if kind == "teacher":
        return "cxr-fm-lp", ""
    return "cxr-model-fft" if MODELS[model].finetuned else "cxr-model-lp", on_backbone(loss)


def join_model(model: str, loss: str = "") -> str:
    """The wildcard of a model: its name, and after a dot its loss where it has one."""
    return f"{model}.{loss}" if loss else model
