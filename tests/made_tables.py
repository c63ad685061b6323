"""Small result tables with known numbers, as the evaluation and the bias analysis would write them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.findings import FINDINGS, GROUPS
from cxrfmkd.zoo import MODELS

METRICS = ("auc_pr", "auc_roc", "youden_j_max", "youden_j_at_fpr20")
SKILL = {
    "cxr-fm-lp": 0.752, "cxr-model-lp": 0.701, "cxr-model-fft": 0.780, "densenet121-fft": 0.780,
    "resnet50-fft": 0.777, "cxr-fmkd-lp": 0.762, "cxr-fmkd-fft": 0.787, "cxr-fmkd-direct-lp": 0.768,
    "cxr-fmkd-direct-fft": 0.792,
}  # fmt: skip


def pairs(losses=("mse", "cosine"), models=tuple(MODELS)) -> list[tuple[str, str]]:
    """(model, loss) of every classifier of a small study."""
    return [(m, loss) for m in models for loss in (losses if MODELS[m].student else ("",))]


def _row(rng, skill: float, metric: str, finding: str) -> float:
    hard = (FINDINGS.index(finding) * 7 % 14) / 14 * 0.14 if finding in FINDINGS else 0.07
    value = skill + 0.07 - hard + rng.normal(0, 0.003)
    scale = {"auc_pr": 0.45, "auc_roc": 1.0, "youden_j_max": 0.55, "youden_j_at_fpr20": 0.52}
    return float(value * scale[metric])


def metrics(dataset="chexpert", losses=("mse", "cosine"), seeds=(41, 42, 43), transfer=True) -> pd.DataFrame:
    """One row per run, population, finding or group, and metric."""
    rng = np.random.default_rng(7)
    runs = [(dataset, "own", m, loss) for m, loss in pairs(losses)]
    if transfer:
        other = "mimic" if dataset == "chexpert" else "chexpert"
        for m, loss in pairs(losses):
            if m in ("densenet121-fft", "resnet50-fft"):
                continue
            for strategy in ("direct", "linear-probe", "full-finetune"):
                if strategy == "direct" or m != "cxr-fm-lp":
                    runs.append((other, strategy, m, loss))
    drop = {"own": 0.0, "direct": -0.05, "linear-probe": -0.01, "full-finetune": 0.005}
    rows = []
    for source, strategy, model, loss in runs:
        skill = SKILL[model] + drop[strategy] + (0.004 if loss == "cosine" else 0)
        for seed in seeds:
            for population in ("natural", "resampled"):
                for metric in METRICS:
                    shift = 0.02 if population == "natural" else 0.0
                    base = {f: _row(rng, skill + shift, metric, f) for f in FINDINGS}
                    values = base | {g: float(np.mean([base[f] for f in of])) for g, of in GROUPS.items()}
                    for finding, value in values.items():
                        rows.append((dataset, source, strategy, model, loss, seed, population, finding, metric,
                                     value, value - 0.012, value + 0.012, 400, 90))  # fmt: skip
    columns = ["dataset", "source", "strategy", "model", "loss", "seed", "population", "finding", "metric",
               "estimate", "low", "high", "n", "positives"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def summary(of: pd.DataFrame) -> pd.DataFrame:
    """Mean and SD over seeds with an interval."""
    keys = ["dataset", "source", "strategy", "model", "loss", "population", "finding", "metric"]
    table = of.groupby(keys, sort=False, dropna=False).estimate.agg(["mean", "std", "size"]).reset_index()
    table = table.rename(columns={"std": "sd", "size": "n_seeds"})
    return table.assign(low=table["mean"] - 0.015, high=table["mean"] + 0.014, n=400, positives=90)


def comparisons(dataset="chexpert", losses=("mse", "cosine"), metric="auc_roc") -> pd.DataFrame:
    """Paired differences of every model from every other one's macro."""
    names = [f"own/{m}.{loss}@{dataset}" if loss else f"own/{m}@{dataset}" for m, loss in pairs(losses)]
    skill = [SKILL[m] for m, _ in pairs(losses)]
    rows = []
    for i, a in enumerate(names):
        for j in range(i + 1, len(names)):
            d = skill[i] - skill[j]
            rows.append((dataset, "resampled", "Macro", metric, a, names[j], d, d - 0.008, d + 0.008,
                         0.001 if abs(d) > 0.008 else 0.4, 0.01 if abs(d) > 0.01 else 0.7, "own"))  # fmt: skip
    columns = ["dataset", "population", "finding", "metric", "model_a", "model_b", "difference", "low", "high",
               "p", "p_adjusted", "family"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


COMPARISONS = (
    ("disease", "Pleural Effusion", "No Finding"), ("race", "White", "Asian"), ("race", "White", "Black"),
    ("race", "Asian", "Black"), ("sex", "Male", "Female"), ("age", "up to 50", "51-70"),
    ("age", "up to 50", "over 70"), ("age", "51-70", "over 70"),
)  # fmt: skip


def ks(model: str, dataset="chexpert", seeds=(0,), modes=4, race=True) -> pd.DataFrame:
    """Distances and bands of one model; the last race comparison is suppressed."""
    rng = np.random.default_rng(len(model))
    rows = []
    for seed in seeds:
        for sample in ("main", "all", "simulation"):
            for mode in range(1, modes + 1):
                for attribute, a, b in COMPARISONS:
                    if attribute == "race" and not race:
                        continue
                    d = float(rng.uniform(0.01, 0.35 if attribute == "disease" else 0.2))
                    adjusted = 0.5 if d < 0.07 else 0.01 if d < 0.1 else 1e-5
                    band = "FALSE" if adjusted >= 0.05 else "TRUE" if adjusted >= 0.001 else "TRUE+"
                    line = (dataset, model, seed, sample, mode, attribute, a, b, 1000, 1000, d, adjusted / 9, adjusted, band)  # fmt: skip
                    small = a == "Asian" and model == "resnet50-fft"
                    rows.append((*line[:8], *[np.nan] * 5, np.nan) if small else line)
    columns = ["dataset", "model", "seed", "sample", "mode", "attribute", "a", "b", "n_a", "n_b", "d", "p",
               "p_adjusted", "band"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def score(model: str, dataset="chexpert", seeds=(0,), race=True) -> pd.DataFrame:
    """The score of one model in every sample and form."""
    rng = np.random.default_rng(len(model) + 1)
    names = (["race"] if race else []) + ["sex", "age", "combined" if race else "combined (sex)"]
    rows = []
    for seed in seeds:
        for sample in ("main", "all", "simulation"):
            for form in ("normalised", "unnormalised", "filtered"):
                for name in names:
                    value = float(rng.uniform(20, 140))
                    many = sample == "simulation"
                    rows.append((dataset, model, seed, sample, form, name, value, value - 12 if many else np.nan, value + 12 if many else np.nan))  # fmt: skip
    return pd.DataFrame(rows, columns=["dataset", "model", "seed", "sample", "form", "attribute", "score", "low", "high"])
