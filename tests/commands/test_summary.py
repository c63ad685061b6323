"""`cxrfmkd summary`: the three numbers of a finished study, from its own table."""

from __future__ import annotations

import pandas as pd
import pytest

from cxrfmkd.cli import main

COLUMNS = "dataset strategy model loss population metric finding average low high".split()
ROWS = [
    ("a", "own", "cxr-fm-lp", "", "resampled", "auc_roc", "Macro", 0.9, 0.8, 0.95),
    ("a", "own", "cxr-fm-lp", "", "natural", "auc_roc", "Macro", 0.99, 0.8, 0.95),
    ("a", "own", "cxr-fm-lp", "", "resampled", "auc_pr", "Macro", 0.99, 0.8, 0.95),
    ("a", "own", "cxr-fm-lp", "", "resampled", "auc_roc", "Edema", 0.99, 0.8, 0.95),
    ("a", "own", "cxr-model-lp", "", "resampled", "auc_roc", "Macro", 0.7, None, None),
    ("a", "own", "cxr-fmkd-lp", "mse", "resampled", "auc_roc", "Macro", 0.75, 0.7, 0.8),
    ("a", "own", "cxr-fmkd-direct-lp", "cosine", "resampled", "auc_roc", "Macro", 0.81, 0.8, 0.9),
    ("a", "own", "cxr-fmkd-direct-fft", "mse", "resampled", "auc_roc", "Macro", 0.99, 0.8, 0.9),
    ("a", "direct", "cxr-fmkd-lp", "mse", "resampled", "auc_roc", "Macro", 0.98, 0.7, 0.8),
    ("b", "own", "cxr-fm-lp", "", "resampled", "auc_roc", "Macro", 0.5, 0.4, 0.6),
]


def test_a_finished_study_ends_in_three_numbers_and_its_report(tmp_path, capsys):
    (tmp_path / "tables").mkdir()
    (tmp_path / "report").mkdir()
    (tmp_path / "report/index.html").touch()
    table = tmp_path / "tables/performance_detailed.csv"
    pd.DataFrame(ROWS, columns=COLUMNS).to_csv(table, index=False)
    main(["summary", str(tmp_path)])
    title, *numbers, report = capsys.readouterr().out.splitlines()
    assert "resampled test set of a" in title
    assert [" ".join(line.split()) for line in numbers] == [
        "teacher 0.900 (0.800 to 0.950)",
        "student (Cosine) 0.810 (0.800 to 0.900)",
        "the same network without distillation 0.700",
    ]
    assert report == f"The report: {tmp_path}/report/index.html"


@pytest.mark.parametrize("trained", [True, False])
def test_the_numbers_are_of_the_first_dataset_that_anything_was_trained_on(
    tmp_path, capsys, trained
):
    """As of the NIH's study, whose target comes before its source in the alphabet."""
    (tmp_path / "tables").mkdir()
    target = ("a", "direct", "cxr-fm-lp", "", "natural", "auc_roc", "Macro", 0.6, 0.5, 0.7)
    source = ("b", "own", "cxr-fm-lp", "", "natural", "auc_roc", "Macro", 0.9, 0.8, 0.95)
    rows = [target, source] if trained else [target]
    table = tmp_path / "tables/performance_detailed.csv"
    pd.DataFrame(rows, columns=COLUMNS).to_csv(table, index=False)
    main(["summary", str(tmp_path)])
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 * trained
    if trained:
        assert "natural test set of b" in said[0]
        assert "0.900 (0.800 to 0.950)" in said[1]


def test_a_study_that_is_not_finished_is_told_so(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["summary", str(tmp_path)])
    assert "Run the study to its end first" in capsys.readouterr().err
