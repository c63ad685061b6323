"""`cxrfmkd metrics` on anybody's tables."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from made_predictions import logits, records
from sklearn.metrics import roc_auc_score

from cxrfmkd.cli import main
from cxrfmkd.statistics.uncertainty import FEWEST_PATIENTS
from cxrfmkd.vocabulary.findings import FINDINGS

# float64: a sum of n terms up to 1 is off by n x 1.1e-16 at most, and n is below 2,000 here.
ROUNDING = 1e-12


@pytest.fixture
def files(tmp_path):
    """Truth with numeric-looking keys and scores in another order, one file of each kind."""
    truth = records(60, 3)
    truth["image_id"] = [f"{i:05d}" for i in range(len(truth))]
    scores = pd.DataFrame(logits(truth, 1.0, 4), columns=list(FINDINGS))
    scores.insert(0, "image_id", truth.image_id)
    truth = truth[["image_id", "patient_id", "sex", *FINDINGS]].assign(w=np.arange(len(truth)) % 3)
    truth.to_csv(tmp_path / "truth.csv", index=False)
    scores[::-1].to_parquet(tmp_path / "scores.parquet")
    return tmp_path, truth, scores


def run(folder, *more, truth="truth.csv", scores="scores.parquet") -> pd.DataFrame:
    main(
        [
            "metrics",
            "--truth",
            str(folder / truth),
            "--scores",
            str(folder / scores),
            "--key",
            "image_id",
            "--out",
            str(folder / "out.csv"),
            "--replicates",
            "100",
            *more,
        ]
    )
    return pd.read_csv(folder / "out.csv")


def test_rows_are_matched_by_key_and_findings_by_name(files, capsys):
    folder, truth, scores = files
    table = run(folder, "--cluster", "patient_id", "--weights", "w")
    rows = table[table.metric == "auc_roc"].set_index("finding")
    for name in FINDINGS:
        expected = roc_auc_score(np.repeat(truth[name], truth.w), np.repeat(scores[name], truth.w))
        assert rows.estimate[name] == pytest.approx(expected, abs=ROUNDING)
        known = truth[truth.w > 0].groupby(name).patient_id.nunique().min() >= FEWEST_PATIENTS
        assert (rows.low[name] <= expected <= rows.high[name]) == known
    assert rows.estimate["Macro"] == pytest.approx(rows.estimate[list(FINDINGS)].mean())
    assert rows.n["Edema"] == (truth.w > 0).sum()
    assert rows.positives["Edema"] == truth.Edema[truth.w > 0].sum()
    assert "left out: sex" in capsys.readouterr().err


def test_patients_widen_the_interval(files):
    folder, *_ = files
    alone, clustered = run(folder), run(folder, "--cluster", "patient_id")
    assert (clustered.high - clustered.low).mean() > 1.05 * (alone.high - alone.low).mean()


def test_a_rare_finding_takes_the_macro_s_interval_and_tells_what_was_skipped(files):
    """With one positive image, 1 - (1 - 1/n)^n of replicates have it; the others have no macro."""
    folder, truth, _ = files
    rare = np.zeros(len(truth))
    rare[np.flatnonzero(truth.Edema == 1)[0]] = 1
    truth.assign(Fracture=rare).to_csv(folder / "rare.csv", index=False)
    table = run(folder, "--replicates", "400", truth="rare.csv")
    rows = table[table.metric == "auc_roc"].set_index("finding")
    assert rows.skipped["Macro"] == rows.skipped["Fracture"]
    assert rows.skipped["Macro"] == pytest.approx(np.exp(-1), abs=0.1)  # 4 standard errors
    assert rows.skipped["Edema"] == 0
    # Wherever it is averaged, the finding counts a fourteenth.
    others = rows.estimate[list(FINDINGS)].drop("Fracture").mean()
    assert rows.estimate["Macro"] == pytest.approx(
        (13 * others + rows.estimate["Fracture"]) / 14, abs=ROUNDING
    )
    # The replicates that have the one image hardly vary it, so an interval would be too narrow.
    assert rows.loc[["Macro", "Others", "Fracture"], ["low", "high"]].isna().all(axis=None)
    assert rows.loc["Average Classes 1 to 7", ["low", "high"]].notna().all()


def test_the_key_may_be_the_cluster_and_keeps_its_zeros(files):
    folder, truth, scores = files
    ids = [f"{i:06d}" for i in range(len(truth))]
    for name, table in (("t", truth), ("s", scores)):
        table.assign(image_id=ids).sample(frac=1, random_state=1).to_csv(folder / f"{name}.csv")
    columns = ["estimate", "low", "high"]
    twice = run(folder, "--cluster", "image_id", truth="t.csv", scores="s.csv")
    once = run(folder, truth="t.csv", scores="s.csv")
    np.testing.assert_allclose(twice.estimate, once.estimate, rtol=0, atol=ROUNDING)
    assert twice.estimate.notna().all()
    assert twice[twice.metric == "auc_roc"][columns].notna().all(axis=None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--confidence", "95"], "'95' should be less than or equal to 0.999. It means: coverage"),
        (["--replicates", "-5"], "'-5' should be greater than or equal to 0"),
        (["--target-fpr", "20"], "'20' should be less than or equal to 1"),
        (["--seed", "1.5"], "'1.5' should be a valid integer"),
        (["--out", "."], "'.' is a folder or nothing; name a file to write"),
        (["--out", ""], "'' is a folder or nothing; name a file to write"),
    ],
)
def test_options_have_the_limits_of_the_settings(files, capsys, words, message):
    with pytest.raises(SystemExit):
        run(files[0], *words)
    assert message in capsys.readouterr().err


def test_few_findings_blanks_and_other_names_do(files):
    folder, truth, scores = files
    few = truth[["image_id"]].assign(mine=truth.Edema.where(truth.index % 4 > 0), other=1)
    few.to_csv(folder / "few.csv", index=False)
    scores[["image_id"]].assign(mine=scores.Edema).to_csv(folder / "mine.csv", index=False)
    table = run(folder, truth="few.csv", scores="mine.csv")
    assert table.finding.tolist() == ["mine"] * 4
    assert table.n.tolist() == [few.mine.notna().sum()] * 4


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda t, s: (t[1:], s), [], "0 rows of .* have no scores and 1 rows of it no truth"),
        (lambda t, s: (t, s[2:]), [], "2 rows of .* have no scores"),
        (lambda t, s: (t, pd.concat([s, s[:1]])), [], "2 rows with a duplicate image_id"),
        (
            lambda t, s: (t, s.rename(columns={"image_id": "id"})),
            [],
            "no column image_id; it has id",
        ),
        (lambda t, s: (t, s[["image_id"]]), [], "no column has the name of one of"),
        (
            lambda t, s: (t.assign(Edema="yes"), s),
            [],
            r"column Edema: [0-9]+ values are not numbers: yes \(lines 2, 3",
        ),
        (
            lambda t, s: (t.assign(Edema=-1), s),
            [],
            r"column Edema: [0-9]+ values are not 0, 1 or blank: -1.0 \(lines 2, 3",
        ),
        (lambda t, s: (t, s.assign(Edema=np.nan)), [], "scores are not finite"),
        (lambda t, s: (t, s), ["--cluster", "patient"], "no column patient; it has"),
        (
            lambda t, s: (t.assign(patient_id=None), s),
            ["--cluster", "patient_id"],
            r"column patient_id: [0-9]+ rows are blank \(lines 2, 3",
        ),
    ],
)
def test_tables_that_do_not_fit_are_an_error(files, capsys, change, arguments, message):
    folder, truth, scores = files
    truth, scores = change(truth, scores)
    truth.to_csv(folder / "truth.csv", index=False)
    scores.to_parquet(folder / "scores.parquet")
    with pytest.raises(SystemExit):
        run(folder, *arguments)
    assert re.search(message, capsys.readouterr().err)


def test_missing_file_is_an_error(files, capsys):
    with pytest.raises(SystemExit):
        run(files[0], truth="absent.csv")
    assert "there is no such file" in capsys.readouterr().err
