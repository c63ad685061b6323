"""Headlines on subgroups and on the bias of embeddings, computed from the tables.

Every function returns one headline, or None where the study has nothing to say about it. Effect
sizes and their intervals come first; p-values are adjusted, and those of the `distance` null.
"""

from __future__ import annotations

import pandas as pd

from cxrfmkd.report.prose import (
    Headline,
    count,
    equivalence,
    estimate,
    interval,
    listing,
    model_name,
    model_pairs,
    number,
    p_value,
)
from cxrfmkd.statistics.multiple import adjusted
from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.tables.selecting import (
    HEADLINE_METRIC,
    SIGNIFICANCE,
    averaged,
    distilled,
    in_main_population,
    native,
    ranked_models,
    single_attributes,
    where,
)
from cxrfmkd.vocabulary.titles import attribute_words, dataset_title, model_title


def planted(scores: pd.DataFrame, dataset: str, traces: dict[str, float]) -> Headline | None:
    """Whether the traces that a synthetic dataset was generated with are found, and no others.

    In the teacher's embeddings, a trace of race or sex is found where exchanging patients gives
    such distances in fewer than 5 % of exchanges; of age, where the interval of D excludes 0.
    """
    table = scores[scores.dataset == dataset] if len(scores) else scores
    table = where(table, model="cxr-fm-lp", loss="") if len(table) else table
    if table.empty or not traces:
        return None
    row, found = table.iloc[0], []
    for attribute in ("race", "sex", "age"):
        p = row.get(f"distance_p_{attribute}", float("nan"))
        distance = [row.get(f"d_{attribute}{end}", float("nan")) for end in ("", "_low", "_high")]
        tested = p if attribute != "age" else distance[1]
        if attribute in traces and pd.notna(tested):
            is_found = p < SIGNIFICANCE if attribute != "age" else distance[1] > 0
            is_planted = traces[attribute] > 0
            verdict = "as planted" if is_planted == is_found else "which is not what was planted"
            found.append(
                f"{attribute} {'leaves a trace' if is_planted else 'leaves none'} and is "
                f"{'found' if is_found else 'not found'} (mean D {estimate(*distance)}"
                f"{', ' + p_value(p) if pd.notna(p) else ''}), {verdict}"
            )
    if not found:
        return None
    return Headline(
        "Planted truth",
        f"The images of {dataset_title(dataset)} are generated, so the truth is known: in the "
        f"teacher’s embeddings, {'; '.join(found)}.",
    )


def subgroups(
    gaps: pd.DataFrame, summary: pd.DataFrame, dataset: str, findings: Findings = THESIS
) -> Headline | None:
    """The widest gap between groups of patients, for the best model and the first finding."""
    models = ranked_models(summary, dataset)
    if models.empty or gaps.empty:
        return None
    best = models.iloc[0]
    table = where(native(gaps, dataset), kind="range", metric=HEADLINE_METRIC)
    present = set(table.finding)
    finding = next((name for name in findings.by_relevance if name in present), None)
    table = where(table, finding=finding)
    table = single_attributes(where(table, **best[["model", "loss", "population"]]))
    table = table[table.estimate.notna()]
    if table.empty:
        return None
    # Where no gap exceeds noise, each is corrected to 0.
    row = table.sort_values(["corrected", "estimate"], ascending=False).iloc[0]
    name = model_name(best.model, best.loss, model_pairs(models))
    return Headline(
        "Subgroups",
        f"With {name}, the best on validation, on {dataset_title(dataset)}, "
        f"AUC-ROC for {finding} differs most by {attribute_words(row.attribute)}: by "
        f"{estimate(row.estimate, row.low, row.high)} between {row.a} and {row.b}. If all groups "
        f"were served alike, {number(row.expected)} would be expected (adjusted "
        f"{p_value(row.p_adjusted)}).",
    )


def bias(scores: pd.DataFrame, dataset: str, adjustment: str) -> Headline | None:
    """How far apart groups lie in the embeddings, in how many beyond chance, and the score.

    adjustment: of the p-values of the `distance` null over the embeddings.
    """
    table = scores[(scores.dataset == dataset) & scores.score.notna()] if len(scores) else scores
    if table.empty:
        return None
    pairs = model_pairs(table)
    groups = " and ".join(map(attribute_words, table.scored.iloc[0].split(", ")))
    distances = table.dropna(subset="d_combined")
    text = ""
    if len(distances):
        ends = [distances.loc[distances.d_combined.idxmin()]]
        if len(distances) > 1:
            ends.append(distances.loc[distances.d_combined.idxmax()])
        values = [
            f"{estimate(row.d_combined, row.d_combined_low, row.d_combined_high)} with "
            f"{model_name(row.model, row.loss, pairs)}"
            for row in ends
        ]
        text = (
            f"On {dataset_title(dataset)}, the mean distance D between groups by {groups} is "
            f"{' (least) and '.join(values)}{' (most)' * (len(values) > 1)}. "
        )
    if table.distance_p.notna().any():
        beyond = int((adjusted(table.distance_p.to_numpy(), adjustment) < SIGNIFICANCE).sum())
        text += (
            f"In {beyond or 'none'} of {count(len(table), 'embedding')} it is more than a random "
            f"exchange between patients gives (adjusted p < {SIGNIFICANCE}). "
        )
    least, most = table.loc[table.score.idxmin()], table.loc[table.score.idxmax()]
    by_chance = interval(least.null_low, least.null_high, 0)
    return Headline(
        "Bias",
        f"{text}The thesis’s score is lowest for {model_name(least.model, least.loss, pairs)} "
        f"({number(least.score, 0)} of 150{', by chance ' * bool(by_chance)}{by_chance}) and "
        f"highest for {model_name(most.model, most.loss, pairs)} ({number(most.score, 0)}).",
    )


def less_bias(summary: pd.DataFrame, differences: pd.DataFrame, dataset: str) -> Headline | None:
    """Whether distillation makes embeddings reveal less, paired, over the scored attributes.

    Of the distilled model that is best on validation, by the mean distance D.
    """
    models = ranked_models(summary, dataset)
    students = distilled(models)
    if students.empty or differences.empty:
        return None
    best = students.iloc[0]
    table = where(differences, dataset=dataset, measure="D", model=best.model, loss=best.loss)
    table = table[table.attribute.str.startswith("combined")].drop_duplicates("kind")
    sentences = [
        f"{estimate(row.difference, row.low, row.high, sign=True)} from "
        f"{model_title(row.reference)} (adjusted {p_value(row.p_adjusted)}; "
        f"{equivalence(row.p_noninferior, row.p_equivalent, row.margin)})"
        for row in table.itertuples()
    ]
    if not sentences:
        return None
    return Headline(
        "Bias after distillation",
        f"On {dataset_title(dataset)}, the mean distance D between groups in the embeddings of "
        f"{model_name(best.model, best.loss, model_pairs(models))}, the distilled model that is "
        f"best on validation, differs by {', and by '.join(sentences)}; negative is less bias.",
    )


def tradeoff(
    correlation: pd.DataFrame, dataset: str, findings: Findings = THESIS
) -> Headline | None:
    """The rank correlation of mean D and AUC-ROC, and whether its interval excludes zero."""
    if correlation.empty:
        return None
    table = where(correlation, dataset=dataset, metric=HEADLINE_METRIC, measure=["D", "score"])
    table = in_main_population(where(table, finding=findings.headline))
    table = table[table.within.notna()].sort_values("measure")
    if table.empty:
        return None
    names = {"D": "mean D", "score": "the thesis’s bias score"}
    found = [
        f"{estimate(row.within, row.low, row.high, 2, sign=True)} with {names[row.measure]}"
        for row in table.itertuples()
    ]
    row = table.iloc[0]
    if pd.isna(row.low):
        meaning = (
            f"{count(row.families, 'family', 'families')} of models are too few for an interval"
        )
    elif row.low <= 0 <= row.high:
        meaning = "no relation can be claimed"
    else:
        more, less = "also reveal more about the patient", "reveal less about the patient"
        meaning = f"better models {more if row.within > 0 else less} ({p_value(row.p)})"
    return Headline(
        "Performance vs. bias",
        f"Over {count(row.models, 'model')} of {count(row.families, 'family', 'families')} on "
        f"{dataset_title(dataset)}, ranked within probes and fine-tunes, mean AUC-ROC of "
        f"{averaged(findings)} has a rank correlation of {listing(found)}: {meaning}.",
    )
