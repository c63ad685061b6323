"""`cxrfmkd diff`: settings and results of two studies, and which differences noise explains."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cxrfmkd.cli import main
from cxrfmkd.runtime.files import write_json, write_table


def write_study(folder: Path, mean: float, width: float, **settings) -> Path:
    rows = []
    for model, value in (("cxr-fm-lp", 0.8), ("cxr-fmkd-lp", mean)):
        row = {"dataset": "here", "source": "here", "strategy": "own", "model": model, "loss": ""}
        row |= {"population": "natural", "metric": "auc_roc", "mean": value, "sd": 0.0}
        for finding in ("Macro", "Edema"):
            bounds = {"low": value - width / 2, "high": value + width / 2}
            rows.append(row | bounds | {"finding": finding})
    write_table(folder / "evaluation/here/summary.csv", pd.DataFrame(rows))
    spec = {"seed": 41, "network": {"input": "raw"} | settings}
    write_json(folder / "here/models/cxr-fmkd-lp/seed41/run.json", {"spec": spec})
    return folder


def test_a_difference_beyond_both_intervals_is_told_from_one_within(tmp_path, capsys):
    first = write_study(tmp_path / "a", 0.70, 0.04)
    second = write_study(tmp_path / "b", 0.75, 0.04, input="normalised", flip=True)
    main(["diff", str(first), str(second), "--out", str(tmp_path / "out.csv")])
    text = capsys.readouterr().out
    assert "Settings of runs that both have: 2 differ" in text
    assert "network.flip: not set -> True" in text
    assert "network.input: raw -> normalised" in text
    assert "Results that both have: 2, of which 1 differ beyond noise" in text
    assert "cxr-fmkd-lp, natural, auc_roc: 0.700 -> 0.750 (+0.050, noise 0.028)" in text
    table = pd.read_csv(tmp_path / "out.csv").set_index("model")
    # sqrt(2) half-widths of 0.02; the other model is the same in both.
    assert table.noise["cxr-fmkd-lp"] == pytest.approx(0.02 * 2**0.5)
    assert table.beyond_noise.tolist() == [False, True]
    wide = write_study(tmp_path / "c", 0.75, 0.12)
    main(["diff", str(first), str(wide)])
    assert "of which 0 differ beyond noise" in capsys.readouterr().out


def test_equal_studies_have_no_difference(tmp_path, capsys):
    study = write_study(tmp_path / "a", 0.7, 0.04)
    main(["diff", str(study), str(study)])
    text = capsys.readouterr().out
    assert "none differ" in text
    assert "0 differ beyond noise" in text


def test_a_folder_that_is_no_study_is_an_error_that_says_what_to_name(tmp_path, capsys):
    study = write_study(tmp_path / "a", 0.7, 0.04)
    with pytest.raises(SystemExit):
        main(["diff", str(study), str(tmp_path / "nothing")])
    assert "Name the results folder of a finished study" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["diff", str(study), str(study), "--confidence", "95"])
    assert "--confidence 95: give a share" in capsys.readouterr().err
