"""Settings of the evaluation and of the bias analysis."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from cxrfmkd.runtime import plugins
from cxrfmkd.runtime.errors import did_you_mean
from cxrfmkd.study.settings.attributes import AttributeName
from cxrfmkd.study.settings.base import Settings
from cxrfmkd.study.settings.classification import ModelName
from cxrfmkd.study.settings.distillation import LossName
from cxrfmkd.vocabulary.groups import ATTRIBUTES

Adjustment = Literal["fdr_by", "fdr_bh", "holm", "none"]


class Evaluation(Settings):
    """Metrics and their intervals."""

    replicates: int = Field(2000, ge=0)
    """bootstrap replicates; 0 for none"""
    unit: Literal["patient", "row"] = "patient"
    """what a replicate draws: `patient`, or `row` within label strata as the thesis"""
    confidence: float = Field(0.95, ge=0.5, le=0.999)
    """coverage of the intervals"""
    target_fpr: float = Field(0.2, ge=0, le=1)
    """false-positive rate of the operating point"""
    attributes: list[AttributeName] = list(ATTRIBUTES)
    """attributes for subgroups, those of `attributes` too by default; what a dataset lacks,
    `datasets.<name>.attributes` leaves out"""
    comparisons: list[Literal["teacher", "baseline", "loss", "control"]] = [
        "teacher",
        "baseline",
        "loss",
        "control",
    ]
    """what each model is compared with, every kind a family of tests: `teacher` (the probe on the
    teacher's embeddings), `baseline` (the same network without distillation), `loss` (the loss that
    does best on validation), `control` (the same loss's controls, where the study has them)"""
    seeds: Literal["all", "selected"] = "all"
    """what the tables of groups and performance against bias are of: the mean over `all` seeds, or
    the one `selected` on validation, as the thesis (of models trained on the dataset itself)"""
    adjustment: Adjustment = "fdr_by"
    """adjustment of p-values within a family: Benjamini-Yekutieli, as the thesis's bias tests,
    Benjamini-Hochberg, Holm or none"""
    margin: float = Field(0.01, gt=0, le=1)
    """margin of equivalence, to be declared before any result: a difference of two models in a
    metric that is smaller counts as none"""
    minimum_cell: int = Field(10, ge=1)
    """smaller groups are suppressed"""
    seed: int = 42
    """seed of the replicates"""


def _metric_of_plugins(name: str) -> str:
    names = sorted(plugins.names("metric"))
    if name not in names:
        raise ValueError(
            f"no file of `plugins` has a metric `{name}`.{did_you_mean(name, names)}"
            f"{' They have ' if names else ''}{', '.join(names)}{'.' if names else ''}"
        )
    return name


class EvaluationSection(Evaluation):
    """Metrics and their intervals."""

    metrics: dict[
        Annotated[str, AfterValidator(_metric_of_plugins)], Literal["higher", "lower"]
    ] = {}
    """metrics of your own (`plugins`) beside the four, and whether `higher` or `lower` is better,
    such as {partial_auc: higher} (docs/extending.md)"""


class Bias(Settings):
    """What the embeddings of one model reveal about sex, race and age."""

    attributes: list[AttributeName] = ["sex", "race", "age"]
    """attributes to test, the protected ones of `attributes` too by default; what a dataset lacks,
    `datasets.<name>.attributes` leaves out"""
    seeds: Literal["all", "selected"] = "all"
    """`all` seeds of a fine-tuned model, or only the one `selected` on validation, as the thesis"""
    variant: Literal["v1", "v2"] = "v2"
    """`v2`: unique images, race samples matched by sex, disease and age (the thesis's final
    analysis); `v1`: every resampled row"""
    sample_per_group: int = Field(1000, ge=2)
    """images per race in the main sample"""
    shortage: Literal["reduce", "error"] = "reduce"
    """where a race has fewer images: `reduce` all to the largest equal number, or stop with an
    `error`, as the thesis"""
    order: Literal["records", "drawn"] = "records"
    """order of the images from which samples are drawn: of the `records`, or as first `drawn` into
    the resampled test set, as the thesis (needs `resampling.method: draws`)"""
    fit: Literal["test", "validation"] = "test"
    """images on which PCA is fitted: `test`, as the thesis, or `validation`"""
    scaling: Literal["none", "standardise"] = "none"
    """`none`, as the thesis, or `standardise` every dimension on the images on which PCA is fitted,
    so that none leads by its unit alone"""
    simulations: int = Field(5000, ge=0)
    """repeated samples with seeds 1, 2, …; 0 for none"""
    permutations: int = Field(1000, ge=0)
    """patient permutations for the null of the score; 0 for none"""
    replicates: int = Field(1000, ge=0)
    """patient bootstrap replicates of the effect sizes; 0 for none"""
    variance: float = Field(0.99, ge=0.1, le=1)
    """share of variance that PCA keeps"""
    modes: int = Field(4, ge=1)
    """PCA modes that are tested"""
    tsne_points: int = Field(3000, ge=0)
    """images in the t-SNE picture; 0 for none"""
    seed: int = 42
    """seed of samples, permutations and t-SNE"""


class Erasure(Settings):
    """What one job needs to erase attributes from the input of a probe's head."""

    attributes: list[AttributeName]
    """attributes that are erased, each alone"""
    replicates: int = Field(1000, ge=0)
    """patient bootstrap replicates, of `bias`"""
    seed: int = 42
    """seed of the replicates, of `bias`"""
    confidence: float = Field(0.95, ge=0.5, le=0.999)
    """coverage of the intervals, of `evaluation`"""
    target_fpr: float = Field(0.2, ge=0, le=1)
    """false-positive rate of the operating point, of `evaluation`"""
    minimum_cell: int = Field(10, ge=1)
    """smaller groups are suppressed, of `evaluation`"""
    adjustment: Adjustment = "fdr_by"
    """adjustment of p-values, of `evaluation`"""


class BiasSection(Bias):
    """What the embeddings reveal about sex, race and age."""

    margin: float = Field(0.05, gt=0, le=1)
    """margin of equivalence, to be declared before any result: a difference of two models in a
    measure of bias from 0 to 1 (D, energy, a probe's area) that is smaller counts as none"""
    erase: list[AttributeName] = []
    """attributes that are erased from the input of every analysed probe, to see whether its
    predictions use them (docs/bias.md); none by default"""
    models: list[ModelName] = []
    """models that are analysed; empty for all"""
    losses: list[LossName] = []
    """losses of the distilled models that are analysed; empty for all"""
    losses_of: dict[str, list[LossName]] = {}
    """losses of single datasets, where they are not `losses`, such as {mimic: [mse-cosine-0.9]}"""
