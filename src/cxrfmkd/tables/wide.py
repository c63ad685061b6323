"""Tables for people: a column per seed or strategy, in the thesis's layout where it had one.

Everything here rearranges what the evaluation and the bias analysis computed; no number is
estimated anew but means and standard deviations over seeds. Each function returns the table of its
name. Source of the layouts: thesis method, section 6.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.tables.selecting import in_order, of_each_teacher, single_attributes, where
from cxrfmkd.vocabulary.findings import MACRO
from cxrfmkd.vocabulary.models import RUN_FAMILY, STRATEGIES

ROW = [*RUN_FAMILY, "population", "metric", "finding"]
AGREEMENT = (
    "cosine centred_cosine r2_overall cka_debiased neighbour_overlap retrieval_top1 probe_auc "
    "teacher_probe_auc"
).split()
BIAS = (
    "dataset model loss scored score score_sd score_race score_sex score_age simulation_mean "
    "simulation_low simulation_high score_unnormalised score_filtered null_low null_high z p "
    "d_combined d_combined_low d_combined_high d_race d_sex d_age w1_combined energy_combined "
    "auc_race auc_sex auc_age cka_teacher"
).split()


def over_seeds(
    metrics: pd.DataFrame, rows: Sequence[str], findings: Findings = THESIS
) -> pd.DataFrame:
    """One row per run family, metric and finding: each seed, average, SD, 100 SD / average.

    rows: of the column `finding`. The SD (ddof 1) of a single seed is blank; percent_sd is 0 where
    the average is 0, as in the thesis.
    """
    selected = metrics[metrics.finding.isin(rows)]
    seeds = selected.set_index([*ROW, "seed"]).estimate.unstack("seed")
    average, sd = seeds.mean(axis=1), seeds.std(axis=1, ddof=1)
    percent = (100 * sd / average.where(average != 0)).mask(average == 0, 0.0)
    table = seeds.add_prefix("seed").assign(average=average, sd=sd, percent_sd=percent)
    return in_order(table.reset_index(), ROW, findings)


def _performance(
    metrics: pd.DataFrame, summary: pd.DataFrame, rows: Sequence[str], findings: Findings
) -> pd.DataFrame:
    """`over_seeds` with the interval over patients and seeds, and the counts that it rests on."""
    counted = summary[[*ROW, "low", "high", "n", "positives"]]
    return over_seeds(metrics, rows, findings).merge(counted, how="left", on=ROW)


def performance_detailed(
    metrics: pd.DataFrame, summary: pd.DataFrame, findings: Findings = THESIS
) -> pd.DataFrame:
    """The thesis's detailed table: all findings in its order of relevance, and their mean."""
    return _performance(metrics, summary, [*findings.by_relevance, MACRO], findings)


def performance_focused(
    metrics: pd.DataFrame, summary: pd.DataFrame, findings: Findings = THESIS
) -> pd.DataFrame:
    """The thesis's focused table: seven findings, their average, and the average of the others."""
    return _performance(metrics, summary, findings.focused_rows, findings)


def transfer(summary: pd.DataFrame, findings: Findings = THESIS) -> pd.DataFrame:
    """A row per source, target, model and average: mean, SD and interval of each strategy.

    `own` is the same model trained on the target itself. Of `direct`, a mean is of the findings
    that the source has too.
    """
    table = where(summary, finding=[*findings.means]).rename(columns={"dataset": "target"})
    keys = ["source", "target", "model", "loss", "population", "metric", "finding"]
    result = where(table, strategy=STRATEGIES)[keys].drop_duplicates()
    for strategy in (*STRATEGIES, "own"):
        on = [key for key in keys if key != "source" or strategy != "own"]
        name = strategy.replace("-", "_")
        columns = {"mean": name, "sd": f"{name}_sd", "low": f"{name}_low", "high": f"{name}_high"}
        rows = where(table, strategy=strategy)[[*on, *columns]].rename(columns=columns)
        result = result.merge(rows, how="left", on=on)
    return in_order(result, keys, findings)


def students(
    runs: Sequence[dict], qualities: Sequence[dict], selected: Sequence[dict]
) -> pd.DataFrame:
    """A row per student and per control: its training, and its agreement with the teacher.

    runs, qualities, selected: contents of `run.json` of every seed, `quality.json` and
    `selected.json`, each with what its path says under `about`. Agreement, on validation images,
    is known of the seeds that classifiers start from. A student of several teachers has a row for
    each, with one validation loss, the mean over them.
    """

    def student(document: dict) -> tuple[str, str]:
        return document["about"]["dataset"], document["about"]["loss"]

    seeds = {student(document): document["seed"] for document in selected}
    assessed = {student(document): of_each_teacher(document) for document in qualities}
    rows = []
    for run in runs:
        about, best = run["about"], run.get("best", {})
        if "model" in about or "loss" not in about:
            continue
        is_selected = seeds.get(student(run)) == about["seed"]
        row = about | {"what": "student", "chosen": is_selected, "best_epoch": best.get("epoch")}
        row |= {loss: best.get(loss) for loss in ("val_loss", "test_loss")}
        for part in assessed.get(student(run), [{}]):
            of_seed = (s for s in part.get("students", []) if s["seed"] == about["seed"])
            rows.append(next(of_seed, {}) | row | {"teacher": part.get("name", "")})
    for quality in qualities:
        for part in of_each_teacher(quality):
            about = quality["about"] | {"teacher": part.get("name", "")}
            for name, values in {"teacher": part["teacher"], **part["controls"]}.items():
                rows.append(about | {"what": name.replace("_", " ")} | values)
    columns = "dataset loss teacher what seed chosen best_epoch val_loss test_loss".split()
    table = pd.DataFrame(rows).reindex(columns=[*columns, *AGREEMENT])
    table = table.astype({"seed": "Int64", "best_epoch": "Int64", "chosen": "boolean"})
    return in_order(table, ["dataset", "loss"])


def subgroups(table: pd.DataFrame, findings: Findings = THESIS) -> pd.DataFrame:
    """A row per run family, metric, finding and group, with its difference from the groups' mean.

    Single attributes and the focused table's findings; `results/evaluation` has crossed groups and
    all findings.
    """
    keys = [*ROW, "attribute"]
    columns = "group estimate low high relative relative_low relative_high n positives suppressed"
    table = single_attributes(where(table, finding=[*findings.focused_rows, MACRO]))
    return in_order(table[[*keys, *columns.split()]], keys, findings)


def bias(scores: pd.DataFrame) -> pd.DataFrame:
    """A row per model: the thesis's score, its null band, effect sizes, what a probe can read.

    scores: `scores.csv` of every dataset, without columns for a study without a bias analysis.
    """
    return in_order(scores.reindex(columns=BIAS), ["dataset", "model", "loss"])
