"""Performance against bias: the thesis's line through one point a model, and rank correlation.

Source: thesis method, section 8. Points are means over seeds, or of the selected seed. Models that
share a backbone (a student, the teacher, an ImageNet network) or a way of training are not
independent: `association` ranks them within their kind and exchanges whole families.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from cxrfmkd.datasets.halves import HALVES
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_json, read_table
from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.tradeoff.association import NONE, Association, association
from cxrfmkd.vocabulary.findings import MACRO
from cxrfmkd.vocabulary.metrics import METRICS
from cxrfmkd.vocabulary.models import MODELS, join_model, network_of, split_model

MODEL = ["dataset", "model", "loss"]
KEYS = ["dataset", "population", "finding", "metric"]
# Columns of `scores.csv` for each measure of bias: value, low, high.
BIAS_COLUMNS = {
    "score": ("score", "score_low", "score_high"),
    "D": ("d_combined", "d_combined_low", "d_combined_high"),
}
WITHIN = "within low high p".split()
SPLIT = "split split_low split_high split_p".split()
FEWEST = 3  # points that a line or a correlation needs


def backbone_family(model: str, loss: str) -> str:
    """What a model's backbone comes from: a student of `loss`, the teacher, or initial weights."""
    return f"student {loss}" if MODELS[model].student else network_of(join_model(model, loss))


def training_kind(model: str) -> str:
    """How a model's head reads its backbone: probed or fine-tuned, in which space."""
    kind = MODELS[model]
    trained = "full fine-tune" if kind.finetuned else "linear probe"
    in_teachers_space = kind.projection or kind.backbone == "teacher"
    return f"{trained} of {'the teacher’s space' if in_teachers_space else 'pooled features'}"


def read_tables(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Tables one below the other; a blank loss is the empty string."""
    if not paths:
        raise InputError("performance_vs_bias: there are no tables to compare.")
    table = pd.concat([read_table(path, dtype={"loss": str}) for path in paths], ignore_index=True)
    return table.assign(loss=table.loss.fillna(""))


def of_selected(metrics: pd.DataFrame, selected: Sequence[str | Path]) -> pd.DataFrame:
    """The rows of evaluation's `metrics.csv` of the models' selected seeds, as of `summary.csv`.

    selected: the selected.json of every model of interest, as `<dataset>/models/<model>/` names it.
    """
    chosen = pd.DataFrame(
        [(*selected_model(path), read_json(path)["seed"]) for path in map(Path, selected)],
        columns=[*MODEL, "seed"],
    )
    rows = metrics[metrics.strategy == "own"].merge(chosen, on=[*MODEL, "seed"])
    return rows.rename(columns={"estimate": "mean"})


def selected_model(path: Path) -> tuple[str, str, str]:
    """Dataset, model and loss of a selected.json."""
    return (path.parts[-4], *split_model(path.parts[-2]))


def model_points(
    summaries: pd.DataFrame, scores: pd.DataFrame, findings: Findings = THESIS
) -> pd.DataFrame:
    """A row for each model, population, average of findings, metric and measure of bias.

    summaries: evaluation's `summary.csv` and `halves.csv`, of which the models trained on the
    dataset itself are taken; scores: `scores.csv`. The measures of bias are the score and D over
    all modes. Empty where the groups are too small for any score. Columns: docs/bias.md.
    """
    averages = summaries.finding.isin([findings.headline, MACRO])
    rows = summaries[(summaries.strategy == "own") & averages]
    rows = rows[rows.metric.isin(METRICS)]
    names = {"mean": "performance", "low": "performance_low", "high": "performance_high"}
    performance = rows.rename(columns=names)[[*KEYS, *MODEL[1:], *names.values()]]
    tables = []
    for measure, columns in BIAS_COLUMNS.items():
        bias = scores.reindex(columns=[*MODEL, *columns]).dropna(subset=columns[0])
        bias = bias.set_axis([*MODEL, "bias", "bias_low", "bias_high"], axis=1)
        tables.append(performance.merge(bias, on=MODEL).assign(measure=measure))
    table = pd.concat(tables, ignore_index=True).dropna(subset=["performance"])
    if performance.merge(scores[MODEL], on=MODEL).empty:
        raise InputError(
            "performance_vs_bias: no model is both in the summaries and among the bias scores. "
            "Give it tables of the same datasets."
        )
    families = [backbone_family(m, loss) for m, loss in zip(table.model, table.loss, strict=True)]
    return table.assign(family=families, kind=table.model.map(training_kind))


def is_half(population: str) -> bool:
    """Whether a population is one half of the patients of another."""
    return population.endswith(HALVES)


def correlations(points: pd.DataFrame, scores: pd.DataFrame, seed: int = 42) -> pd.DataFrame:
    """Line and rank correlations of every population, average, metric and measure of bias.

    points: from `model_points`. `spearman` is over all models, as they are; `within` is ranked
    within kinds and between families, with interval and p. `split` is the same of performance in
    one half of the patients (populations such as `resampled half 1`) with the score in the other,
    the mean of both ways round. Columns: docs/bias.md.
    """
    lines = []
    for key, models in points.groupby([*KEYS, "measure"], sort=False):
        selection = dict(zip([*KEYS, "measure"], key, strict=True))
        if is_half(selection["population"]):
            continue
        x, y = models.bias.to_numpy(float), models.performance.to_numpy(float)
        line = selection | {"models": len(models), "families": models.family.nunique()}
        if len(models) >= FEWEST and np.ptp(x) > 0 and np.ptp(y) > 0:
            line["slope"], line["intercept"] = np.polyfit(x, y, 1)
            line["spearman"] = spearmanr(x, y).statistic
            family, kind = models.family.to_numpy(), models.kind.to_numpy()
            within = association([(x, y)], family, kind, seed)
            line |= dict(zip(WITHIN, within, strict=True))
            if selection["measure"] == "score":
                split = _split_association(points, scores, selection, seed)
                line |= dict(zip(SPLIT, split, strict=True))
        lines.append(line)
    columns = [*"models families slope intercept spearman".split(), *WITHIN, *SPLIT]
    return pd.DataFrame(lines).reindex(columns=[*KEYS, "measure", *columns])


def _split_association(
    points: pd.DataFrame, scores: pd.DataFrame, selection: dict, seed: int
) -> Association:
    """Performance in one half of the patients with the other half's score, both ways round."""
    halves = [name.replace(" ", "_") for name in HALVES]
    models = scores[[*MODEL, *(f"score_{name}" for name in halves)]].dropna()
    for half, name in zip(HALVES, halves, strict=True):
        of_half = selection | {"population": f"{selection['population']} {half}"}
        rows = points[(points[list(of_half)] == pd.Series(of_half)).all(axis=1)]
        rows = rows.rename(columns={"performance": f"performance_{name}"})
        columns = [f"performance_{name}", "family", "kind"]
        models = models.merge(rows[[*MODEL, *columns]])
    if len(models) < FEWEST:
        return NONE
    pairs = [
        (models[f"score_{other}"].to_numpy(float), models[f"performance_{name}"].to_numpy(float))
        for name, other in zip(halves, reversed(halves), strict=True)
    ]
    return association(pairs, models.family.to_numpy(), models.kind.to_numpy(), seed)
