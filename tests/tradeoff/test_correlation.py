"""Performance against bias: numpy's line, scipy's rank correlation, and their uncertainty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_embeddings import equal_weights, make_embeddings
from made_predictions import records, write_predictions
from scipy import stats
from scripts import run_script

from cxrfmkd.bias.analysis import analyse
from cxrfmkd.bias.summary import combine
from cxrfmkd.evaluation.analysis import evaluate
from cxrfmkd.evaluation.families import Family
from cxrfmkd.evaluation.runs import Run
from cxrfmkd.figures.tradeoff import select_tradeoff
from cxrfmkd.networks.layers import HeadInput
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_table, write_json, write_table
from cxrfmkd.study.settings import Bias, Evaluation
from cxrfmkd.tradeoff import correlation
from cxrfmkd.tradeoff.association import family_ranks
from cxrfmkd.vocabulary.models import MODELS as VOCABULARY
from cxrfmkd.vocabulary.models import join_model

MODELS = [("cxr-fm-lp", ""), ("cxr-model-lp", ""), ("cxr-model-fft", "")] + [
    (name, loss)
    for loss in ("mse", "cosine", "mae")
    for name in ("cxr-fmkd-lp", "cxr-fmkd-fft", "cxr-fmkd-direct-lp")
]


def _tables(slope: float = -0.002, noise: float = 0.01, populations=("resampled",)):
    rng = np.random.default_rng(0)
    names = pd.DataFrame(MODELS, columns=["model", "loss"]).assign(dataset="d")
    bias = rng.uniform(20, 120, len(names))
    scores = names.assign(score=bias, score_low=bias - 5, score_high=bias + 5)
    scores = scores.assign(d_combined=bias / 400, d_combined_low=0.0, d_combined_high=0.4)
    scores = scores.assign(score_half_1=bias - 3, score_half_2=bias + 3)
    rows = [
        names.assign(population=p, finding=f, metric=m, strategy="own", source="d")
        .assign(mean=0.8 + slope * bias + noise * rng.normal(size=len(names)))
        .assign(low=0.5, high=0.9, sd=0.01, n_seeds=5)
        for p in populations
        for f in ("Average Classes 1 to 7", "Edema")
        for m in ("auc_pr", "auc_roc")
    ]
    return pd.concat(rows, ignore_index=True), scores


def run_on_tables(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run performance_vs_bias on the summary, halves and scores in `folder`, and write there."""
    tables = {
        name: [folder / f"{file}.csv"]
        for name, file in {"summaries": "summary", "halves": "halves", "scores": "scores"}.items()
    }
    outputs = {"out": folder / "points.csv", "correlation": folder / "correlation.csv"}
    run_script(monkeypatch, "performance_vs_bias", {}, **tables, **outputs)


def test_line_is_numpys_and_rank_correlation_scipys():
    summaries, scores = _tables()
    table = correlation.model_points(summaries, scores)
    result = correlation.correlations(table, scores).query(
        "metric == 'auc_pr' and measure == 'score'"
    )
    own = table.query("metric == 'auc_pr' and measure == 'score'")
    assert len(result) == 1
    slope, intercept = np.polyfit(own.bias, own.performance, 1)
    line = result.iloc[0]
    assert (line.slope, line.intercept) == pytest.approx((slope, intercept))
    assert line.spearman == pytest.approx(stats.spearmanr(own.bias, own.performance).statistic)
    assert line.low <= line.within <= line.high
    assert line.within < 0
    assert (line.models, line.families) == (12, 5)


def test_points_may_be_of_the_selected_seeds(tmp_path, monkeypatch):
    summaries, scores = _tables()
    metrics = pd.concat(
        summaries.assign(seed=seed, mean=summaries["mean"] + seed / 1000) for seed in (41, 42)
    ).rename(columns={"mean": "estimate"})
    selected = []
    for number, (model, loss) in enumerate(MODELS):
        selected.append(tmp_path / "d/models" / join_model(model, loss) / "selected.json")
        write_json(selected[-1], {"seed": 41 + number % 2})
    write_table(tmp_path / "metrics.csv", metrics)
    write_table(tmp_path / "halves.csv", summaries.iloc[:0])
    write_table(tmp_path / "scores.csv", scores)
    files = {"summaries": "metrics", "halves": "halves", "scores": "scores"}
    tables = {name: [tmp_path / f"{file}.csv"] for name, file in files.items()}
    outputs = {"out": tmp_path / "points.csv", "correlation": tmp_path / "correlation.csv"}
    run_script(monkeypatch, "performance_vs_bias", {}, selected=selected, **tables, **outputs)
    points = read_table(tmp_path / "points.csv").fillna({"loss": ""})
    keys = ["model", "loss", "finding", "metric"]
    means = summaries.set_index(keys)["mean"]
    found = points[points.measure == "score"].set_index(keys).performance
    chosen = {pair: (41 + number % 2) / 1000 for number, pair in enumerate(MODELS)}
    added = [chosen[model, loss] for model, loss, *_ in found.index]
    np.testing.assert_allclose(found - means.reindex(found.index), added, atol=1e-12)


def test_models_are_joined_by_name_and_transfers_left_out():
    summaries, scores = _tables()
    transferred = summaries.assign(strategy="linear-probe", mean=0.0)
    shuffled = scores.sample(frac=1, random_state=1)
    table = correlation.model_points(pd.concat([transferred, summaries]), shuffled)
    assert set(table.finding) == {"Average Classes 1 to 7"}
    assert (table.performance > 0).all()
    own = table.query("metric == 'auc_roc' and measure == 'score'").set_index(["model", "loss"])
    assert len(own) == len(MODELS)
    expected = scores.set_index(["model", "loss"]).score
    assert (own.bias == expected.reindex(own.index)).all()


def test_models_that_share_a_backbone_are_one_family():
    assert correlation.backbone_family("cxr-fmkd-lp", "mse") == correlation.backbone_family(
        "cxr-fmkd-direct-fft", "mse"
    )
    assert correlation.backbone_family("cxr-fmkd-lp", "mse") != correlation.backbone_family(
        "cxr-fmkd-lp", "cosine"
    )
    assert correlation.backbone_family("cxr-model-lp", "") == correlation.backbone_family(
        "cxr-model-fft", ""
    )
    assert correlation.backbone_family("cxr-fm-lp", "") == "teacher"


def test_kinds_tell_probes_from_fine_tunes_and_the_two_spaces():
    kinds = {name: correlation.training_kind(name) for name in VOCABULARY}
    assert kinds["cxr-fm-lp"] == kinds["cxr-fmkd-lp"]
    assert kinds["cxr-model-fft"] == kinds["resnet50-fft"] == kinds["cxr-fmkd-direct-fft"]
    assert kinds["cxr-model-lp"] == kinds["cxr-fmkd-direct-lp"]
    assert len(set(kinds.values())) == 4


def test_halves_of_the_patients_are_crossed():
    populations = ("resampled", "resampled half 1", "resampled half 2")
    summaries, scores = _tables(noise=0.0, populations=populations)
    result = correlation.correlations(correlation.model_points(summaries, scores), scores)
    assert set(result.population) == {"resampled"}
    own = result.query("measure == 'score'")
    np.testing.assert_allclose(own.split, -1)
    np.testing.assert_allclose(own.within, -1)
    assert result.query("measure == 'D'").split.isna().all()


def test_performance_in_one_half_goes_with_bias_in_the_other():
    """Half 1's performance falls with half 2's bias; half 2's is weakly tied to half 1's bias."""
    rng = np.random.default_rng(4)
    populations = ("resampled", "resampled half 1", "resampled half 2")
    summaries, scores = _tables(populations=populations)
    scores["score_half_1"], scores["score_half_2"] = rng.permuted(
        np.tile(np.linspace(20, 90, len(scores)), (2, 1)), axis=1
    )
    planted = {
        "resampled half 1": 1 - scores.score_half_2 / 200,
        "resampled half 2": 0.5 + scores.score_half_1 / 400 + rng.normal(0, 0.05, len(scores)),
    }
    for population, values in planted.items():
        for _, rows in summaries[summaries.population == population].groupby(["finding", "metric"]):
            summaries.loc[rows.index, "mean"] = values.to_numpy()
    points = correlation.model_points(summaries, scores)
    one = points.drop_duplicates(["model", "loss"]).set_index(["model", "loss"]).loc[MODELS]
    own = [
        np.corrcoef(*(family_ranks(v.to_numpy(), one.family, one.kind) for v in pair))[0, 1]
        for pair in (
            (planted["resampled half 1"], scores.score_half_2),
            (planted["resampled half 2"], scores.score_half_1),
        )
    ]
    assert own[0] == pytest.approx(-1)
    assert 0 < own[1] < 1
    result = correlation.correlations(points, scores)
    split = result.query("measure == 'score'")
    np.testing.assert_allclose(split.split, np.mean(own))
    assert (split.split_low <= split.split).all()
    assert (split.split <= split.split_high).all()


def test_evaluation_and_bias_analysis_of_the_same_images_fill_the_split_correlation(
    tmp_path, monkeypatch
):
    """Models that are better are planted to be more biased; both are measured as in a study."""
    val, test = records(60, 1, "val"), records(260, 2, "test")
    names = ["cxr-model-fft", "densenet121-fft", "resnet50-fft", "cxr-fmkd-direct-fft"]
    settings = Bias(
        attributes=["sex", "race"], simulations=0, permutations=0, replicates=0, tsne_points=0
    )
    runs, tables = [], {"scores": [], "nulls": [], "encodings": [], "effects": []}
    for i, model in enumerate(names):
        path = write_predictions(tmp_path / f"{model}.parquet", 0.4 * i, i, val=val, test=test)
        runs.append(Run(Family("d", "own", model, ""), 41, path))
        array = make_embeddings(test, 8, i, {("sex", "Female"): 0.6 * i}, clustering=0.5)
        result = analyse(
            [HeadInput(array)],
            array,
            test,
            equal_weights(test),
            settings,
            dataset="d",
            model=model,
            seeds=[41],
        )
        for name, part in zip(tables, ("score", "null", "encoding", "effects"), strict=True):
            tables[name].append(tmp_path / f"{model}-{part}.csv")
            result[part].to_csv(tables[name][-1], index=False)
    weights = equal_weights(test)
    evaluated = evaluate("d", runs, val, test, weights, Evaluation(replicates=0, attributes=[]))
    for name in ("summary", "halves"):
        evaluated[name].to_csv(tmp_path / f"{name}.csv", index=False)
    combine(tables, names).to_csv(tmp_path / "scores.csv", index=False)
    run_on_tables(tmp_path, monkeypatch)
    result = pd.read_csv(tmp_path / "correlation.csv").query("measure == 'score'")
    assert len(result) == 8
    assert (result.split > 0.5).all()
    assert set(pd.read_csv(tmp_path / "points.csv").population) == {"natural"}


def test_two_models_or_equal_scores_have_no_correlation():
    summaries, scores = _tables()
    few = correlation.model_points(
        summaries[summaries.model.isin(["cxr-fm-lp", "cxr-model-lp"])], scores
    )
    assert correlation.correlations(few, scores).spearman.isna().all()
    flat = scores.assign(score=0.0)
    result = correlation.correlations(correlation.model_points(summaries, flat), flat)
    nothing = result.query("measure == 'score'")[["slope", "spearman", "within", "p"]]
    assert nothing.isna().all(axis=None)


def test_groups_too_small_for_a_score_leave_empty_tables_and_a_figure_that_says_so(
    tmp_path, monkeypatch
):
    summaries, scores = _tables()
    blank = [name for name in scores if name not in ("dataset", "model", "loss")]
    scores.assign(**dict.fromkeys(blank, np.nan)).to_csv(tmp_path / "scores.csv", index=False)
    summaries.to_csv(tmp_path / "summary.csv", index=False)
    summaries[:0].to_csv(tmp_path / "halves.csv", index=False)
    run_on_tables(tmp_path, monkeypatch)
    points, lines = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("points", "correlation"))
    assert points.empty
    assert lines.empty
    assert select_tradeoff(points, lines).empty


def test_tables_without_a_common_model_are_refused():
    summaries, scores = _tables()
    with pytest.raises(InputError, match="no model is both"):
        correlation.model_points(summaries, scores.assign(dataset="other"))
    with pytest.raises(InputError, match="there are no tables"):
        correlation.read_tables([])


def test_script_writes_both_tables(tmp_path, monkeypatch):
    summaries, scores = _tables(populations=("natural", "natural half 1", "natural half 2"))
    halves = summaries.population != "natural"
    summaries[~halves].to_csv(tmp_path / "summary.csv", index=False)
    columns = ["low", "high", "sd"]
    summaries[halves].drop(columns=columns).to_csv(tmp_path / "halves.csv", index=False)
    scores.to_csv(tmp_path / "scores.csv", index=False)
    run_on_tables(tmp_path, monkeypatch)
    table = pd.read_csv(tmp_path / "points.csv")
    assert {"bias", "bias_low", "performance", "performance_low", "family", "measure"} <= set(table)
    assert set(table.population) == {"natural"}
    result = pd.read_csv(tmp_path / "correlation.csv")
    assert {
        "slope",
        "intercept",
        "spearman",
        "within",
        "low",
        "high",
        "p",
        "split",
        "split_low",
    } <= set(result)
