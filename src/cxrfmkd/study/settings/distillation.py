"""Settings of the students: which there are, and how one is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from cxrfmkd.runtime import plugins
from cxrfmkd.runtime.errors import did_you_mean
from cxrfmkd.study.losses import loss_names
from cxrfmkd.study.settings.base import AsWritten, Seeds, Settings
from cxrfmkd.vocabulary.backbones import BACKBONES, STUDENT, TIMM, probed_teacher
from cxrfmkd.vocabulary.losses import CONTROLS, loss_share, split_control


def _loss(name: str) -> str:
    if probed_teacher(name):
        raise ValueError(f"`{name}`: a loss cannot begin like the probe on a teacher.")
    base, _ = split_control(name)
    known = [*loss_names(), *sorted(plugins.names("loss"))]
    if base not in known and loss_share(base) is None:
        raise ValueError(
            f"there is no loss `{name}`.{did_you_mean(base, known)} The losses are "
            f"{', '.join(known)} and "
            "mse-cosine-A with a share of MSE such as 0.6, and each with "
            f"-{', -'.join(CONTROLS)} for a control."
        )
    return name


def _backbone(name: str) -> str:
    known = [*BACKBONES, *sorted(plugins.names("backbone"))]
    if name not in known and not name.startswith(TIMM):
        hint = did_you_mean(name, known, 3, mark="")
        raise ValueError(
            f"there is no backbone `{name}`.{hint} The names are torchvision's "
            "(docs/training.md), timm's behind timm_, and those of the files of `plugins`."
        )
    return name


BackboneName = Annotated[str, AfterValidator(_backbone)]
LossName = Annotated[str, AfterValidator(_loss)]


class Distillation(Settings):
    """Training one student on the teacher's embeddings."""

    epochs: int = Field(40, ge=1)
    """passes over the training images"""
    batch_size: int = Field(128, ge=1)
    """images per step"""
    learning_rate: float = Field(0.01, ge=0)
    """peak of the one-cycle schedule (the thesis: 10 x 0.001)"""
    flip: bool = False
    """mirror half of the images; the teacher saw them unmirrored, so the thesis's `true` asks the
    student to be blind to the heart's side"""
    affine: bool = True
    """rotate and scale half of the images"""
    standardise_teacher: Literal["none", "per-dimension", "phi-s"] = "none"
    """`none`; `per-dimension` or `phi-s` standardise the targets on the training images"""
    split: Literal["patient", "image-by-seed"] = "patient"
    """how the validation images are divided into the distillation's own validation and test parts,
    70 : 30: `patient` (fixed, by patient) or `image-by-seed` (by image, anew for every seed, as the
    thesis)"""
    loss_scales: dict[str, float] = {}
    """weighted losses: the plateau values that divide MSE and cosine; empty to measure them on the
    dataset's own mse and cosine students"""
    relational_weight: float = Field(0.0, ge=0)
    """weight of the relational term (pairwise cosines within the batch) added to any loss; 0 for
    none"""


class DistillationSection(Distillation):
    """Training students on the teacher's embeddings."""

    datasets: list[str] = ["chexpert", "mimic"]
    """datasets whose teacher is distilled"""
    teachers: list[str] = []
    """names of `teachers` that every student reproduces beside `teacher`, each through a projection
    of its own; they need `standardise_teacher` (docs/teacher.md)"""
    losses: list[LossName] = ["mse", "cosine", "mse-cosine-learned"]
    """losses, from the vocabulary of docs/training.md; `mse-shuffled`, `mse-random` and
    `mse-labels`, and so of every loss, are controls that isolate what the teacher gives"""
    backbones: list[BackboneName] = [STUDENT]
    """networks that are distilled into, by torchvision's names, timm's with `timm_` in front, or
    yours (`plugins`); each is a student of its own per loss and seed, called mse-on-resnet18 where
    it is not densenet169"""
    seeds: Seeds = [41, 42, 43, 44, 45]
    """one student per loss and seed"""
    select_on: Literal["val", "test"] = "val"
    """part on which the best seed is chosen: `val`, or `test` as the thesis did"""
    per_loss: dict[LossName, Annotated[Distillation, AsWritten]] = {}
    """settings of one training that differ for single losses, such as {cosine: {epochs: 60}}"""
