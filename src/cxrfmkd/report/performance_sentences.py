"""Headlines on distillation, performance, transfer and the thesis, computed from the tables.

Every function returns one headline, or None where the study has nothing to say about it. The best
model is the best on validation images; differences are paired, with their interval first.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cxrfmkd.report.prose import (
    Headline,
    are,
    count,
    equivalence,
    estimate,
    interval,
    model_name,
    model_pairs,
    number,
    p_value,
)
from cxrfmkd.tables.selecting import (
    HEADLINE_METRIC,
    SIGNIFICANCE,
    comparisons_by_model,
    distilled,
    of_each_teacher,
    ranked_models,
    transferred,
    where,
)
from cxrfmkd.vocabulary.findings import MACRO
from cxrfmkd.vocabulary.losses import CONTROLS, loss_title, split_control
from cxrfmkd.vocabulary.models import MODELS, STRATEGIES
from cxrfmkd.vocabulary.titles import dataset_title, model_title

HEADLINED = {"finding": MACRO, "metric": HEADLINE_METRIC}
TRANSFERRED = dict(
    zip(STRATEGIES, ("applied directly", "with a new head", "fully fine-tuned"), strict=True)
)
REFERENCES = {
    "baseline": "the same network without distillation",
    "teacher": "a probe on the teacher’s embeddings",
    **{control: f"its control, {title}" for control, title in CONTROLS.items()},
}


def gain(
    summary: pd.DataFrame, comparisons: pd.DataFrame, dataset: str, confidence: float
) -> Headline | None:
    """What the student gains over the same network without distillation, and to the teacher.

    Of the distilled models, the one with the highest macro AUC-ROC on validation images.
    """
    models = ranked_models(summary, dataset)
    students = distilled(models)
    if students.empty:
        return None
    best = students.iloc[0]
    table = comparisons_by_model(where(comparisons, dataset=dataset, **HEADLINED))
    table = where(table, strategy="own", **best[["model", "loss", "population"]])
    sentences = []
    for kind, note in REFERENCES.items():
        for row in where(table, kind=kind).itertuples():
            sentences.append(
                f"{estimate(row.difference, row.low, row.high, sign=True)} from "
                f"{model_title(row.reference)} ({note}; adjusted {p_value(row.p_adjusted)}; "
                f"{equivalence(row.p_noninferior, row.p_equivalent, row.margin)})"
            )
    if not sentences:
        return None
    name = model_name(best.model, best.loss, model_pairs(models))
    return Headline(
        "What distillation gains",
        f"On {dataset_title(dataset)}, the macro AUC-ROC of {name}, the distilled model that is "
        f"best on validation, differs by {', and by '.join(sentences)}. Paired on the "
        f"{best.population} test set, with {100 * confidence:.0f} % intervals.",
    )


def distillation(quality: Sequence[dict], dataset: str) -> Headline | None:
    """The student closest to the teacher, beside what the teacher's mean vector already has."""
    students = [
        document
        for document in quality
        if document["about"]["dataset"] == dataset
        and not split_control(document["about"]["loss"])[1]
    ]
    if not students:
        return None
    best = max(students, key=lambda document: document["student"]["centred_cosine"])
    student, constant = best["student"], best["controls"]["mean_vector"]
    others = [
        f" Of {part['name']} it has centred cosine {number(part['student']['centred_cosine'], 2)}, "
        f"R² {number(part['student']['r2_overall'], 2)}."
        for part in of_each_teacher(best)[1:]
    ]
    teacher = best["name"] if others else "the teacher"
    return Headline(
        "Distillation",
        f"Of {count(len(students), 'student')} on {dataset_title(dataset)}, the one distilled with "
        f"{loss_title(best['about']['loss'])} follows {teacher} most closely: centred cosine "
        f"{number(student['centred_cosine'], 2)}, R² {number(student['r2_overall'], 2)}. The raw "
        f"cosine of {number(student['cosine'])} says little, since the teacher’s mean vector alone "
        f"reaches {number(constant['cosine'])}." + "".join(others),
    )


def performance(summary: pd.DataFrame, dataset: str, confidence: float) -> Headline | None:
    """The model that is best on validation, by its macro AUC-ROC on the test set."""
    models = ranked_models(summary, dataset)
    if models.empty:
        return None
    best, highest = models.iloc[0], models.loc[models["mean"].idxmax()]
    name, other = (model_name(m.model, m.loss, model_pairs(models)) for m in (best, highest))
    bounds = interval(best.low, best.high)
    bounds = f" ({100 * confidence:.0f} % interval {bounds})" if bounds else ""
    text = (
        f"On {dataset_title(dataset)}, {name} is the best of "
        f"{count(len(models), 'model')} on validation; its macro AUC-ROC on the "
        f"{best.population} test set is {number(best['mean'])}{bounds}."
    )
    if highest.name != best.name:
        text += (
            f" The highest there, {number(highest['mean'])}, is that of {other}; chosen on the "
            "test set, it would be too favourable."
        )
    return Headline("Performance", text)


def losses(summary: pd.DataFrame, comparisons: pd.DataFrame, dataset: str) -> Headline | None:
    """Whether the distillation loss matters: its range, that of the seeds, and tests of losses."""
    models = ranked_models(summary, dataset)
    models = distilled(models)
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
            f"{are(significant)} significant after adjustment"
        )
        equivalent = int((tests.p_equivalent < SIGNIFICANCE).sum())
        text += f", and {are(equivalent)} shown to be equivalent within ±{tests.margin.iloc[0]:g}."
    return Headline("Losses", text)


def transfer(summary: pd.DataFrame, source: str, target: str) -> Headline | None:
    """The best way to the target by its validation images, and the best without any training."""
    table = where(transferred(summary, source, target), metric=HEADLINE_METRIC, strategy=STRATEGIES)
    table = table[table["mean"].notna()].sort_values("validation", ascending=False, kind="stable")
    if table.empty:
        return None
    pairs, best, direct = model_pairs(table), table.iloc[0], where(table, strategy="direct")
    text = (
        f"From {dataset_title(source)} to {dataset_title(target)}, "
        f"{model_name(best.model, best.loss, pairs)} {TRANSFERRED[best.strategy]} is best on "
        f"validation; its macro AUC-ROC is {estimate(best['mean'], best.low, best.high)}."
    )
    if len(direct) and best.strategy != "direct":
        first = direct.iloc[0]
        text += (
            f" Without any training on the target, {model_name(first.model, first.loss, pairs)} "
            f"reaches {estimate(first['mean'], first.low, first.high)}."
        )
    return Headline("Transfer", text)


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
        f"{are(int((difference > 0).sum()))} higher here; the median difference is "
        f"{number(difference.median(), 3, sign=True)}, the largest {number(largest, 3, sign=True)}."
    )
    if len(z):
        outside = are(int((z > 2).sum()), f" of {len(z)}")
        text += (
            f" {outside.capitalize()} further apart than two standard errors of that difference."
        )
    return Headline("Against the thesis", text)
