"""The whole evaluation: tables from predictions and records, and how these may not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from locations import ROOT
from made_predictions import logits, records, write_predictions
from scipy import stats
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score, roc_curve
from statsmodels.stats.multitest import multipletests

from cxrfmkd.datasets.halves import HALVES, half
from cxrfmkd.evaluation.analysis import evaluate
from cxrfmkd.evaluation.columns import TABLE_COLUMNS
from cxrfmkd.evaluation.families import Family, references
from cxrfmkd.evaluation.runs import Run, runs_of
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_table, write_table
from cxrfmkd.study.settings import Evaluation, Labels
from cxrfmkd.vocabulary.findings import AVERAGES, FINDINGS
from cxrfmkd.vocabulary.models import join_model, run_folder

SKILLS = {
    ("cxr-fm-lp", ""): 1.6,
    ("cxr-model-lp", ""): 0.4,
    ("cxr-fmkd-direct-lp", "mse"): 1.6,
    ("cxr-fmkd-direct-lp", "cosine"): 2.6,
}
# Every count is shown, so that no number is rounded.
SETTINGS = Evaluation(replicates=150, attributes=["sex", "race"], minimum_cell=1)
# float64: a sum of n terms up to 1 is off by n x 1.1e-16 at most, and n is below 2,000 here.
ROUNDING = 1e-12


class Study:
    """Records, weights and predictions of four models and two seeds on a dataset called `here`."""

    def __init__(self, folder: Path) -> None:
        self.val, self.test = records(70, 1, "val"), records(150, 2, "test")
        rng = np.random.default_rng(3)
        counts = rng.integers(0, 4, len(self.test)).astype(float)
        self.weights = pd.DataFrame({"image_id": self.test.image_id, "weight": counts})
        self.runs = [
            Run(
                Family("here", "own", *model),
                seed,
                write_predictions(
                    folder / f"{'.'.join(model)}{seed}.parquet",
                    skill,
                    10 * seed + i,
                    val=self.val,
                    test=self.test,
                ),
            )
            for i, (model, skill) in enumerate(SKILLS.items())
            for seed in (41, 42)
        ]

    def evaluate(self, settings: Evaluation = SETTINGS, **changes) -> dict[str, pd.DataFrame]:
        given = {
            "val": self.val,
            "test": self.test,
            "weights": self.weights,
            "runs": self.runs,
        } | changes
        return evaluate("here", settings=settings, **given)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    return Study(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def tables(study) -> dict[str, pd.DataFrame]:
    return study.evaluate()


def seed_of(model: tuple[str, str], seed: int) -> int:
    return 10 * seed + list(SKILLS).index(model)


def test_tables_have_their_columns_and_every_row(tables):
    assert {name: list(table.columns) for name, table in tables.items()} == TABLE_COLUMNS
    assert len(tables["metrics"]) == 4 * 2 * 2 * 17 * 4
    assert len(tables["summary"]) == 4 * 2 * 17 * 4
    keys = TABLE_COLUMNS["metrics"][:9]
    assert not tables["metrics"].duplicated(keys).any()
    assert set(tables["metrics"].finding) == {*FINDINGS, *AVERAGES}


def test_tables_of_groups_may_be_of_the_selected_seed_alone(study, tables):
    model = ("cxr-fmkd-direct-lp", "mse")
    runs = [run for run in study.runs if (run.family.model, run.family.loss) == model]
    chosen = study.evaluate(runs=runs, selected={"cxr-fmkd-direct-lp.mse": 42})
    alone = study.evaluate(runs=[run for run in runs if run.seed == 42])
    for name in ("subgroups", "gaps", "halves"):
        pd.testing.assert_frame_equal(chosen[name], alone[name])
    both = study.evaluate(runs=runs)
    for name in ("metrics", "summary", "thresholds"):
        pd.testing.assert_frame_equal(chosen[name], both[name])
    assert not chosen["subgroups"].equals(both["subgroups"])


def test_gaps_of_selected_seeds_are_compared_as_those_of_one_seed(study):
    names = {join_model(run.family.model, run.family.loss) for run in study.runs}
    chosen = study.evaluate(selected=dict.fromkeys(names, 42))["gaps"]
    alone = study.evaluate(runs=[run for run in study.runs if run.seed == 42])["gaps"]
    assert (alone.kind == "versus").any()
    pd.testing.assert_frame_equal(chosen, alone)


def test_a_finding_that_a_transferred_model_does_not_tell_has_no_threshold(study, tmp_path):
    run = study.runs[0]
    path = tmp_path / "shared.parquet"
    read_table(run.predictions).drop(columns="Edema").to_parquet(path)
    direct = Run(Family("there", "direct", *run.family[2:]), run.seed, path)
    tables = study.evaluate(runs=[direct])
    assert set(tables["thresholds"].finding) == {*FINDINGS} - {"Edema"}
    edema = tables["metrics"][tables["metrics"].finding == "Edema"]
    assert edema.estimate.isna().all()


def test_metrics_are_those_of_scikit_learn_on_duplicated_rows(study, tables):
    table = tables["metrics"]
    model = ("cxr-fmkd-direct-lp", "mse")
    scores = logits(study.test, SKILLS[model], seed_of(model, 42))
    for population, weights in (
        ("natural", np.ones(len(study.test))),
        ("resampled", study.weights.weight),
    ):
        rows = np.repeat(np.arange(len(study.test)), np.asarray(weights).astype(int))
        selected = table[
            (table.model == model[0])
            & (table.loss == "mse")
            & (table.seed == 42)
            & (table.population == population)
        ]
        result = selected.pivot(index="finding", columns="metric", values="estimate")
        expected = []
        for k, name in enumerate(FINDINGS):
            targets, score = study.test[name].to_numpy()[rows], scores[rows, k]
            fpr, tpr, _ = roc_curve(targets, score)
            expected.append(
                (
                    roc_auc_score(targets, score),
                    average_precision_score(targets, score),
                    (tpr - fpr).max(),
                    (tpr - fpr)[np.abs(fpr - 0.2).argmin()],
                )
            )
        order = ["auc_roc", "auc_pr", "youden_j_max", "youden_j_at_fpr20"]
        np.testing.assert_allclose(result.loc[list(FINDINGS), order], expected, atol=ROUNDING)
        np.testing.assert_allclose(
            result.loc["Macro", order], np.mean(expected, axis=0), atol=ROUNDING
        )


def test_summary_is_the_mean_and_sd_over_seeds(tables):
    keys = [*TABLE_COLUMNS["summary"][:8]]
    expected = tables["metrics"].groupby(keys).estimate.agg(["mean", "std"])
    result = tables["summary"].set_index(keys).loc[expected.index]
    np.testing.assert_allclose(result["mean"], expected["mean"], atol=ROUNDING)
    np.testing.assert_allclose(result.sd, expected["std"], atol=ROUNDING)
    assert (result.n_seeds == 2).all()
    known = result.dropna(subset=["low", "high"])
    assert len(known) > 0.4 * len(result)  # rare findings have too few patients for an interval
    assert (known.low <= known.high).all()
    assert ((known.low >= 0) & (known.high <= 1))[
        known.index.get_level_values("metric") == "auc_roc"
    ].all()


def test_halves_are_measured_on_their_own_patients_and_stand_in_no_other_table(study, tables):
    model = ("cxr-fm-lp", "")
    side, rows = half(study.test.patient_id), np.arange(len(study.test))
    for population, weights in (("natural", 1), ("resampled", study.weights.weight.astype(int))):
        for number, name in enumerate(HALVES):
            own = np.repeat(rows, np.where(side == number, weights, 0))
            targets = study.test[list(FINDINGS)].to_numpy()[own]
            expected = [
                roc_auc_score(targets, logits(study.test, SKILLS[model], seed_of(model, seed))[own])
                for seed in (41, 42)
            ]
            result = tables["halves"].query(
                "model == 'cxr-fm-lp' and finding == 'Macro' and metric == 'auc_roc'"
            )
            result = result[result.population == f"{population} {name}"]
            assert result["mean"].item() == pytest.approx(np.mean(expected))
            assert result.n_seeds.item() == 2
    assert set(tables["halves"].finding) == set(AVERAGES)
    others = [tables[name].population for name in tables.keys() - {"halves", "exclusions"}]
    others = pd.concat(others)
    assert set(others) == {"natural", "resampled"}


def test_counts_say_what_a_number_rests_on(study, tables):
    rows = tables["summary"].query(
        "finding == 'Edema' and metric == 'auc_roc' and model == 'cxr-fm-lp'"
    )
    natural, resampled = (rows[rows.population == p].iloc[0] for p in ("natural", "resampled"))
    edema, w = study.test.Edema.to_numpy(), study.weights.weight.to_numpy()
    assert (natural.n, natural.positives) == (len(edema), edema.sum())
    assert (resampled.n, resampled.positives) == ((w > 0).sum(), edema[w > 0].sum())
    assert resampled.prevalence == pytest.approx((edema * w).sum() / w.sum())


def test_finding_with_one_class_is_blank_and_counted(study):
    test = study.test.assign(Fracture=0.0)
    table = study.evaluate(test=test)["metrics"]
    assert (
        table[table.finding == "Fracture"][["estimate", "low", "high", "positives"]]
        .isna()
        .all(axis=None)
    )
    assert (table[table.finding == "Fracture"].undefined == 1).all()
    groups = table[table.finding.isin(["Macro", "Others"])]
    assert groups.estimate.notna().all()
    assert (groups.undefined == 1).all()
    assert (table[table.finding == "Average Classes 1 to 7"].undefined == 0).all()


def test_left_out_uncertain_labels_are_no_part_of_the_set(study):
    test = study.test.copy()
    test.loc[test.index[::5], "Edema"] = -1.0
    left_out = study.evaluate(test=test, labels=Labels(uncertain="ignore"))["summary"]
    assert (
        left_out[left_out.finding == "Edema"].query("population == 'natural'").n
        == (test.Edema >= 0).sum()
    ).all()


def test_the_number_of_left_out_images_of_few_patients_follows_from_no_table(study):
    test = study.test.copy()
    few = test.patient_id.isin(test.patient_id.unique()[:2])
    test.loc[few, "Edema"] = -1.0
    small_cells = SETTINGS.model_copy(update=dict(replicates=5, minimum_cell=10))
    weights = study.weights.assign(weight=1.0)
    policy = Labels(uncertain="ignore")
    tables = study.evaluate(small_cells, test=test, weights=weights, labels=policy)
    for name in ("metrics", "summary", "thresholds", "calibration", "subgroups"):
        table = tables[name]
        if name == "subgroups":
            table = table[table.attribute == "all"]
        n = table.groupby("finding").n
        assert n.count()["Edema"] == 0
        others = [finding for finding in FINDINGS if finding != "Edema"]
        assert (n.max()[others] == len(test)).all()


def test_resampled_test_set_of_equal_weights_is_none(study):
    tables = study.evaluate(weights=study.weights.assign(weight=1.0))
    halves, _ = tables.pop("halves"), tables.pop("exclusions")
    assert set(halves.population) == {f"natural {name}" for name in HALVES}
    assert all(set(table.population) == {"natural"} for table in tables.values())


def test_better_model_is_told_apart_and_p_values_are_adjusted_by_family(tables):
    table = tables["comparisons"]
    assert set(table.finding) == {"Macro", *AVERAGES["Average Classes 1 to 7"]}
    best = "own/cxr-fmkd-direct-lp.cosine@here"
    row = table[
        (table.model_a == best)
        & (table.model_b == "own/cxr-model-lp@here")
        & (table.metric == "auc_roc")
        & (table.finding == "Macro")
        & (table.population == "natural")
    ].iloc[0]
    assert row.low > 0.05
    assert row.p < 0.01
    assert row.family == "baseline: primary"
    primary = table[table.family.str.endswith(": primary")]
    assert set(zip(primary.finding, primary.metric, strict=True)) == {("Macro", "auc_roc")}
    others = table[table.family == "baseline: auc_roc"]
    assert "Macro" not in set(others.finding)
    summary = tables["summary"].query(
        "finding == 'Macro' and metric == 'auc_roc' and population == 'natural'"
    )
    means = summary.set_index(["model", "loss"])["mean"]
    assert row.difference == pytest.approx(
        means["cxr-fmkd-direct-lp", "cosine"] - means["cxr-model-lp", ""]
    )
    for _, family in table.groupby(["population", "family"]):
        np.testing.assert_allclose(family.p_adjusted, multipletests(family.p, method="fdr_by")[1])
    assert set(table[table.family.str.startswith("loss")].model_b) == {best}
    tested = table.dropna(subset="p")
    assert (tested.p_max_t >= tested.p - ROUNDING).all()
    # A difference far above the margin is not inferior, and not equivalent.
    assert row.p_noninferior < 0.001
    assert row.p_equivalent > 0.99


def test_the_best_on_validation_stands_in_the_summary(study, tables):
    rows = tables["summary"].dropna(subset="validation")
    assert set(zip(rows.finding, rows.metric, strict=True)) == {("Macro", "auc_roc")}
    assert len(rows) == len(SKILLS) * 2
    for model, skill in SKILLS.items():
        own = rows[(rows.model == model[0]) & (rows.loss == model[1])].validation
        expected = [
            roc_auc_score(study.val[list(FINDINGS)], logits(study.val, skill, seed_of(model, seed)))
            for seed in (41, 42)
        ]
        np.testing.assert_allclose(own, np.mean(expected))


def test_gaps_of_auc_pr_have_no_p_value(tables):
    gaps = tables["gaps"].query("kind == 'range'")
    assert gaps[gaps.metric == "auc_pr"][["p", "p_adjusted"]].isna().all(axis=None)
    assert gaps[gaps.metric == "auc_pr"].estimate.notna().any()
    assert gaps[gaps.metric == "auc_roc"].p.notna().any()


def test_analytic_p_values_check_those_of_the_bootstrap(study):
    one_seed = [run for run in study.runs if run.seed == 41]
    table = study.evaluate(SETTINGS.model_copy(update=dict(replicates=600)), runs=one_seed)[
        "comparisons"
    ]
    table = table.query("metric == 'auc_roc' and population == 'natural' and finding != 'Macro'")
    z = [stats.norm.isf(table[name] / 2) for name in ("p", "p_delong")]
    # The standard error of 600 replicates has one of 1 / sqrt(1,200) = 3 % of itself.
    np.testing.assert_allclose(z[0], z[1], rtol=0.15, atol=0.1)


def test_same_predictions_differ_by_nothing(study):
    twice = [replace(run, predictions=study.runs[run.seed - 41].predictions) for run in study.runs]
    settings = SETTINGS.model_copy(update=dict(comparisons=["teacher"]))
    one_seed = [run for run in twice if run.seed == 41]
    table = study.evaluate(settings, runs=one_seed)["comparisons"]
    assert (table[["difference", "low", "high"]] == 0).all(axis=None)
    assert table.p.isna().all()


def test_thresholds_from_validation_are_carried_to_the_test_set(study, tables):
    model = ("cxr-fm-lp", "")
    expected = []
    for seed in (41, 42):
        val, test = (
            logits(part, SKILLS[model], seed_of(model, seed)) for part in (study.val, study.test)
        )
        k = FINDINGS.index("Edema")
        fpr, _, cuts = roc_curve(study.val.Edema, val[:, k])
        cut = cuts[np.abs(fpr - 0.2).argmin()]
        tn, fp, fn, tp = confusion_matrix(study.test.Edema, test[:, k] >= cut).ravel()
        expected.append(
            [tp / (tp + fn), tn / (tn + fp), tp / (tp + fp), tn / (tn + fn), 1 / (1 + np.exp(-cut))]
        )
    rows = (
        tables["thresholds"]
        .query(
            "model == 'cxr-fm-lp' and finding == 'Edema' and population == 'natural' and rule == "
            "'validation'"
        )
        .set_index("metric")
    )
    result = [*rows.estimate[["sensitivity", "specificity", "ppv", "npv"]], rows.threshold.iloc[0]]
    # float32 logits: a threshold is off by 1.2e-7 of itself at most.
    np.testing.assert_allclose(result, np.mean(expected, axis=0), atol=1e-7)
    assert set(tables["thresholds"].rule) == {"validation", "test"}


def test_models_used_directly_carry_their_sources_thresholds(study, tmp_path):
    source = records(60, 9, "val")
    runs = []
    for seed in (41, 42):
        before = write_predictions(tmp_path / f"before{seed}.parquet", 1.0, seed, val=source)
        here = write_predictions(
            tmp_path / f"here{seed}.parquet", 1.0, seed, val=study.val, test=study.test
        )
        runs.append(Run(Family("there", "direct", "cxr-fm-lp", ""), seed, here, before))
    table = study.evaluate(runs=[*study.runs, *runs], sources={"there": source})["thresholds"]
    rows = table[(table.rule == "source-validation")]
    assert set(rows.source) == {"there"}
    assert len(rows) == 14 * 5 * 2
    k = FINDINGS.index("Pleural Effusion")
    cuts = []
    for seed in (41, 42):
        fpr, _, thresholds = roc_curve(source["Pleural Effusion"], logits(source, 1.0, seed)[:, k])
        cuts.append(1 / (1 + np.exp(-thresholds[np.abs(fpr - 0.2).argmin()])))
    assert rows[rows.finding == "Pleural Effusion"].threshold.iloc[0] == pytest.approx(
        np.mean(cuts), abs=1e-7
    )


def test_curves_enclose_the_areas(tables):
    curves = tables["curves"].query(
        "population == 'natural' and model == 'cxr-fm-lp' and finding == 'Edema'"
    )
    roc, pr = (curves[curves.curve == name] for name in ("roc", "pr"))
    assert roc.x.tolist() == pytest.approx(np.linspace(0, 1, 51))
    assert roc.y.is_monotonic_increasing
    means = tables["summary"].query(
        "population == 'natural' and model == 'cxr-fm-lp' and finding == 'Edema'"
    )
    means = means.set_index("metric")["mean"]
    # Between two points of the grid, 0.02 apart, the curve is taken as a line.
    assert np.trapezoid(roc.y, roc.x) == pytest.approx(means["auc_roc"], abs=0.02)
    assert pr.y[pr.x > 0].mean() == pytest.approx(means["auc_pr"], abs=0.03)


def test_rare_findings_show_metrics_but_no_counts_and_no_curves(study):
    test = study.test.assign(Fracture=0.0)
    few = test.patient_id.unique()[:5]
    test.loc[test.patient_id.isin(few), "Fracture"] = 1.0
    small_cells = dict(replicates=20, minimum_cell=10)
    tables = study.evaluate(SETTINGS.model_copy(update=small_cells), test=test)
    names = ("metrics", "curves", "calibration")
    rows = {name: tables[name][tables[name].finding == "Fracture"] for name in names}
    # What would tell the count with two decimals is left out.
    shown = {"auc_roc": True, "auc_pr": False, "youden_j_max": True, "youden_j_at_fpr20": False}
    assert (rows["metrics"].estimate.notna() == rows["metrics"].metric.map(shown)).all()
    assert rows["metrics"].positives.isna().all()
    assert rows["metrics"].prevalence.isna().all()
    assert rows["curves"].empty
    assert set(rows["calibration"].metric) == {  # without brier_skill, which tells the prevalence
        "brier",
        "mean_error",
        "ece",
        "rmsce_debiased",
    }
    assert not tables["curves"].empty
    assert (tables["calibration"].metric == "observed").any()


@pytest.mark.parametrize(
    "settings",
    [
        Evaluation(replicates=0, minimum_cell=1),
        SETTINGS.model_copy(update=dict(unit="row", replicates=20)),
        SETTINGS.model_copy(update=dict(attributes=[], replicates=5)),
        SETTINGS.model_copy(update=dict(comparisons=[], replicates=5)),
    ],
)
def test_every_switch_leads_to_tables(study, settings):
    tables = study.evaluate(settings)
    assert {name: list(table.columns) for name, table in tables.items()} == TABLE_COLUMNS
    assert tables["metrics"].estimate.notna().all()
    metrics = tables["metrics"]
    low = metrics.low[(metrics.finding == "Macro") & (metrics.metric != "youden_j_max")]
    assert low.notna().all() == (settings.replicates > 0)
    assert tables["comparisons"].empty == (not settings.comparisons)
    assert tables["gaps"].empty == (not settings.attributes)


def test_intervals_by_row_are_narrower_than_by_patient(tables, study):
    by_row = study.evaluate(SETTINGS.model_copy(update=dict(unit="row")))["metrics"]
    width = [
        (t.high - t.low)[t.population == "resampled"].mean() for t in (by_row, tables["metrics"])
    ]
    assert width[0] < 0.8 * width[1]


def test_no_table_names_an_image_or_a_patient(study, tables):
    text = "".join(table.to_csv() for table in tables.values())
    assert not any(one in text for one in [*study.test.image_id, *study.test.patient_id.unique()])


def broken(path: Path, change, tmp_path: Path) -> Path:
    table = change(read_table(path))
    target = tmp_path / "broken.parquet"
    write_table(target, table)
    return target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="Edema"), "columns Edema are missing"),
        (lambda t: t.drop(index=t.index[t.split == "test"][0]), "test images 1 are missing"),
        (lambda t: pd.concat([t, t[t.split == "test"][:2]]), "test images 2 have duplicate rows"),
        (
            lambda t: pd.concat([t, t[:1].assign(image_id="?", split="val")]),
            "1 are not among the records",
        ),
        (
            lambda t: t.assign(Edema=t.Edema.where(t.split == "val", np.inf)),
            "a logit that is not finite",
        ),
    ],
)
def test_predictions_that_do_not_fit_the_records_are_an_error(study, tmp_path, change, message):
    run = replace(study.runs[0], predictions=broken(study.runs[0].predictions, change, tmp_path))
    with pytest.raises(InputError, match=message):
        study.evaluate(SETTINGS.model_copy(update=dict(replicates=0)), runs=[run])


def reasons(image_ids) -> pd.Series:
    return pd.Series("unreadable", pd.Index(image_ids))


def test_excluded_images_change_nothing_whether_a_run_has_predicted_them_or_not(study, tmp_path):
    settings = SETTINGS.model_copy(update=dict(replicates=20))
    val, test, source = study.val, study.test, records(60, 9, "val")
    gone = {"here": reasons([*val.image_id[:1], *test.image_id[[0, 7]]])}
    gone["there"] = reasons(source.image_id[3:4])
    fewer = {
        "val": val.drop(index=0).reset_index(drop=True),
        "test": test.drop(index=[0, 7]).reset_index(drop=True),
    }
    here = [{"val": val, "test": test}, fewer, {"val": val, "test": test[1:]}]
    there = [source, source.drop(index=3), source]

    def predictions(name: str, complete: dict, predicted: dict) -> Path:
        path = write_predictions(tmp_path / f"{name}.parquet", 1.0, 5, **complete)
        table = read_table(path)
        ids = pd.concat([part.image_id for part in predicted.values()])
        write_table(path, table[table.image_id.isin(ids)])
        return path

    runs = [
        Run(
            Family("there", "direct", model, ""),
            41,
            predictions(model, here[0], mine),
            predictions(f"{model}-source", {"val": source}, {"val": theirs}),
        )
        for model, mine, theirs in zip(
            ("cxr-fm-lp", "cxr-model-lp", "cxr-model-fft"), here, there, strict=True
        )
    ]
    tables = study.evaluate(settings, runs=runs, sources={"there": source}, excluded=gone)
    left = {"there": source.drop(index=3).reset_index(drop=True)}
    same = [replace(r, predictions=runs[1].predictions) for r in runs]
    same = [replace(r, source_predictions=runs[1].source_predictions) for r in same]
    expected = study.evaluate(settings, runs=same, sources=left, **fewer)
    for name in tables.keys() - {"exclusions"}:
        pd.testing.assert_frame_equal(tables[name], expected[name])
    counts = tables["exclusions"].set_index("split")
    assert counts.loc["val"].tolist() == ["here", len(val), 1, 0, len(val) - 1]
    assert counts.loc["test"].tolist() == ["here", len(test), 2, 0, len(test) - 2]
    with pytest.raises(InputError, match="val images 1 are not among the records"):
        study.evaluate(settings, runs=runs, sources=left, excluded=gone | {"there": reasons([])})
    with pytest.raises(InputError, match="val images 1 are missing"):
        study.evaluate(
            settings, runs=runs[1:2], sources={"there": source}, excluded={"there": reasons([])}
        )


def test_missing_predictions_are_an_error(study, tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        study.evaluate(runs=[replace(study.runs[0], predictions=tmp_path / "absent.parquet")])


def test_weights_that_do_not_fit_the_test_set_are_an_error(study):
    with pytest.raises(InputError, match=r"1 of .* have no weight, and 0 rows"):
        study.evaluate(weights=study.weights[1:])
    with pytest.raises(InputError, match=r"0 of .* have no weight, and 1 rows have a duplicate"):
        study.evaluate(weights=pd.concat([study.weights, study.weights[:1]]))


def test_prediction_files_are_found_by_their_run_s_folder():
    direct = {"source": "a", "strategy": "direct", "model": "cxr-fmkd-lp", "loss": "mse", "seed": 1}
    own = direct | {"source": "b", "strategy": "own", "seed": 2}
    of_direct = Path("r/a-to-b/direct/cxr-fmkd-lp.mse/seed1/predictions.parquet")
    of_own = Path("r/b/models/cxr-fmkd-lp.mse/seed2/predictions.parquet")
    of_source = Path("r/a/models/cxr-fmkd-lp.mse/seed1/predictions.parquet")
    runs, sources = runs_of("b", [direct, own], [of_own, of_direct], [of_source])
    assert [(run.predictions, run.source_predictions) for run in runs] == [
        (of_direct, of_source),
        (of_own, None),
    ]
    assert sources == ["a"]
    assert runs_of("b", [own], [of_own], [])[1] == []
    with pytest.raises(
        InputError, match=r"no predictions of the run b/models/cxr-fmkd-lp\.mse/seed2"
    ):
        runs_of("b", [direct, own], [of_direct], [of_source])
    with pytest.raises(InputError, match="no predictions of the run a/models"):
        runs_of("b", [direct], [of_direct], [of_own])
    with pytest.raises(InputError, match="predictions of no run of the spec: b/models"):
        runs_of("b", [direct], [of_direct, of_own], [of_source])


def test_references_are_of_the_same_source_and_strategy_or_trained_here():
    own = [
        Family("here", "own", model, "") for model in ("cxr-fm-lp", "cxr-model-lp", "cxr-model-fft")
    ]
    moved = [Family("there", "direct", model, "") for model in ("cxr-fm-lp", "cxr-model-fft")]
    probed = Family("there", "linear-probe", "cxr-fmkd-fft", "mse")
    direct = Family("there", "direct", "cxr-fmkd-fft", "mse")
    families = [*own, *moved, probed, direct, direct._replace(loss="mae")]
    validated = dict.fromkeys(families, 0.5) | {direct._replace(loss="mae"): 0.7}
    result = {
        (kind, a): b
        for kind, a, b in references(families, "here", validated, ["teacher", "baseline", "loss"])
    }
    assert result["teacher", direct] == moved[0]
    assert result["baseline", direct] == moved[1]
    assert result["teacher", probed] == own[0]
    assert result["baseline", probed] == own[2]
    assert result["loss", direct] == direct._replace(loss="mae")
    assert ("teacher", own[0]) not in result
    assert ("loss", probed) not in result
    assert direct.name == "direct/cxr-fmkd-fft.mse@there"
    assert own[0].name == "own/cxr-fm-lp@here"


def test_a_student_is_compared_with_the_controls_of_its_loss():
    models = ["mse", "mse-shuffled", "mse-labels", "cosine"]
    families = [Family("here", "own", "cxr-fmkd-lp", loss) for loss in models]
    validated = dict(zip(families, (0.6, 0.9, 0.5, 0.7), strict=True))
    pairs = references(families, "here", validated, ["loss", "control"])
    assert pairs == [
        ("loss", families[0], families[3]),  # the best of the teacher's, not the control
        ("shuffled", families[0], families[1]),
        ("labels", families[0], families[2]),
    ]


def test_script_writes_every_table_and_honours_exclusions(study, tmp_path):
    remaining = study.test[1:-1]  # the first is unreadable, the last has no embedding
    spec = {
        "dataset": "here",
        "evaluation": SETTINGS.model_copy(update=dict(replicates=20)).model_dump(),
        "labels": Labels().model_dump(),
        "runs": [{**run.family._asdict(), "seed": run.seed} for run in study.runs[:2]],
    }
    for name, table in (("val", study.val), ("test", study.test)):
        write_table(tmp_path / f"{name}.csv", table)
    write_table(tmp_path / "weights.csv", study.weights)
    ids = pd.concat([study.val.image_id, study.test.image_id])
    for name, position in (("images", 0), ("teacher", -1)):
        missing = study.test.image_id.iloc[position]
        index = pd.DataFrame({"image_id": ids[ids != missing]})
        data = np.zeros((len(index), 1))
        KeyedArray(data, index, {"excluded": [missing]}).save(tmp_path / "here" / name)
    predicted = study.test[:-1], study.test[1:]  # a fine-tune's and the teacher's probe's
    files = []
    for i, run in enumerate(study.runs[:2]):
        source, strategy, model, loss = run.family
        folder = run_folder(source, "here", strategy, join_model(model, loss), run.seed)
        path = tmp_path / folder / "predictions.parquet"
        path.parent.mkdir(parents=True)
        files.append(write_predictions(path, 1.0, i, val=study.val, test=predicted[i]))
    command = [
        sys.executable,
        ROOT / "workflow/scripts/evaluate.py",
        "--spec",
        json.dumps(spec),
        "--predictions",
        *files,
        "--val",
        tmp_path / "val.csv",
        "--test",
        tmp_path / "test.csv",
        "--resampled",
        tmp_path / "weights.csv",
        "--images",
        tmp_path / "here" / "images",
        "--teacher",
        tmp_path / "here" / "teacher",
    ]
    outputs = {name: tmp_path / "out" / f"{name}.csv" for name in TABLE_COLUMNS}
    command += [part for name, path in outputs.items() for part in (f"--{name}", path)]
    subprocess.run([str(part) for part in command], check=True)
    for name, path in outputs.items():
        assert list(pd.read_csv(path).columns) == TABLE_COLUMNS[name]
    assert pd.read_csv(outputs["metrics"]).query("population == 'natural'").n.max() == len(
        remaining
    )
    counts = pd.read_csv(outputs["exclusions"]).set_index("split").loc["test"]
    assert counts.tolist() == ["here", len(study.test), 1, 1, len(remaining)]
