"""A reference standard of experts: metrics, agreement of the labels, and ranks of the models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_predictions import records, write_predictions
from scipy.stats import kendalltau
from scripts import run_script
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from cxrfmkd.datasets.exclusions import nothing
from cxrfmkd.datasets.records import complete, write_records
from cxrfmkd.datasets.reference import ExpertLabels, read_experts
from cxrfmkd.evaluation.columns import REFERENCE_COLUMNS, TABLE_COLUMNS
from cxrfmkd.evaluation.families import Family
from cxrfmkd.evaluation.reference import evaluate_reference, kappa
from cxrfmkd.evaluation.runs import Run
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.files import read_table
from cxrfmkd.study.settings import Evaluation, Labels, Reference
from cxrfmkd.synthetic import chexpert
from cxrfmkd.synthetic.population import population
from cxrfmkd.synthetic.truth import planted
from cxrfmkd.synthetic.writing import labels as made_labels
from cxrfmkd.tables.selecting import where
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.models import run_folder

SETTINGS = Evaluation(replicates=100, attributes=["sex", "race"], minimum_cell=1)
EFFUSION = "Pleural Effusion"


class World:
    """Test images that experts read, models of known skill at either truth, and all tables.

    skills: of each model, at what experts say and at what the labels say.
    """

    def __init__(self, folder, skills, patients=250, wrong=0.1, settings=SETTINGS) -> None:
        self.val, self.test = records(60, 1, "val"), records(patients, 2)
        rng = np.random.default_rng(3)
        labels = self.test[list(FINDINGS)].to_numpy()
        self.truth = np.where(rng.random(labels.shape) < wrong, 1 - labels, labels)
        self.truth[rng.random(len(labels)) < 0.2] = np.nan
        expert = self.test.assign(**dict(zip(FINDINGS, np.nan_to_num(self.truth).T, strict=True)))
        self.runs = []
        for i, (of_experts, of_labels) in enumerate(skills):
            for seed in (41, 42):
                table = expert if of_experts else self.test
                path = folder / f"{i}-{seed}.parquet"
                skill = of_experts or of_labels
                write_predictions(path, skill, 10 * i + seed, val=self.val, test=table)
                name = Family("here", "own", "cxr-fmkd-direct-lp", f"loss{i}")
                self.runs.append(Run(name, seed, path))
        self.experts = ExpertLabels(self.truth, dict.fromkeys(("rows", "units"), 1))
        self.tables = evaluate_reference(
            "here", self.runs, self.val, self.test, self.experts, settings, Labels(), nothing()
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    # The first two models know what experts say, the third and fourth what the labels say.
    skills = [(3.0, 0), (1.0, 0), (0, 3.0), (0, 1.0)]
    return World(tmp_path_factory.mktemp("world"), skills)


def test_tables_have_the_columns_of_those_beside_which_they_stand(world):
    assert {name: list(t.columns) for name, t in world.tables.items()} == REFERENCE_COLUMNS
    for name in ("metrics", "summary", "subgroups"):
        assert REFERENCE_COLUMNS[f"reference_{name}"] == TABLE_COLUMNS[name]
    assert len(world.tables["reference_metrics"]) == 4 * 2 * 2 * 17 * 4
    assert set(world.tables["reference_subgroups"].population) == {"reference"}
    counts = world.tables["reference_counts"].iloc[0]
    assert counts.images == counts.measured == (~np.isnan(world.truth).all(axis=1)).sum()


def test_metrics_are_those_of_scikit_learn_with_either_truth(world):
    read = ~np.isnan(world.truth[:, 0])
    predicted = pd.read_parquet(world.runs[0].predictions).set_index("image_id")
    scores = predicted.loc[world.test.image_id[read], EFFUSION]
    k = FINDINGS.index(EFFUSION)
    for name, truth in (("reference", world.truth), ("labeller", world.test[[*FINDINGS]].values)):
        row = where(
            world.tables["reference_metrics"],
            population=name,
            loss="loss0",
            seed=41,
            finding=EFFUSION,
            metric="auc_roc",
        )
        expected = roc_auc_score(truth[read, k], scores)
        assert row.estimate.item() == pytest.approx(expected, abs=1e-12)  # rounding of float64
        assert row.n.item() == read.sum()


def test_agreement_is_that_of_scikit_learn_in_every_group(world):
    table = world.tables["reference_agreement"]
    for attribute, group in (("all", "all"), ("sex", "Female"), ("race", "Asian")):
        members = ~np.isnan(world.truth[:, 0])
        if attribute != "all":
            members &= (world.test[attribute] == group).to_numpy()
        k = FINDINGS.index(EFFUSION)
        truth, labels = world.truth[members, k], world.test[EFFUSION].to_numpy()[members]
        expected = {
            "sensitivity": labels[truth == 1].mean(),
            "specificity": 1 - labels[truth == 0].mean(),
            "kappa": cohen_kappa_score(truth, labels),
        }
        rows = where(table, attribute=attribute, group=group, finding=EFFUSION).set_index("metric")
        for metric, value in expected.items():
            assert rows.estimate[metric] == pytest.approx(value, abs=1e-12)  # rounding
            assert rows.low[metric] < value < rows.high[metric]
        assert rows.n["kappa"] == members.sum()


def test_kappa_of_two_labels_that_say_the_same_of_all_has_no_value():
    assert np.isnan(kappa(np.array(1.0), np.array(1.0), np.array(np.nan)))
    assert kappa(np.array(0.5), np.array(1.0), np.array(0.0)) == 1
    assert kappa(np.array(0.5), np.array(0.5), np.array(0.5)) == 0


def test_ranks_are_kendall_s_and_the_reversal_that_was_planted_is_told(world):
    summary = where(world.tables["reference_summary"], finding="Macro", metric="auc_roc")
    of_experts, of_labels = (
        where(summary, population=name).set_index("loss")["mean"]
        for name in ("reference", "labeller")
    )
    row = where(world.tables["reference_ranks"], finding="Macro", metric="auc_roc").iloc[0]
    tau = kendalltau(of_experts, of_labels.reindex(of_experts.index)).statistic
    assert row.estimate == pytest.approx(tau, abs=1e-12)
    # Each truth prefers the model that knows it: two good and two fair ones swap places.
    assert row.reversed >= 2
    assert row.resolved <= row.pairs == 6
    assert row.low <= row.estimate <= row.high < 1


def test_models_that_cannot_be_told_apart_leave_the_rank_correlation_open(tmp_path):
    world = World(tmp_path, [(1.5, 0)] * 4, patients=120)
    row = where(world.tables["reference_ranks"], finding="Macro", metric="auc_roc").iloc[0]
    assert row.low <= 0
    assert row.high == 1


def test_small_groups_are_hidden(tmp_path):
    settings = SETTINGS.model_copy(update={"minimum_cell": 40, "replicates": 5})
    world = World(tmp_path, [(1.5, 0)] * 3, settings=settings)
    table = world.tables["reference_agreement"]
    rare = where(table, finding=FINDINGS[0], attribute="race")
    assert rare.suppressed.all()
    assert rare[["estimate", "positives"]].isna().all(axis=None)
    assert where(table, finding=FINDINGS[-1], attribute="all").estimate.notna().all()


def test_the_labeller_s_planted_blindness_is_found_in_the_group_that_it_strikes(tmp_path):
    truth = planted("chexpert", missed={EFFUSION: {"Female": 0.4}})
    rows = population(truth, 900, 5)
    rows = rows[rows["view"] != "LATERAL"].reset_index(drop=True)
    people = rows.drop_duplicates("patient").set_index("patient").assign(reason="")
    table = chexpert.train(rows, people, truth, 5)
    split = pd.DataFrame({"index": range(len(rows)), "split": "test"})
    chexpert.reference(rows, table, split, truth, 5).to_csv(tmp_path / "experts.csv", index=False)
    test = made_labels(rows, truth, 5).assign(
        image_id=table.Path.str.removesuffix(".jpg"),
        path=table.Path,
        patient_id=rows.patient.astype(str),
        study_id=rows.study.astype(str),
        **{name: rows[name] for name in ("sex", "race", "view")},
        age=rows.age.astype(float),
        split="test",
    )
    test = complete(test)
    settings = {"table": str(tmp_path / "experts.csv"), "key": "Path", "reader": "reader"}
    experts = read_experts("site", Reference.read(settings, ""), test)
    val = records(60, 1, "val")
    runs = [
        Run(
            Family("here", "own", "cxr-fm-lp", ""),
            41,
            write_predictions(
                tmp_path / "p.parquet",
                1.0,
                1,
                val=val,
                test=test.fillna(dict.fromkeys(FINDINGS, 0)),
            ),
        )
    ]
    settings = Evaluation(replicates=200, attributes=["sex"])
    tables = evaluate_reference("site", runs, val, test, experts, settings, Labels(), nothing())
    table = tables["reference_agreement"]
    found = where(table, finding=EFFUSION, attribute="sex", metric="sensitivity").set_index("group")
    heard = 1 - truth.uncertain[0]  # what is called uncertain counts as absent
    # Of three readers two err together in 3 x 0.05^2 of the images: some per cent of the positives.
    for group, chance in (("Male", 0.0), ("Female", 0.4)):
        expected = heard * (1 - chance)
        assert found.low[group] - 0.03 < expected < found.high[group] + 0.03
    assert found.high["Female"] < found.low["Male"]


def test_the_script_writes_every_table_from_the_files_of_a_study(tmp_path, monkeypatch):
    val, test = records(40, 1, "val"), records(80, 2)
    for name, table in (("val", val), ("test", test)):
        write_records(tmp_path / f"{name}.csv", table)
    table = test[["image_id", *FINDINGS]].head(120)
    table.to_csv(tmp_path / "experts.csv", index=False)
    ids = pd.concat([val, test])[["image_id"]].iloc[:-1].reset_index(drop=True)
    meta = {"excluded": [test.image_id.iloc[-1]]}
    for name in ("images", "teacher"):
        KeyedArray(np.zeros((len(ids), 1), np.float32), ids, meta).save(tmp_path / name)
    runs, paths = [], []
    for seed in (41, 42):
        runs.append({"source": "here", "strategy": "own", "model": "cxr-fm-lp", "loss": ""})
        runs[-1]["seed"] = seed
        folder = tmp_path / run_folder("here", "here", "own", "cxr-fm-lp", seed)
        folder.mkdir(parents=True)
        path = write_predictions(folder / "predictions.parquet", 1.0, seed, val=val, test=test)
        paths.append(path)
    spec = {
        "dataset": "here",
        "reference": Reference.read({"table": str(tmp_path / "experts.csv")}, "").model_dump(),
        "evaluation": SETTINGS.model_copy(update={"replicates": 5}).model_dump(),
        "labels": Labels().model_dump(),
        "runs": runs,
    }
    files = {name: tmp_path / f"{name}.csv" for name in ("val", "test")}
    arrays = {name: tmp_path / name for name in ("images", "teacher")}
    outputs = {
        name.removeprefix("reference_"): tmp_path / f"{name}.csv" for name in REFERENCE_COLUMNS
    }
    run_script(
        monkeypatch, "evaluate_reference", spec, predictions=paths, **files, **arrays, **outputs
    )
    metrics = read_table(tmp_path / "reference_metrics.csv")
    assert set(metrics.seed) == {41, 42}
    assert set(metrics.population) == {"reference", "labeller"}
    # The experts say what the labels say, so the two truths give the same numbers.
    keys = ["seed", "finding", "metric"]
    by_truth = metrics.pivot(index=keys, columns="population", values="estimate")
    pd.testing.assert_series_equal(by_truth.reference, by_truth.labeller, check_names=False)
    agreement = read_table(tmp_path / "reference_agreement.csv")
    assert set(agreement.estimate.dropna()) == {1.0}
    assert read_table(tmp_path / "reference_counts.csv").measured.item() == 120
