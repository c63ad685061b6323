"""`cxrfmkd summary`: the three numbers of a finished study, from its own table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cxrfmkd.cli import main

COLUMNS = "strategy model loss population metric finding mean low high validation".split()
ROWS = [
    ("own", "cxr-fm-lp", "", "resampled", "auc_roc", "Macro", 0.9, 0.8, 0.95, 0.9),
    ("own", "cxr-fm-lp", "", "natural", "auc_roc", "Macro", 0.99, 0.8, 0.95, 0.9),
    ("own", "cxr-fm-lp", "", "resampled", "auc_pr", "Macro", 0.99, 0.8, 0.95, None),
    ("own", "cxr-fm-lp", "", "resampled", "auc_roc", "Edema", 0.99, 0.8, 0.95, None),
    ("own", "cxr-model-lp", "", "resampled", "auc_roc", "Macro", 0.7, None, None, 0.7),
    ("own", "cxr-fmkd-lp", "mse", "resampled", "auc_roc", "Macro", 0.75, 0.7, 0.8, 0.8),
    ("own", "cxr-fmkd-direct-lp", "cosine", "resampled", "auc_roc", "Macro", 0.81, 0.8, 0.9, 0.7),
    ("own", "cxr-fmkd-lp", "mse-labels", "resampled", "auc_roc", "Macro", 0.82, 0.8, 0.9, 0.99),
    ("own", "cxr-fmkd-direct-fft", "mse", "resampled", "auc_roc", "Macro", 0.99, 0.8, 0.9, 0.99),
    ("direct", "cxr-fmkd-lp", "mse", "resampled", "auc_roc", "Macro", 0.98, 0.7, 0.8, 0.99),
]


def write(results: Path, dataset: str, rows: list[tuple]) -> None:
    """The summary of a dataset's models, which has as many rows of each."""
    folder = results / "evaluation" / dataset
    folder.mkdir(parents=True)
    given = pd.DataFrame(rows, columns=COLUMNS)
    models, cells = (given[columns].drop_duplicates() for columns in (COLUMNS[:3], COLUMNS[3:6]))
    table = models.merge(cells, how="cross").merge(given, how="left")
    table = table.assign(dataset=dataset, source=dataset, sd=0.0)
    table.to_csv(folder / "summary.csv", index=False)


def test_a_finished_study_ends_in_three_numbers_and_its_report(tmp_path, capsys):
    """The student is the best on validation images, not on the test set, and no control."""
    (tmp_path / "report").mkdir()
    (tmp_path / "report/index.html").touch()
    write(tmp_path, "a", ROWS)
    write(tmp_path, "b", ROWS[:1])
    main(["summary", str(tmp_path)])
    title, *numbers, report = capsys.readouterr().out.splitlines()
    assert "resampled test set of a" in title
    assert [" ".join(line.split()) for line in numbers] == [
        "teacher 0.900 (0.800 to 0.950)",
        "student (CXR-FMKD-LP, MSE) 0.750 (0.700 to 0.800)",
        "the same network without distillation 0.700",
    ]
    assert report == f"The report: {tmp_path}/report/index.html"


@pytest.mark.parametrize("trained", [True, False])
def test_the_numbers_are_of_the_first_dataset_that_anything_was_trained_on(
    tmp_path, capsys, trained
):
    """As of the NIH's study, whose target comes before its source in the alphabet."""
    target = ("direct", "cxr-fm-lp", "", "natural", "auc_roc", "Macro", 0.6, 0.5, 0.7, 0.6)
    write(tmp_path, "a", [target])
    if trained:
        write(tmp_path, "b", [("own", *target[1:6], 0.9, 0.8, 0.95, 0.9)])
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
