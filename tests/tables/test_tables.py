"""Tables for people against numbers worked out by hand, and what they must not give away."""

from __future__ import annotations

import json
import subprocess
import sys

import made_results
import made_tables as made
import pandas as pd
import pytest
from locations import SCRIPTS

from cxrfmkd.datasets.disclosure import Disclosure
from cxrfmkd.evaluation.columns import TABLE_COLUMNS
from cxrfmkd.study.outputs import TABLES
from cxrfmkd.tables import wide
from cxrfmkd.tables.cohort import cohort
from cxrfmkd.tables.gathering import read_documents
from cxrfmkd.vocabulary.findings import BY_RELEVANCE, FINDINGS

SCRIPT = SCRIPTS / "make_tables.py"
RUN = {
    "dataset": "d",
    "source": "d",
    "strategy": "own",
    "model": "cxr-fm-lp",
    "loss": "",
    "population": "natural",
}


def run_of(values: dict[tuple[str, int], float], metric="auc_roc") -> pd.DataFrame:
    """metrics.csv of one run family: {(finding, seed): estimate}."""
    rows = [
        RUN | {"seed": seed, "finding": f, "metric": metric, "estimate": v}
        for (f, seed), v in values.items()
    ]
    return pd.DataFrame(rows)


def test_average_and_sd_over_seeds_are_those_worked_out_by_hand():
    table = wide.over_seeds(
        run_of({("Edema", 41): 0.7, ("Edema", 42): 0.8, ("Edema", 43): 0.9}), ["Edema"]
    )
    row = table.iloc[0]
    assert (row.seed41, row.seed42, row.seed43) == (0.7, 0.8, 0.9)
    assert row.average == pytest.approx(0.8)
    assert row.sd == pytest.approx(0.1)  # root of (0.01 + 0 + 0.01) / 2
    assert row.percent_sd == pytest.approx(12.5)


def test_percent_sd_of_a_zero_average_is_zero_and_one_seed_has_no_sd():
    zero = wide.over_seeds(run_of({("Edema", 41): -0.1, ("Edema", 42): 0.1}), ["Edema"]).iloc[0]
    assert zero.percent_sd == 0
    one = wide.over_seeds(run_of({("Edema", 41): 0.7}), ["Edema"]).iloc[0]
    assert one.average == 0.7
    assert pd.isna(one.sd)
    assert pd.isna(one.percent_sd)


def test_a_seed_that_is_missing_leaves_a_blank_and_does_not_count():
    found = run_of({("Edema", 41): 0.7, ("Edema", 42): 0.9, ("Fracture", 41): 0.6})
    table = wide.over_seeds(found, ["Edema", "Fracture"]).set_index("finding")
    assert pd.isna(table.seed42["Fracture"])
    assert table.average["Fracture"] == 0.6


def test_detailed_table_has_the_thesis_order_of_relevance_and_the_macro_last():
    metrics = made.metrics()
    table = wide.performance_detailed(metrics, made.summary(metrics))
    one = table[
        (table.model == "cxr-fm-lp")
        & (table.strategy == "own")
        & (table.population == "resampled")
        & (table.metric == "auc_pr")
    ]
    assert one.finding.tolist() == [*BY_RELEVANCE, "Macro"]
    assert table.metric.drop_duplicates().tolist() == [
        "auc_pr",
        "auc_roc",
        "youden_j_max",
        "youden_j_at_fpr20",
    ]
    assert {
        "seed41",
        "seed42",
        "seed43",
        "average",
        "sd",
        "percent_sd",
        "low",
        "high",
        "n",
        "positives",
    } < set(table)
    assert not table.duplicated(
        ["dataset", "source", "strategy", "model", "loss", "population", "metric", "finding"]
    ).any()


def test_focused_averages_are_the_mean_of_their_seven_findings_in_every_seed():
    metrics = made.metrics()
    table = wide.performance_focused(metrics, made.summary(metrics))
    keys = ["strategy", "model", "loss", "population", "metric"]
    seven = table[table.finding.isin(BY_RELEVANCE[:7])].groupby(keys).seed42.mean()
    stated = table[table.finding == "Average Classes 1 to 7"].set_index(keys).seed42
    pd.testing.assert_series_equal(seven.sort_index(), stated.sort_index(), check_names=False)
    assert set(table.finding) == {*BY_RELEVANCE[:7], "Average Classes 1 to 7", "Others"}


def test_transfer_table_sets_strategies_beside_the_model_trained_on_the_target():
    summary = made.summary(made.metrics("mimic"))
    table = wide.transfer(summary)
    assert set(table.source) == {"chexpert"}
    assert set(table.target) == {"mimic"}
    row = table[
        (table.model == "cxr-fmkd-direct-fft")
        & (table.loss == "mse")
        & (table.population == "resampled")
        & (table.metric == "auc_roc")
        & (table.finding == "Macro")
    ].iloc[0]
    for strategy, column in (
        ("direct", "direct"),
        ("full-finetune", "full_finetune"),
        ("own", "own"),
    ):
        expected = summary[
            (summary.strategy == strategy)
            & (summary.model == "cxr-fmkd-direct-fft")
            & (summary.loss == "mse")
            & (summary.population == "resampled")
            & (summary.metric == "auc_roc")
            & (summary.finding == "Macro")
        ]
        assert row[column] == expected["mean"].item()
        assert row[f"{column}_sd"] == expected.sd.item()
    teacher = table[table.model == "cxr-fm-lp"]
    assert teacher.full_finetune.isna().all()
    assert teacher.direct.notna().all()


def test_students_table_knows_the_chosen_seed_and_the_controls():
    abouts = [{"dataset": "chexpert", "loss": "mse", "seed": seed} for seed in (41, 42, 43)]
    runs = [{"about": a, "best": {"epoch": 5, "val_loss": 0.1, "test_loss": 0.2}} for a in abouts]
    selected = [{"about": {"dataset": "chexpert", "loss": "mse"}, "seed": 42}]
    table = wide.students(runs, made.qualities(["mse"]), selected)
    best = table[table.chosen.fillna(False)]
    assert best.seed.tolist() == [42]
    assert best.centred_cosine.tolist() == [0.74]
    assert table[table.seed == 41].centred_cosine.tolist() == [0.70]
    assert table[table.seed == 43].centred_cosine.isna().all()
    assert table[table.what == "untrained"].r2_overall.item() == -12.5


def test_the_cohort_leaves_out_what_no_table_shows():
    label = {"positive": 20, "negative": 280, "uncertain": 4, "blank": 23}
    split = {"images": 327, "patients": 193, "studies": 250, "mean_age": 60.0}
    split |= {
        "sex": {"Female": 140, "Male": 157, "blank": 30},
        "race": {"White": 25, "Black": 4, "Asian": 298},
        "findings": dict.fromkeys(FINDINGS, label),
    }
    hidden = [{"race": "White"}, {"race": "Black"}, {"label:Edema": "uncertain"}]
    disclosed = Disclosure(frozenset(cell.items()) for cell in hidden)
    table = cohort([{"dataset": "d", "counts": {"train": split}}], {("d", "train"): disclosed})
    table = table.set_index(["attribute", "level"])
    assert table.train["sex", "blank"] == 30
    assert table.train[[("race", "White"), ("race", "Black")]].isna().all()
    assert table.train["race", "Asian"] == 298
    assert table.suppressed["race", "Black"] == "train"
    assert table.suppressed["race", "Asian"] == ""
    assert pd.isna(table.train["Edema", "uncertain"])
    assert table.train["Edema", "positive"] == 20
    assert table.train["Cardiomegaly", "uncertain"] == 4


def test_the_made_tables_have_the_columns_that_the_evaluation_writes():
    curves, thresholds, calibration = made.curves()
    tables_ = {
        "metrics": made.metrics(),
        "summary": made.summary(made.metrics()),
        "comparisons": made.comparisons(),
        "thresholds": thresholds,
        "calibration": calibration,
        "subgroups": made.subgroups(),
        "gaps": made.gaps(),
        "curves": curves,
    }
    for name, table in tables_.items():
        assert set(table) <= set(TABLE_COLUMNS[name]), name


@pytest.mark.parametrize("transfer", [True, False])
def test_the_script_writes_every_table_and_names_nobody(tmp_path, transfer):
    made_results.write(tmp_path, transfer=transfer)
    files = made_results.below(tmp_path, made_results.shape(transfer=transfer).tables())
    inputs = made_results.as_arguments(files)
    spec = json.dumps({"minimum_cell": 10, "uncertain": "zeros"})
    command = [sys.executable, SCRIPT, "--spec", spec, *inputs, "--out-dir", tmp_path / "tables"]
    subprocess.run(command, check=True)
    for name in TABLES:
        text = (tmp_path / "tables" / f"{name}.csv").read_text()
        assert text.strip(), name
        assert made_results.SECRET not in text, name
    gathered = read_documents([tmp_path / "tables/runs.json"])
    each = read_documents(files["run"])
    assert gathered == [{k: v for k, v in run.items() if k != "spec"} for run in each]
    moved = pd.read_csv(tmp_path / "tables/transfer.csv")
    assert len(moved) > 0 if transfer else moved.empty
