"""Tables for people: wide CSVs with a column per seed or strategy, in the thesis's layout where it
had one.

Everything here rearranges what the evaluation and the bias analysis computed; no number is
estimated anew but means and standard deviations over seeds. Source of the layouts: thesis method,
section 6.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrfmkd.tables.selecting import in_order, single_attributes
from cxrfmkd.vocabulary.findings import BY_RELEVANCE, FINDINGS, FOCUSED, GROUPS, MACRO
from cxrfmkd.vocabulary.models import STRATEGIES

RUN = ["dataset", "source", "strategy", "model", "loss", "population"]
DETAILED = (*BY_RELEVANCE, MACRO)


def over_seeds(metrics: pd.DataFrame, findings: Sequence[str]) -> pd.DataFrame:
    """One row per run family, metric and finding: a column per seed, then average, SD (ddof 1) and
    100 SD / average.

    The SD of a single seed is blank; percent_sd is 0 where the average is 0, as in the thesis.
    """
    keys = [*RUN, "metric", "finding"]
    chosen = metrics[metrics.finding.isin(findings)]
    wide = chosen.set_index([*keys, "seed"]).estimate.unstack("seed")
    average, spread = wide.mean(axis=1), wide.std(axis=1, ddof=1)
    percent = (100 * spread / average.where(average != 0)).mask(average == 0, 0.0)
    wide.columns = [f"seed{seed}" for seed in wide.columns]
    table = wide.assign(average=average, sd=spread, percent_sd=percent)
    return in_order(table.reset_index(), keys)


def detailed(metrics: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """The thesis's detailed table: every metric of the 14 findings in its order of relevance, and
    their mean.

    Beside its columns stand the interval over patients and seeds, and the counts that it rests on.
    """
    return _with_intervals(over_seeds(metrics, DETAILED), summary)


def focused(metrics: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """The thesis's focused table: the seven most relevant findings, their average, and the average of the others."""
    return _with_intervals(over_seeds(metrics, FOCUSED), summary)


def _with_intervals(table: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    keys = [*RUN, "metric", "finding"]
    return table.merge(summary[[*keys, "low", "high", "n", "positives"]], how="left", on=keys)


def transfer(summary: pd.DataFrame) -> pd.DataFrame:
    """A row per source, target, model and group of findings; per strategy, and for the same model
    trained on the
    target itself (`own`), the mean over seeds, its SD and its interval.
    """
    table = summary[summary.finding.isin(GROUPS)]
    moved = table[table.strategy.isin(STRATEGIES)]
    keys = ["source", "target", "model", "loss", "population", "metric", "finding"]
    shared = [key for key in keys if key not in ("source", "target")]
    result = moved.rename(columns={"dataset": "target"})[keys].drop_duplicates()
    for strategy in (*STRATEGIES, "own"):
        part = table[table.strategy == strategy].rename(columns={"dataset": "target"})
        name = strategy.replace("-", "_")
        columns = {"mean": name, "sd": f"{name}_sd", "low": f"{name}_low", "high": f"{name}_high"}
        on = ["target", *shared] if strategy == "own" else keys
        result = result.merge(part[[*on, *columns]].rename(columns=columns), how="left", on=on)
    return in_order(result, keys)


def students(
    qualities: Sequence[dict], runs: Sequence[dict], chosen: Sequence[dict]
) -> pd.DataFrame:
    """A row per student and per control: training in numbers, and agreement with the teacher on
    validation images.

    qualities, runs, chosen: contents of `quality.json`, `run.json` of every seed and
    `selected.json`, each with what its path says under `about`. Agreement is known of the chosen
    seed alone.
    """
    picked = {(c["about"]["dataset"], c["about"]["loss"]): c["seed"] for c in chosen}
    measured = {(q["about"]["dataset"], q["about"]["loss"]): q for q in qualities}
    rows = []
    for run in runs:
        about, best = run["about"], run.get("best", {})
        if "model" in about or "loss" not in about:
            continue
        family = about["dataset"], about["loss"]
        mine = picked.get(family) == about["seed"]
        row = {
            "dataset": family[0],
            "loss": family[1],
            "what": "student",
            "seed": about["seed"],
            "chosen": mine,
        }
        row |= {
            "best_epoch": best.get("epoch"),
            "val_loss": best.get("val_loss"),
            "test_loss": best.get("test_loss"),
        }
        rows.append(
            row | (_agreement(measured[family]["student"]) if mine and family in measured else {})
        )
    for family, quality in measured.items():
        start = {"dataset": family[0], "loss": family[1]}
        rows.append(start | {"what": "teacher"} | _agreement(quality["teacher"]))
        for name, found in quality["controls"].items():
            rows.append(start | {"what": name.replace("_", " ")} | _agreement(found))
    columns = [
        "dataset",
        "loss",
        "what",
        "seed",
        "chosen",
        "best_epoch",
        "val_loss",
        "test_loss",
        *AGREEMENT,
    ]
    table = pd.DataFrame(rows).reindex(columns=columns)
    table = table.astype({"seed": "Int64", "best_epoch": "Int64", "chosen": "boolean"})
    return in_order(table, ["dataset", "loss"])


AGREEMENT = (
    "cosine",
    "centred_cosine",
    "r2_overall",
    "cka_debiased",
    "neighbour_overlap",
    "retrieval_top1",
    "probe_auc",
    "teacher_probe_auc",
)


def _agreement(found: dict) -> dict:
    return {name: found.get(name) for name in AGREEMENT}


def subgroups(table: pd.DataFrame) -> pd.DataFrame:
    """A row per run family, metric, finding and group, with its difference from the mean of the
    groups in percent.

    Single attributes and the focused table's findings; `results/evaluation` has crossed groups and
    all findings.
    """
    keys = [*RUN, "metric", "finding", "attribute"]
    table = single_attributes(table)
    table = table[table.finding.isin([*FOCUSED, MACRO])]
    columns = [
        "group",
        "estimate",
        "low",
        "high",
        "relative",
        "relative_low",
        "relative_high",
        "n",
        "positives",
        "suppressed",
    ]
    return in_order(table[[*keys, *columns]], keys)


def bias(scores: pd.DataFrame | None) -> pd.DataFrame:
    """A row per model: the thesis's score with its null band, effect sizes and what a probe can
    read.

    scores: `scores.csv` of every dataset; None for a study without a bias analysis.
    """
    wanted = [
        "dataset",
        "model",
        "loss",
        "scored",
        "score",
        "score_sd",
        "score_race",
        "score_sex",
        "score_age",
        "simulation_mean",
        "simulation_low",
        "simulation_high",
        "score_unnormalised",
        "score_filtered",
        "null_low",
        "null_high",
        "z",
        "p",
        "d_combined",
        "d_combined_low",
        "d_combined_high",
        "d_race",
        "d_sex",
        "d_age",
        "w1_combined",
        "energy_combined",
        "auc_race",
        "auc_sex",
        "auc_age",
        "cka_teacher",
    ]
    table = pd.DataFrame() if scores is None else scores
    return in_order(table.reindex(columns=wanted), ["dataset", "model", "loss"])


def cohort(summaries: Sequence[dict], minimum_cell: int) -> pd.DataFrame:
    """Who is in the study: images by split and attribute, from the datasets' `summary.json`.

    Counts below `minimum_cell` are blank, and with a single one its next smallest neighbour, since
    it would follow from the total; `suppressed` names the splits.
    """
    parts = []
    for summary in summaries:
        counts = summary["counts"]
        whole = {
            "images": "images",
            "patients": "patients",
            "studies": "studies",
            "age": "mean_age",
        }
        rows = [
            {"attribute": name, "level": "mean" if name == "age" else "all"}
            | {split: found[key] for split, found in counts.items()}
            for name, key in whole.items()
        ]
        for attribute in ("sex", "race", "view", "age_bin", "disease"):
            rows += _levels(
                attribute,
                {split: found.get(attribute, {}) for split, found in counts.items()},
                minimum_cell,
            )
        for finding in FINDINGS:
            levels = {split: found["findings"][finding] for split, found in counts.items()}
            rows += _levels(finding, levels, minimum_cell)
        parts.append(pd.DataFrame(rows).assign(dataset=summary["dataset"]))
    columns = ["dataset", "attribute", "level", "train", "val", "test", "suppressed"]
    table = pd.concat(parts) if parts else pd.DataFrame()
    return table.reindex(columns=columns).fillna({"suppressed": ""}).reset_index(drop=True)


def _levels(attribute: str, counts: dict[str, dict[str, int]], minimum_cell: int) -> list[dict]:
    """A row per level of an attribute; counts: by split, then by level."""
    levels = list(dict.fromkeys(level for found in counts.values() for level in found))
    table = pd.DataFrame(counts).reindex(levels).fillna(0).astype(float)
    hidden = pd.DataFrame(False, table.index, table.columns)
    for split in table:
        small = table[split].between(1, minimum_cell - 1)
        rest = table[split][~small & (table[split] > 0)]
        if small.sum() == 1 and len(rest):
            small[rest.idxmin()] = True
        hidden[split] = small
    shown = table.mask(hidden)
    return [
        {
            "attribute": attribute,
            "level": level,
            "suppressed": ", ".join(hidden.columns[hidden.loc[level]]),
        }
        | shown.loc[level].where(shown.loc[level].notna(), np.nan).to_dict()
        for level in levels
    ]
