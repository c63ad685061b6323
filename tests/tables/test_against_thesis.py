"""The thesis's numbers beside ours."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from locations import ROOT

from cxrfmkd.tables.against_thesis import COLUMNS, against_thesis, thesis_results
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.models import MODELS, STRATEGIES


def summary(dataset="chexpert", **columns) -> pd.DataFrame:
    """AUC-ROC of CXR-FM-LP: 0.75 for every finding, SD 0.003."""
    table = pd.DataFrame({"finding": [*FINDINGS, "Macro"]})
    run = {
        "dataset": dataset,
        "source": dataset,
        "strategy": "own",
        "model": "cxr-fm-lp",
        "loss": np.nan,
    }
    table = table.assign(**run, population="resampled", metric="auc_roc", mean=0.75, sd=0.003)
    table["n_seeds"] = 4
    return table.assign(**columns)


def test_thesis_results_speak_of_the_studys_models():
    table = thesis_results()
    assert len(table) == 1974
    assert not table.duplicated(
        ["dataset", "source", "strategy", "model", "loss", "finding", "metric"]
    ).any()
    assert set(table.model) <= set(MODELS)
    assert set(table.strategy) == {"own", *STRATEGIES}
    row = table.query(
        "dataset == 'mimic' and strategy == 'own' and model == 'cxr-fm-lp' and finding == 'Macro'"
    )
    assert row.set_index("metric").thesis["auc_roc"] == pytest.approx(0.7625, abs=1e-4)


def test_differences_are_in_units_of_their_standard_error():
    found = against_thesis(summary()).set_index("finding")
    assert list(found.reset_index()[COLUMNS]) == COLUMNS
    macro = found.loc["Macro"]
    assert macro.thesis == pytest.approx(0.75183)
    error = np.sqrt(0.003**2 / 4 + 0.00136**2 / 5)  # four seeds of ours, five of the thesis
    assert macro.z == pytest.approx((0.75 - 0.75183) / error, rel=0.01)  # rounded above
    assert not macro.outside
    assert found.loc["No Finding"].outside


def test_mean_of_the_other_twelve_is_ours_too_but_has_no_deviation():
    ours = summary()
    ours.loc[ours.finding.isin(["No Finding", "Pleural Effusion"]), "mean"] = 0.1
    rest = against_thesis(ours).set_index("finding").loc["Mean of the other 12"]
    assert rest.ours == pytest.approx(0.75)
    assert np.isnan(rest.z)
    assert pd.isna(rest.outside)


def test_other_datasets_and_the_natural_test_set_have_nothing_to_compare():
    assert against_thesis(summary("nih")).empty
    assert against_thesis(summary(population="natural")).empty
    assert list(against_thesis(summary("nih")).columns) == COLUMNS


def test_script_joins_the_summaries_of_several_datasets(tmp_path):
    paths = []
    for name in ("chexpert", "mimic", "nih"):
        paths.append(tmp_path / f"{name}.csv")
        summary(name).to_csv(paths[-1], index=False)
    out = tmp_path / "against.csv"
    script = ROOT / "workflow/scripts/compare_with_thesis.py"
    command = [
        sys.executable,
        script,
        "--spec",
        json.dumps({"datasets": []}),
        "--summary",
        *paths,
        "--out",
        out,
    ]
    subprocess.run(list(map(str, command)), check=True)
    assert pd.read_csv(out).dataset.value_counts().to_dict() == {"chexpert": 4, "mimic": 4}
