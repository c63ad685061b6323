"""Result files read as tables that know what they are about."""

from __future__ import annotations

import pytest

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.tables.gathering import about, gather, read_documents, read_result


def test_a_path_says_what_its_table_does_not(tmp_path):
    assert about("results/bias/chexpert/cxr-fmkd-lp.mse/ks.csv") == {
        "dataset": "chexpert",
        "model": "cxr-fmkd-lp",
        "loss": "mse",
    }
    assert about("r/a-to-b/direct/cxr-fm-lp/seed41/run.json") == {
        "source": "a",
        "dataset": "b",
        "strategy": "direct",
        "model": "cxr-fm-lp",
        "loss": "",
        "seed": 41,
    }
    assert about("r/demo/x/students/mse/seed7/history.csv") == {
        "dataset": "x",
        "loss": "mse",
        "seed": 7,
    }
    path = tmp_path / "bias/chexpert/cxr-fmkd-lp.mse/ks.csv"
    path.parent.mkdir(parents=True)
    path.write_text("dataset,model,d\nchexpert,cxr-fmkd-lp.mse,0.1\n")
    table = read_result(path)
    assert table.model.tolist() == ["cxr-fmkd-lp"]
    assert table.loss.tolist() == ["mse"]
    (tmp_path / "chexpert/students/mse").mkdir(parents=True)
    (tmp_path / "chexpert/students/mse/quality.json").write_text('{"a": 1}')
    found = read_documents([tmp_path / "chexpert/students/mse/quality.json"])
    assert found == [{"about": {"dataset": "chexpert", "loss": "mse"}, "a": 1}]


def test_a_table_that_is_missing_or_empty_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.csv"):
        gather({"nowhere": [tmp_path / "nowhere.csv"]})
    (tmp_path / "ks.csv").write_text("")
    with pytest.raises(InputError, match=r"ks\.csv: an empty file"):
        gather({"ks": [tmp_path / "ks.csv"]})
