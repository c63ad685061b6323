"""`cxrfmkd compare` on anybody's tables: the numbers of the study's own comparisons."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from made_predictions import logits, records, write_predictions
from sklearn.metrics import average_precision_score, roc_auc_score
from statsmodels.stats.multitest import multipletests

from cxrfmkd.cli import main
from cxrfmkd.evaluation.analysis import evaluate
from cxrfmkd.evaluation.families import Family
from cxrfmkd.evaluation.runs import Run
from cxrfmkd.runtime.files import write_table
from cxrfmkd.study.settings import Evaluation
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.metrics import METRICS

# float64: a sum of n terms up to 1 is off by n x 1.1e-16 at most, and n is below 2,000 here.
ROUNDING = 1e-12

SKILLS = {"a": 1.5, "b": 0.5}


@pytest.fixture
def files(tmp_path):
    """Truth and the scores of a good and a poor model, each file in another order."""
    truth = records(80, 3)
    for name, skill in SKILLS.items():
        scores = pd.DataFrame(logits(truth, skill, 4), columns=list(FINDINGS))
        scores.insert(0, "image_id", truth.image_id)
        scores.sample(frac=1, random_state=1).to_parquet(tmp_path / f"{name}.parquet")
    truth[["image_id", "patient_id", *FINDINGS]].to_csv(tmp_path / "truth.csv", index=False)
    return tmp_path, truth


def run(folder, *more, a="a.parquet", b="b.parquet") -> pd.DataFrame:
    main(
        [
            "compare",
            "--truth",
            str(folder / "truth.csv"),
            "--scores",
            str(folder / a),
            "--scores",
            str(folder / b),
            "--key",
            "image_id",
            "--out",
            str(folder / "out.csv"),
            "--replicates",
            "200",
            *more,
        ]
    )
    return pd.read_csv(folder / "out.csv")


def test_the_numbers_are_those_of_the_study_s_own_comparison(files):
    folder, truth = files
    val = records(80, 9, "val")
    runs = []
    for name, model in [("a", "cxr-model-lp"), ("b", "cxr-fm-lp")]:
        path = write_predictions(folder / f"{name}-runs.parquet", SKILLS[name], 4, val=val)
        test = pd.read_parquet(folder / f"{name}.parquet").assign(split="test")
        write_table(path, pd.concat([pd.read_parquet(path), test]))
        runs.append(Run(Family("d", "own", model, ""), 41, path))
    settings = Evaluation(replicates=200, comparisons=["teacher"], attributes=[])
    weights = truth[["image_id"]].assign(weight=1.0)
    theirs = evaluate("d", runs, val, truth, weights, settings)["comparisons"]
    theirs = theirs.set_index(["finding", "metric"])
    ours = run(folder, "--cluster", "patient_id").set_index(["finding", "metric"])
    columns = ["difference", "low", "high", "p", "p_delong"]
    assert len(theirs) == 8 * 4
    pd.testing.assert_frame_equal(
        ours.loc[theirs.index, columns], theirs[columns].astype(float), rtol=1e-9
    )


def test_estimates_and_differences_are_scikit_learn_s(files):
    folder, truth = files
    table = run(folder, "--cluster", "patient_id").set_index(["finding", "metric"])
    for metric, theirs in [("auc_roc", roc_auc_score), ("auc_pr", average_precision_score)]:
        for name in FINDINGS:
            expected = []
            for model in ("a", "b"):
                scores = pd.read_parquet(folder / f"{model}.parquet").set_index("image_id")
                expected.append(theirs(truth[name], scores[name].loc[truth.image_id]))
            row = table.loc[name, metric]
            assert [row.estimate_a, row.estimate_b] == pytest.approx(expected, abs=ROUNDING)
            assert row.difference == pytest.approx(expected[0] - expected[1], abs=ROUNDING)
    assert table.n.loc["Edema", "auc_pr"] == len(truth)
    assert table.loc["Macro", "auc_roc"].p < 0.01
    assert table.loc["Macro", "auc_roc"].low > 0


def test_swapping_the_models_changes_signs_alone(files):
    folder, _ = files
    forward, backward = run(folder), run(folder, a="b.parquet", b="a.parquet")
    np.testing.assert_allclose(forward.difference, -backward.difference)
    np.testing.assert_allclose(forward.low, -backward.high)
    np.testing.assert_allclose(forward.p_adjusted, backward.p_adjusted)
    assert forward.model_a.str.endswith("a.parquet").all()
    assert (forward.model_a == backward.model_b).all()


def test_p_values_are_adjusted_within_a_metric(files):
    folder, _ = files
    table = run(folder, "--adjustment", "holm")
    for metric in METRICS:
        rows = table[table.metric == metric]
        expected = multipletests(rows.p, method="holm")[1]
        np.testing.assert_allclose(rows.p_adjusted, expected)
    plain = run(folder, "--adjustment", "none")
    np.testing.assert_array_equal(plain.p, plain.p_adjusted)


def test_a_model_does_not_differ_from_its_copy(files):
    folder, _ = files
    (folder / "copy.parquet").write_bytes((folder / "a.parquet").read_bytes())
    table = run(folder, b="copy.parquet")
    assert (table[["difference", "low", "high"]] == 0).all(axis=None)
    assert table.p.isna().all()


def test_weights_count_rows_and_have_no_delong(files):
    folder, truth = files
    counts = np.arange(len(truth)) % 3
    truth.assign(w=counts).to_csv(folder / "truth.csv", index=False)
    table = run(folder, "--weights", "w").set_index(["finding", "metric"])
    scores = pd.read_parquet(folder / "a.parquet").set_index("image_id").loc[truth.image_id]
    expected = roc_auc_score(np.repeat(truth.Edema, counts), np.repeat(scores.Edema, counts))
    assert table.loc["Edema", "auc_roc"].estimate_a == pytest.approx(expected, abs=ROUNDING)
    assert table.p_delong.isna().all()


def test_only_findings_that_both_models_score_are_compared(files, capsys):
    folder, _ = files
    few = pd.read_parquet(folder / "b.parquet")[["image_id", "Edema", "Fracture"]]
    few.to_csv(folder / "few.csv", index=False)
    table = run(folder, b="few.csv")
    assert set(table.finding) == {"Edema", "Fracture"}
    assert "a.parquet: not in all files, so left out: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("b", "message"),
    [
        ("a.parquet", "1 files are given. Name two"),
        ("short.csv", r"short\.csv: 1 rows of .*truth\.csv have no scores"),
        ("none.csv", "there is no such file"),
    ],
)
def test_files_that_cannot_be_compared_are_an_error(files, capsys, b, message):
    folder, _ = files
    pd.read_parquet(folder / "b.parquet")[1:].to_csv(folder / "short.csv", index=False)
    with pytest.raises(SystemExit):
        run(folder, b=b)
    assert re.search(message, capsys.readouterr().err)
