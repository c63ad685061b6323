"""The main results in sentences that are computed from the tables and carry their intervals.

Every function returns one headline, or None where the study has nothing to say about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from cxrfmkd.report.data import ReportData
from cxrfmkd.report.prose import count, estimate, interval, model_name, number, p_value
from cxrfmkd.tables.selecting import (
    HEADLINE_METRIC,
    SIGNIFICANCE,
    comparisons_by_model,
    in_main_population,
    native,
    ranked_models,
    single_attributes,
    transferred,
    where,
)
from cxrfmkd.vocabulary.findings import AVERAGE_OF_SEVEN, BY_RELEVANCE, MACRO
from cxrfmkd.vocabulary.losses import loss_title
from cxrfmkd.vocabulary.models import MODELS, STRATEGIES
from cxrfmkd.vocabulary.titles import dataset_title, model_title

HEADLINED = {"finding": MACRO, "metric": HEADLINE_METRIC}
TRANSFERRED = dict(
    zip(STRATEGIES, ("applied directly", "with a new head", "fully fine-tuned"), strict=True)
)
REFERENCES = {
    "baseline": "the same network without distillation",
    "teacher": "a probe on the teacher’s embeddings",
}


class Headline(NamedTuple):
    """subject: what it is about; text: the sentences."""

    subject: str
    text: str


def headlines(data: ReportData) -> list[Headline]:
    """Every headline that the study has numbers for."""
    summary, comparisons = data.table("summary"), data.table("comparisons")
    quality, confidence = data.documents("quality"), data.settings["evaluation"]["confidence"]
    candidates = [distillation(quality, name) for name in data.settings["distillation"]["datasets"]]
    for name in data.trained:
        candidates.append(performance(summary, comparisons, name, confidence))
        candidates.append(losses(summary, comparisons, name))
    candidates += [transfer(summary, *pair) for pair in data.settings["transfer"]["pairs"]]
    for name in data.trained:
        candidates.append(subgroups(data.table("gaps"), summary, name))
        candidates.append(bias(data.table("scores"), name))
        candidates.append(tradeoff(data.table("correlation"), name))
    candidates.append(thesis(data.table("against_thesis")))
    return [headline for headline in candidates if headline]


def _pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table.model, table.loss, strict=True))


def _are(n: int, of: str = "") -> str:
    """`none is`, `1 is`, `2 are`; with `of`, `2 of 5 are`."""
    return f"{n or 'none'}{of} {'is' if n <= 1 else 'are'}"


def distillation(quality: Sequence[dict], dataset: str) -> Headline | None:
    """The student closest to the teacher, beside what the teacher's mean vector already has."""
    students = [document for document in quality if document["about"]["dataset"] == dataset]
    if not students:
        return None
    best = max(students, key=lambda document: document["student"]["centred_cosine"])
    student, constant = best["student"], best["controls"]["mean_vector"]
    return Headline(
        "Distillation",
        f"Of {count(len(students), 'student')} on {dataset_title(dataset)}, the one distilled with "
        f"{loss_title(best['about']['loss'])} follows the teacher most closely: centred cosine "
        f"{number(student['centred_cosine'], 2)}, R² {number(student['r2_overall'], 2)}. The raw "
        f"cosine of {number(student['cosine'])} says little, since the teacher’s mean vector alone "
        f"reaches {number(constant['cosine'])}.",
    )


def performance(
    summary: pd.DataFrame, comparisons: pd.DataFrame, dataset: str, confidence: float
) -> Headline | None:
    """The model with the highest macro AUC-ROC, and its differences from the two references."""
    models = ranked_models(summary, dataset)
    if models.empty:
        return None
    best = models.iloc[0]
    text = (
        f"On {dataset_title(dataset)}, {model_name(best.model, best.loss, _pairs(models))} has the "
        f"highest macro AUC-ROC of {count(len(models), 'model')}: {number(best['mean'])} "
        f"({100 * confidence:.0f} % interval {interval(best.low, best.high)}) on the "
        f"{best.population} test set."
    )
    table = comparisons_by_model(where(comparisons, dataset=dataset, **HEADLINED))
    table = where(table, strategy="own", **best[["model", "loss", "population"]])
    differences = []
    for kind, note in REFERENCES.items():
        for row in where(table, kind=kind).itertuples():
            reference = model_title(row.reference)
            if MODELS[best.model].student:
                reference += f" ({note})"
            differences.append(
                f"{estimate(row.difference, row.low, row.high, sign=True)} from {reference}, "
                f"adjusted {p_value(row.p_adjusted)}"
                + ("" if row.p_adjusted < SIGNIFICANCE else ", not significant")
            )
    if differences:
        text += f" It differs by {'; and by '.join(differences)}."
    return Headline("Performance", text)


def losses(summary: pd.DataFrame, comparisons: pd.DataFrame, dataset: str) -> Headline | None:
    """Whether the distillation loss matters: its range, that of the seeds, and tests of losses."""
    models = ranked_models(summary, dataset)
    models = models[models.loss != ""]
    ranges = models.groupby("model", sort=False)["mean"].agg(["min", "max", "size"])
    ranges = ranges[ranges["size"] > 1]
    if ranges.empty:
        return None
    model, (low, high, size) = ranges.index[0], ranges.iloc[0]
    seeds = where(models, model=model).sd.mean()
    text = (
        f"Over {size:.0f} distillation losses, the macro AUC-ROC of {MODELS[model].title} on "
        f"{dataset_title(dataset)} ranges from {number(low)} to {number(high)}"
        + (
            f"; over the seeds of one loss, it has an SD of {number(seeds)}."
            if seeds >= 5e-4
            else "."
        )
    )
    tests = comparisons_by_model(where(comparisons, dataset=dataset, **HEADLINED))
    tests = where(tests, kind="loss", strategy="own", population=models.population.iloc[0])
    if len(tests):
        significant = int((tests.p_adjusted < SIGNIFICANCE).sum())
        text += (
            f" Of {count(len(tests), 'comparison')} with the loss that is best on validation, "
            f"{_are(significant)} significant after adjustment."
        )
    return Headline("Losses", text)


def transfer(summary: pd.DataFrame, source: str, target: str) -> Headline | None:
    """The best way to the target, and the best without any training there."""
    table = where(transferred(summary, source, target), metric=HEADLINE_METRIC, strategy=STRATEGIES)
    table = table[table["mean"].notna()].sort_values("mean", ascending=False)
    if table.empty:
        return None
    pairs, best, direct = _pairs(table), table.iloc[0], where(table, strategy="direct")
    text = (
        f"From {dataset_title(source)} to {dataset_title(target)}, the highest macro AUC-ROC is "
        f"{estimate(best['mean'], best.low, best.high)}, of "
        f"{model_name(best.model, best.loss, pairs)} {TRANSFERRED[best.strategy]}."
    )
    if len(direct) and best.strategy != "direct":
        first = direct.iloc[0]
        text += (
            f" Without any training on the target, {model_name(first.model, first.loss, pairs)} "
            f"reaches {estimate(first['mean'], first.low, first.high)}."
        )
    return Headline("Transfer", text)


def subgroups(gaps: pd.DataFrame, summary: pd.DataFrame, dataset: str) -> Headline | None:
    """The widest gap between groups of patients, for the best model and the first finding."""
    models = ranked_models(summary, dataset)
    if models.empty or gaps.empty:
        return None
    best, finding = models.iloc[0], BY_RELEVANCE[0]
    table = where(native(gaps, dataset), kind="range", metric=HEADLINE_METRIC, finding=finding)
    table = single_attributes(where(table, **best[["model", "loss", "population"]]))
    table = table[table.estimate.notna()]
    if table.empty:
        return None
    row = table.sort_values("corrected", ascending=False).iloc[0]
    return Headline(
        "Subgroups",
        f"With {model_name(best.model, best.loss, _pairs(models))} on {dataset_title(dataset)}, "
        f"AUC-ROC for {finding} differs most by {row.attribute}: by "
        f"{estimate(row.estimate, row.low, row.high)} between {row.a} and {row.b}. If all groups "
        f"were served alike, {number(row.expected)} would be expected ({p_value(row.p)}).",
    )


def bias(scores: pd.DataFrame, dataset: str) -> Headline | None:
    """How many embeddings reveal more than permuted attributes, and which reveals least."""
    table = scores[(scores.dataset == dataset) & scores.score.notna()] if len(scores) else scores
    if table.empty:
        return None
    pairs, text = _pairs(table), ""
    if table.p.notna().any():
        beyond = int((table.p < SIGNIFICANCE).sum())
        text = (
            f"On {dataset_title(dataset)}, {beyond or 'none'} of {count(len(table), 'embedding')} "
            f"{'have' if beyond > 1 else 'has'} a bias score for "
            f"{table.scored.iloc[0].replace(', ', ' and ')} above what a random exchange between "
            f"patients gives (p < {SIGNIFICANCE}). "
        )
    least, most = table.loc[table.score.idxmin()], table.loc[table.score.idxmax()]
    by_chance = interval(least.null_low, least.null_high, 0)
    return Headline(
        "Bias",
        f"{text}The thesis’s score is lowest for {model_name(least.model, least.loss, pairs)} "
        f"({number(least.score, 0)} of 150{', by chance ' * bool(by_chance)}{by_chance}) and "
        f"highest for {model_name(most.model, most.loss, pairs)} ({number(most.score, 0)}).",
    )


def tradeoff(correlation: pd.DataFrame, dataset: str) -> Headline | None:
    """The rank correlation of bias score and AUC-ROC, and whether its interval excludes zero."""
    if correlation.empty:
        return None
    table = where(correlation, dataset=dataset, metric=HEADLINE_METRIC, measure="score")
    table = in_main_population(where(table, finding=AVERAGE_OF_SEVEN))
    table = table[table.spearman.notna()]
    if table.empty:
        return None
    row = table.iloc[0]
    if pd.isna(row.low):
        meaning = "; there are too few families for an interval"
    elif row.low <= 0 <= row.high:
        meaning = ": no relation can be claimed"
    else:
        more, less = "also reveal more about the patient", "reveal less about the patient"
        meaning = f": better models {more if row.spearman > 0 else less}"
    return Headline(
        "Performance vs. bias",
        f"Across {count(row.models, 'model')} of {count(row.families, 'family', 'families')} on "
        f"{dataset_title(dataset)}, bias score and mean AUC-ROC of the seven most relevant "
        "findings have a rank correlation of "
        f"{estimate(row.spearman, row.low, row.high, 2, sign=True)}{meaning}.",
    )


def thesis(against: pd.DataFrame) -> Headline | None:
    """How far our macro AUC-ROC lies from the thesis's."""
    if against.empty:
        return None
    table = where(against, **HEADLINED).dropna(subset=["ours", "thesis"])
    if table.empty:
        return None
    difference, z = table.ours - table.thesis, table.z.dropna().abs()
    largest = difference.loc[difference.abs().idxmax()]
    text = (
        f"Of {count(len(table), 'macro AUC-ROC', 'macro AUC-ROCs')} that the thesis logged too, "
        f"{_are(int((difference > 0).sum()))} higher here; the median difference is "
        f"{number(difference.median(), 3, sign=True)}, the largest {number(largest, 3, sign=True)}."
    )
    if len(z):
        outside = _are(int((z > 2).sum()), f" of {len(z)}")
        text += f" {outside.capitalize()} further apart than two standard deviations over seeds."
    return Headline("Against the thesis", text)
