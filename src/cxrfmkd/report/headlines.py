"""What the study found, in sentences that are computed from its tables and carry their intervals.

Every function returns one finding, or None where the study has nothing to say about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from cxrfmkd.report.prose import (
    count,
    dataset_title,
    estimate,
    interval,
    model_name,
    number,
    p_value,
)
from cxrfmkd.tables.selecting import SIGNIFICANCE, comparisons_by_model, main_population, native
from cxrfmkd.vocabulary.findings import AVERAGE_OF_SEVEN
from cxrfmkd.vocabulary.models import MODELS, STRATEGIES, loss_title, title

METRIC = "auc_roc"
STRATEGY_TITLES = dict(
    zip(STRATEGIES, ("applied directly", "with a new head", "fully fine-tuned"), strict=True)
)


class Finding(NamedTuple):
    """subject: what it is about; text: the sentences."""

    subject: str
    text: str


def macro(summary: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Macro AUC-ROC of the dataset's own models in the main population, best first."""
    table = native(summary, dataset)
    table = table[
        (table.population == main_population(table))
        & (table.finding == "Macro")
        & (table.metric == METRIC)
    ]
    return table[table["mean"].notna()].sort_values("mean", ascending=False)


def _pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table.model, table.loss, strict=True))


def performance(
    summary: pd.DataFrame, comparisons: pd.DataFrame, dataset: str, confidence: float
) -> Finding | None:
    """The model with the highest macro AUC-ROC, and its paired differences from the two references."""
    table = macro(summary, dataset)
    if table.empty:
        return None
    best, pairs = table.iloc[0], _pairs(table)
    name = model_name(best.model, best.loss, pairs)
    text = (
        f"On {dataset_title(dataset)}, {name} has the highest macro AUC-ROC of "
        f"{count(len(table), 'model')}: "
        f"{number(best['mean'])} ({confidence:.0%} interval {interval(best.low, best.high)}) on "
        f"the {best.population} test set."
    ).replace("%", " %")
    found = comparisons_by_model(comparisons[comparisons.dataset == dataset])
    found = found[
        (found.strategy == "own")
        & (found.model == best.model)
        & (found.loss == best.loss)
        & (found.finding == "Macro")
        & (found.metric == METRIC)
        & (found.population == best.population)
    ]
    notes = {
        "baseline": "the same network without distillation",
        "teacher": "a probe on the teacher’s embeddings",
    }
    parts = []
    for kind in ("baseline", "teacher"):
        for row in found[found.kind == kind].itertuples():
            told = "" if row.p_adjusted < SIGNIFICANCE else ", which the data do not tell from 0"
            note = f" ({notes[kind]})" if MODELS[best.model].student else ""
            parts.append(
                f"{estimate(row.difference, row.low, row.high, sign=True)} from "
                f"{title(row.reference)}{note}, "
                f"adjusted {p_value(row.p_adjusted)}{told}"
            )
    if parts:
        text += f" It differs by {'; and by '.join(parts)}."
    return Finding("Performance", text)


def losses(summary: pd.DataFrame, comparisons: pd.DataFrame, dataset: str) -> Finding | None:
    """Whether the distillation loss matters: its spread beside that of the seeds, and the tests between losses."""
    table = macro(summary, dataset)
    table = table[table.loss != ""]
    spread = table.groupby("model", sort=False)["mean"].agg(["min", "max", "size"])
    spread = spread[spread["size"] > 1]
    if spread.empty:
        return None
    model = table[table.model.isin(spread.index)].model.iloc[0]
    row, seeds = spread.loc[model], table[table.model == model].sd.mean()
    text = (
        f"The {row['size']:.0f} distillation losses leave {MODELS[model].title} on "
        f"{dataset_title(dataset)} between {number(row['min'])} and "
        f"{number(row['max'])} macro AUC-ROC"
        + (f"; the seeds of one loss vary by {number(seeds)} (SD)." if seeds >= 0.0005 else ".")
    )
    found = comparisons_by_model(comparisons[comparisons.dataset == dataset])
    found = found[
        (found.kind == "loss")
        & (found.strategy == "own")
        & (found.metric == METRIC)
        & (found.finding == "Macro")
        & (found.population == table.population.iloc[0])
    ]
    if len(found):
        sure = int((found.p_adjusted < SIGNIFICANCE).sum())
        text += f" Of {count(len(found), 'comparison')} with the loss that is best on validation, {sure or 'none'} {'is' if sure == 1 else 'are'} significant after adjustment."
    return Finding("Losses", text)


def distillation(qualities: Sequence[dict], dataset: str) -> Finding | None:
    """The student that follows the teacher most closely, beside what the teacher's mean vector already has."""
    mine = [q for q in qualities if q["about"]["dataset"] == dataset]
    if not mine:
        return None
    best = max(mine, key=lambda q: q["student"]["centred_cosine"])
    student, constant = best["student"], best["controls"]["mean_vector"]
    text = (
        f"Of {count(len(mine), 'student')} on {dataset_title(dataset)}, the one distilled with "
        f"{loss_title(best['about']['loss'])} follows the "
        f"teacher most closely: centred cosine {number(student['centred_cosine'], 2)}, R² "
        f"{number(student['r2_overall'], 2)}. "
        f"The raw cosine, {number(student['cosine'], 3)}, says less: the teacher’s mean vector "
        f"alone has {number(constant['cosine'], 3)}."
    )
    return Finding("Distillation", text)


def transfer(summary: pd.DataFrame, source: str, target: str) -> Finding | None:
    """The best way to the target, and what a model loses that is not trained there at all."""
    table = summary[
        (summary.dataset == target) & (summary.source == source) & summary.strategy.isin(STRATEGIES)
    ]
    table = table[(table.finding == "Macro") & (table.metric == METRIC) & table["mean"].notna()]
    table = table[table.population == main_population(table)]
    if table.empty:
        return None
    pairs = _pairs(table)
    best = table.sort_values("mean", ascending=False).iloc[0]
    text = (
        f"From {dataset_title(source)} to {dataset_title(target)}, the highest macro AUC-ROC is "
        f"{estimate(best['mean'], best.low, best.high)}, of "
        f"{model_name(best.model, best.loss, pairs)} {STRATEGY_TITLES[best.strategy]}."
    )
    direct = table[table.strategy == "direct"].sort_values("mean", ascending=False)
    if len(direct) and best.strategy != "direct":
        first = direct.iloc[0]
        text += f" Without any training on the target, {model_name(first.model, first.loss, pairs)} reaches {estimate(first['mean'], first.low, first.high)}."
    return Finding("Transfer", text)


def subgroups(gaps: pd.DataFrame, summary: pd.DataFrame, dataset: str) -> Finding | None:
    """The widest gap between groups of patients, for the best model and the thesis's first finding."""
    ranked = macro(summary, dataset)
    if ranked.empty or gaps.empty:
        return None
    best = ranked.iloc[0]
    table = native(gaps, dataset)
    table = table[
        (table.kind == "range")
        & (table.metric == METRIC)
        & (table.finding == "Pleural Effusion")
        & (table.model == best.model)
        & (table.loss == best.loss)
        & (table.population == best.population)
        & ~table.attribute.str.contains(" x ", regex=False)
        & table.estimate.notna()
    ]
    if table.empty:
        return None
    row = table.sort_values("corrected", ascending=False).iloc[0]
    text = (
        f"In {model_name(best.model, best.loss, _pairs(ranked))} on {dataset_title(dataset)}, "
        f"AUC-ROC for Pleural Effusion differs most by {row.attribute}: "
        f"{estimate(row.estimate, row.low, row.high)} between {row.a} and {row.b}. If all groups "
        f"were served alike, {number(row.expected)} would be expected ({p_value(row.p)})."
    )
    return Finding("Subgroups", text)


def bias(scores: pd.DataFrame, dataset: str) -> Finding | None:
    """How many embeddings reveal more than permuted attributes would, and which reveals least."""
    table = scores[(scores.dataset == dataset) & scores.score.notna()]
    if table.empty:
        return None
    pairs = _pairs(table)
    what = {"race, sex": "race and sex"}.get(table.scored.iloc[0], table.scored.iloc[0])
    text = ""
    if table.p.notna().any():
        beyond = int((table.p < SIGNIFICANCE).sum())
        text = (
            f"On {dataset_title(dataset)}, {beyond or 'none'} of {count(len(table), 'embedding')} "
            f"{'have' if beyond > 1 else 'has'} a bias score for {what} beyond what "
            f"a random exchange between patients gives (p < {SIGNIFICANCE}). "
        )
    least, most = table.loc[table.score.idxmin()], table.loc[table.score.idxmax()]
    text += (
        f"The thesis’s score is lowest for {model_name(least.model, least.loss, pairs)} "
        f"({number(least.score, 0)} of 150"
        + (
            f", by chance {interval(least.null_low, least.null_high, 0)}"
            if pd.notna(least.null_low)
            else ""
        )
        + f") and highest for {model_name(most.model, most.loss, pairs)} ({number(most.score, 0)})."
    )
    return Finding("Bias", text)


def tradeoff(correlation: pd.DataFrame, dataset: str) -> Finding | None:
    """The rank correlation of bias score and AUC-ROC, and whether its interval leaves a side open."""
    table = correlation[
        (correlation.dataset == dataset)
        & (correlation.metric == METRIC)
        & (correlation.finding == AVERAGE_OF_SEVEN)
    ]
    table = table[
        (table.measure == "score")
        & (table.population == main_population(table))
        & table.spearman.notna()
    ]
    if table.empty:
        return None
    row = table.iloc[0]
    text = (
        f"Across {count(row.models, 'model')} of {count(row.families, 'family', 'families')} on "
        f"{dataset_title(dataset)}, bias score and mean AUC-ROC of the seven "
        "most relevant findings have a rank correlation of "
        f"{estimate(row.spearman, row.low, row.high, 2, sign=True)}"
    )
    if pd.isna(row.low):
        return Finding(
            "Performance vs. bias", text + "; there are too few families for an interval."
        )
    if row.low <= 0 <= row.high:
        return Finding("Performance vs. bias", text + ": no relation can be claimed.")
    side = (
        "also reveal more about the patient"
        if row.spearman > 0
        else "reveal less about the patient"
    )
    return Finding("Performance vs. bias", text + f": better models {side}.")


def thesis(against: pd.DataFrame) -> Finding | None:
    """How far our macro AUC-ROC lies from the thesis's."""
    table = against[(against.finding == "Macro") & (against.metric == METRIC)].dropna(
        subset=["ours", "thesis"]
    )
    if table.empty:
        return None
    difference = table.ours - table.thesis
    higher = int((difference > 0).sum())
    text = (
        f"Of {count(len(table), 'macro AUC-ROC', 'macro AUC-ROCs')} that the thesis logged too, "
        f"{higher} {'is' if higher == 1 else 'are'} higher here; "
        f"the median difference is {number(difference.median(), 3, sign=True)}, the largest "
        f"{number(difference.loc[difference.abs().idxmax()], 3, sign=True)}."
    )
    if (known := table.z.notna()).any():
        outside = int((table.z[known].abs() > 2).sum())
        text += f" {outside or 'None'} of {known.sum()} {'is' if outside == 1 else 'are'} further apart than two standard deviations over seeds."
    return Finding("Against the thesis", text)
