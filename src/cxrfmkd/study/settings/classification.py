"""Settings of the classifiers: probes, full fine-tunes and their transfer to other datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from cxrfmkd.study.settings.base import Seeds, Settings
from cxrfmkd.study.settings.distillation import LossName
from cxrfmkd.vocabulary.models import MODELS, STRATEGIES

if TYPE_CHECKING:
    ModelName: TypeAlias = str
    StrategyName: TypeAlias = str
else:  # known when the program runs
    ModelName, StrategyName = Literal[tuple(MODELS)], Literal[STRATEGIES]


class Classification(Settings):
    """Training the 14-label classifiers."""

    datasets: list[str] = ["chexpert", "mimic"]
    """datasets on which classifiers are trained"""
    models: list[ModelName] = list(MODELS)
    """models of docs/training.md"""
    seeds: Seeds = [41, 42, 43, 44, 45]
    """one classifier per model, loss and seed"""
    student: Literal["same-seed", "selected"] = "same-seed"
    """student that a distilled model starts from: `same-seed`, the classifier of seed s starts from
    the student of seed s, so that comparing two losses compares trainings, not two networks;
    `selected`, every seed starts from the student selected on the distillation's data, as the
    thesis"""


class Probe(Settings):
    """Linear probes: a new head on frozen features."""

    protocol: Literal["converged", "thesis"] = "converged"
    """`converged`: standardised features, L2 grid, L-BFGS to convergence, best on validation;
    `thesis`: raw features, Adam at a constant rate, best epoch on validation"""
    l2: list[Annotated[float, Field(ge=0)]] = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]
    """converged: penalties to choose from"""
    bootstrap: bool = False
    """converged: `true` draws the training patients anew for every seed, so that the spread over
    seeds shows what the training sample contributes, at a cost in accuracy; `false` gives every
    seed the one optimum on all patients (see docs/probes.md)"""
    epochs: int = Field(20, ge=1)
    """thesis: passes over the training features"""
    batch_size: int = Field(128, ge=1)
    """thesis: rows per step"""
    learning_rate: float = Field(0.001, ge=0)
    """thesis: Adam's rate"""
    bce: Literal["logits", "probabilities"] = "logits"
    """thesis: `logits`, or `probabilities` (binary cross-entropy after the sigmoid, as the
    thesis)"""
    batch_norm: Literal["frozen", "drifting"] = "frozen"
    """`frozen`; `drifting` reproduces the thesis's probes on images, whose batch-norm statistics
    moved while the head was trained (no features can be kept then, so every probe runs the
    network)"""


class Finetuning(Settings):
    """Full fine-tunes: every weight is trained."""

    epochs: int = Field(20, ge=1)
    """passes over the training images, at the most"""
    batch_size: int = Field(128, ge=1)
    """images per step"""
    learning_rate: float = Field(1e-4, ge=0)
    """Adam's rate (the thesis: 0.001)"""
    schedule: Literal["constant", "cosine"] = "cosine"
    """`constant` as the thesis, or `cosine` with warm-up"""
    patience: int | None = Field(3, ge=1)
    """stop after this many epochs without a better validation loss; null to run all"""
    flip: bool = True
    """mirror half of the images"""
    affine: bool = True
    """rotate and scale half of the images"""
    bce: Literal["logits", "probabilities"] = "logits"
    """`logits`, or `probabilities` (binary cross-entropy after the sigmoid, as the thesis)"""


class Transfer(Settings):
    """What a transfer starts from."""

    start: Literal["same-seed", "selected-seed"] = "same-seed"
    """`same-seed`: the target's seed s starts from the source's seed s; `selected-seed`: every seed
    starts from the source's best, as the thesis"""
    projection: Literal["keep", "discard"] = "keep"
    """linear probe and full fine-tune of cxr-fmkd models: `keep` the projection, or `discard` it as
    the thesis"""
    probed_source: Literal["finetune", "head-only"] = "finetune"
    """full fine-tune of a source that was a linear probe: `finetune` every weight, or `head-only`
    as the thesis"""


def _pair(names: list[str]) -> list[str]:
    if len(names) != 2 or names[0] == names[1]:
        raise ValueError(f"{names} is no [source, target] pair.")
    return names


class TransferSection(Transfer):
    """Using the models of one dataset on another."""

    pairs: list[Annotated[list[str], AfterValidator(_pair)]] = [["chexpert", "mimic"]]
    """[source, target] pairs"""
    leave_one_out: list[str] = []
    """three or more datasets; for each, short for a pool `without-<name>` of the others that is
    trained on and transferred to it (docs/data.md)"""
    strategies: list[StrategyName] = list(STRATEGIES)
    """what is done with a source's model on the target"""
    models: list[ModelName] = [
        "cxr-fm-lp",
        "cxr-model-lp",
        "cxr-model-fft",
        "cxr-fmkd-lp",
        "cxr-fmkd-fft",
        "cxr-fmkd-direct-lp",
        "cxr-fmkd-direct-fft",
    ]
    """models to transfer"""
    losses: list[LossName] = ["mse", "cosine"]
    """losses of the distilled models to transfer"""
