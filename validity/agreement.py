"""Labels held to those of experts: their agreement, and whether models rank alike under both."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import numpy as np
from cases import AT_LEAST, Case, Hits
from scipy.stats import kendalltau, norm
from sklearn.metrics import roc_auc_score
from worlds import clustered, covers

from cxrfmkd.datasets.disclosure import Disclosure
from cxrfmkd.evaluation import reference, subgroups
from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.study.settings import Evaluation
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.metrics import METRICS

REPLICATES = 200
SETTINGS = Evaluation(replicates=REPLICATES, minimum_cell=1)


def of_patients(rng: np.random.Generator, patients: int) -> np.ndarray:
    """Patient of each image, one to three each."""
    return np.repeat(np.arange(patients), rng.integers(1, 4, patients))


def everyone(n: int) -> np.ndarray:
    """The group of all images."""
    return np.zeros((n, 1), np.int16)


def of_labels(patients: int, prevalence: float, sensitivity: float, specificity: float):
    """A labeller whose errors on a patient's images come together."""
    truth = {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "kappa": float(
            reference.kappa(np.array(prevalence), np.array(sensitivity), np.array(1 - specificity))
        ),
    }

    def simulate(rng: np.random.Generator) -> Hits:
        owner = of_patients(rng, patients)
        sick = norm.cdf(clustered(rng, owner)) < prevalence
        right = norm.cdf(clustered(rng, owner)) < np.where(sick, sensitivity, specificity)
        targets, labelled = np.full((2, len(owner), len(FINDINGS)), np.nan)
        targets[:, 0], labelled[:, 0] = sick, sick == right
        codes = everyone(len(owner))
        seed = int(rng.integers(2**31))
        sample = Sample(targets, owner, np.ones(len(owner)), codes, REPLICATES, seed=seed)
        groups = subgroups.PatientGroups(codes, ["all"], ["all"])
        cells = SimpleNamespace(groups=groups, disclosed=Disclosure([]), findings=THESIS)
        settings = SETTINGS.model_copy(update={"seed": seed})
        table = reference.agreement(
            SimpleNamespace(sample=sample, settings=settings, cells=cells), labelled
        )
        table = table[table.finding == FINDINGS[0]].set_index("metric")
        return {
            f"{name} of the labels": covers(table.low[name], value, table.high[name])
            for name, value in truth.items()
        }

    return simulate


def of_ranks(patients: int, models: int, of_labeller: float, step: float):
    """Models that read what experts see, and, the more so the worse they are, what labels say.

    step: in SD, between one model's discrimination and the next. of_labeller: share of what the
    labels say alone in the score of the last model.
    """
    skill = 0.6 + step * np.arange(models)[::-1]
    leaning = of_labeller * np.linspace(0, 1, models)

    def made(rng: np.random.Generator, owner: np.ndarray):
        expert = clustered(rng, owner)
        labeller = 0.6 * expert + 0.8 * clustered(rng, owner)
        noise = clustered(rng, owner)
        scores = skill * expert[:, None] + leaning * labeller[:, None] + noise[:, None]
        scores += 0.7 * rng.normal(size=scores.shape)
        return [expert > 0.5, labeller > 0.5], scores

    @cache
    def true() -> float:
        truths, scores = made(np.random.default_rng(0), np.arange(400_000))
        areas = [[roc_auc_score(truth, scores[:, m]) for m in range(models)] for truth in truths]
        return kendalltau(*areas).statistic

    def simulate(rng: np.random.Generator) -> Hits:
        owner = of_patients(rng, patients)
        truths, scores = made(rng, owner)
        seed, sides = int(rng.integers(2**31)), []
        for truth in truths:
            targets = truth[:, None].astype(float)
            ones, codes = np.ones(len(owner)), everyone(len(owner))
            sample = Sample(targets, owner, ones, codes, REPLICATES, seed=seed)
            shape = 1 + REPLICATES, len(THESIS.rows), len(METRICS)
            sides.append(
                [
                    np.broadcast_to(
                        sample.measure(scores[:, m, None]).metrics[:, None, :, 0, 0], shape
                    )
                    for m in range(models)
                ]
            )
        table = reference.rank_agreement(*sides, 0.95)
        row = table[table.metric == "auc_roc"].iloc[0]
        return {"Kendall's tau": covers(row.low, true(), row.high)}

    return simulate


CASES = [
    Case(
        "Labels against experts",
        f"{patients} patients, prevalence {prevalence:.0%}, "
        f"sensitivity {sensitivity:.0%}, specificity {specificity:.0%}",
        of_labels(patients, prevalence, sensitivity, specificity),
        worlds=1000,
    )
    for patients, prevalence, sensitivity, specificity in (
        (300, 0.3, 0.8, 0.9),
        (300, 0.1, 0.7, 0.95),
        (150, 0.4, 0.95, 0.95),
    )
] + [
    Case(
        "Ranks of models",
        f"300 patients, {models} models {step:g} SD apart, "
        + (f"labels' own share {share:g}" if share else "read alike"),
        of_ranks(300, models, share, step),
        worlds=500,
        kind=AT_LEAST,
    )
    for models, share, step in ((5, 0.0, 0.1), (5, 0.8, 0.1), (8, 0.8, 0.3))
]
