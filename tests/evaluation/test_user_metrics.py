"""Metrics of a user's own file, held to the four and to scikit-learn."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from configurations import configuration
from made_predictions import records, write_predictions
from sklearn.metrics import brier_score_loss, roc_auc_score

from cxrfmkd.evaluation.analysis import evaluate
from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.evaluation.families import Family
from cxrfmkd.evaluation.runs import Run
from cxrfmkd.evaluation.user_metrics import UserMeasurement, registered
from cxrfmkd.runtime import plugins
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.statistics.sweep import ROC_AREA
from cxrfmkd.study.grid import Study
from cxrfmkd.study.settings import Evaluation
from cxrfmkd.study.specs import SPECS
from cxrfmkd.vocabulary.metrics import MEASURES

# float64: a sum of n terms up to 1 is off by n x 1.1e-16 at most, and n is below 2,000 here.
ROUNDING = 1e-12
SETTINGS = Evaluation(replicates=30, attributes=["sex"], minimum_cell=1)
pytestmark = pytest.mark.usefixtures("no_pieces_left")
OWN = """from cxrfmkd.plugins import metric

@metric("{name}")
def own(truth, scores, weights):
    return {formula}
"""


def area(truth, scores, weights):
    return roc_auc_score(truth, scores, sample_weight=weights)


def brier(truth, scores, weights):
    return brier_score_loss(truth, scores, sample_weight=weights)


def made(n=200, seed=0):
    """Targets, probabilities without ties, patients and weights; the last finding has one class."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((n, 3)) < [0.2, 0.5, 2]).astype(float)
    targets[rng.random(targets.shape) < 0.05] = np.nan
    return targets, rng.random((n, 3)), rng.integers(0, 70, n), rng.integers(0, 3, n).astype(float)


@pytest.mark.parametrize("unit", ["patient", "row"])
def test_an_area_of_a_user_is_the_area_of_the_four_in_every_replicate(unit):
    targets, scores, patients, weights = made()
    everyone = np.zeros((len(targets), 1), np.int16)
    sample = Sample(targets, patients, weights, everyone, 20, unit)
    own = UserMeasurement(sample, scores, {"area": area})
    sample.for_each_block(own)
    expected = sample.measure(scores).metrics[:, ROC_AREA, :, 0]
    assert np.isfinite(expected[:, :2]).all()
    np.testing.assert_allclose(own.values[..., 0], expected, atol=ROUNDING)


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> dict[str, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("runs")
    val, test = records(40, 1, "val"), records(90, 2, "test")
    runs = [
        Run(
            Family("here", "own", model, ""),
            seed,
            write_predictions(folder / f"{model}{seed}.parquet", skill, seed, val=val, test=test),
        )
        for model, skill in (("cxr-fm-lp", 1.6), ("cxr-model-lp", 0.6))
        for seed in (41, 42)
    ]
    weights = pd.DataFrame({"image_id": test.image_id, "weight": np.arange(len(test)) % 3.0})
    metrics = {"area": area, "own_brier": brier}
    return evaluate("here", runs, val, test, weights, SETTINGS, metrics=metrics)


def rows(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    return table[table.metric == metric].reset_index(drop=True)


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("metrics", ["estimate"]),
        ("summary", ["mean", "sd", "n_seeds"]),
        ("comparisons", ["difference", "low", "high", "p", "p_adjusted", "p_max_t"]),
    ],
)
def test_a_user_s_area_stands_in_the_tables_as_that_of_the_four_does(tables, name, columns):
    own, ours = rows(tables[name], "area"), rows(tables[name], "auc_roc")
    if name == "comparisons":  # the primary endpoint is a family of tests of its own
        own, ours = (table[table.finding != "Macro"] for table in (own, ours))
        columns = [column for column in columns if not column.startswith("p_")]
    assert len(own) == len(ours) > 0
    keys = [key for key in ("model", "seed", "population", "finding", "model_a") if key in own]
    pd.testing.assert_frame_equal(own[keys], ours[keys])
    pd.testing.assert_frame_equal(own[columns], ours[columns], rtol=0, atol=1e-9)


def test_a_metric_of_probabilities_gets_probabilities(tables):
    own = rows(tables["summary"], "own_brier")
    ours = rows(tables["calibration"], "brier")
    both = own.merge(ours, on=["model", "population", "finding"])
    assert len(both) == 2 * 2 * 14
    np.testing.assert_allclose(both["mean"], both.estimate, atol=1e-9)


def test_intervals_of_a_user_s_metric_hold_its_estimates(tables):
    own = rows(tables["summary"], "area").dropna(subset=["low", "high"])
    assert len(own) > 20
    assert ((own.low < own["mean"]) & (own["mean"] < own.high)).all()


def test_every_metric_of_the_tables_is_a_name_that_is_taken(tables):
    named = {name for table in tables.values() if "metric" in table for name in table.metric}
    assert named - {"area", "own_brier"} <= set(MEASURES)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda truth, scores, weights: 1 / 0, "metric mine: ZeroDivisionError"),
        (lambda truth, scores, weights: np.inf, "metric mine: it gives inf; give a number, or NaN"),
        (lambda truth, scores, weights: truth, "metric mine: TypeError"),
        (lambda truth, scores, weights: scores.sort(), "metric mine: ValueError: .*read-only"),
    ],
)
def test_a_metric_that_fails_is_named(function, message):
    targets, scores, patients, weights = made()
    sample = Sample(targets, patients, weights, np.zeros((len(targets), 1), np.int16))
    with pytest.raises(InputError, match=message):
        sample.for_each_block(UserMeasurement(sample, scores, {"mine": function}))


def write(folder, name="mine", formula="weights.sum()"):
    path = folder / "mystudy.py"
    path.write_text(OWN.format(name=name, formula=formula))
    return str(path)


def test_a_metric_reaches_the_evaluation_alone_and_says_which_way_is_better(tmp_path):
    config = configuration(plugins=[write(tmp_path)])
    config["evaluation"] = {"metrics": {"mine": "lower"}}
    study, plain = Study(config), Study(configuration())
    wildcards = SimpleNamespace(dataset="chexpert", model="cxr-fm-lp")
    for rule, sees in (("evaluate", True), ("analyse_bias", False), ("evaluate_reference", False)):
        one, other = (SPECS[rule](s, wildcards) for s in (study, plain))
        assert (one != other) == sees, rule
    assert SPECS["evaluate"](study, wildcards)["metrics"] == ["mine"]
    assert study.described()["evaluation"]["metrics"] == {"mine": "lower"}
    plugins.load([tmp_path / "mystudy.py"])
    assert registered(["mine"])["mine"](None, None, np.ones(3)) == 3


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("mine", {"main": "higher"}, "no file of `plugins` has a metric `main`. Did you mean `mi"),
        ("mine", {"mine": "up"}, "evaluation.metrics.mine: 'up' should be 'higher' or 'lower'"),
        ("brier", {}, "registers metric 'brier', a name that is taken"),
        ("Mine", {}, "'Mine' must be of small letters, digits and underscores."),
    ],
)
def test_a_metric_that_cannot_be_is_refused(tmp_path, name, asked, message):
    config = configuration(plugins=[write(tmp_path, name)])
    config["evaluation"] = {"metrics": asked}
    with pytest.raises(InputError) as error:
        Study(config)
    assert message in str(error.value)
