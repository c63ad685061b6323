"""Which rows of the tables a reader sees first, and in what order."""

from __future__ import annotations

import made_tables as made
import pandas as pd

from cxrfmkd.tables.selecting import (
    aligned,
    comparisons_by_model,
    family_name_parts,
    in_main_population,
    in_order,
    losses_of,
    models_in,
    ranked_models,
    single_attributes,
    transferred,
    where,
)


def test_rows_are_chosen_by_one_value_or_by_several():
    table = pd.DataFrame({"metric": ["a", "b", "c"], "n": [1, 2, 3]})
    assert where(table, metric="b").n.tolist() == [2]
    assert where(table, metric=["a", "c"]).n.tolist() == [1, 3]
    assert where(table, metric=("a", "b"), n=2).n.tolist() == [2]


def test_each_dataset_leads_with_its_resampled_test_set_where_it_has_one():
    table = pd.DataFrame(
        {
            "dataset": ["x", "x", "y"],
            "population": ["natural", "resampled", "natural"],
            "mean": [1, 2, 3],
        }
    )
    assert in_main_population(table)["mean"].tolist() == [2, 3]
    assert in_main_population(table.iloc[:0]).empty


def test_columns_sort_in_the_studys_order_and_unlisted_values_come_last():
    table = pd.DataFrame({"model": ["mine", "cxr-fmkd-lp", "another", "cxr-fm-lp"]})
    ordered = in_order(table, ["model"]).model.tolist()
    assert ordered == ["cxr-fm-lp", "cxr-fmkd-lp", "another", "mine"]


def test_models_are_listed_once_and_a_model_without_a_row_is_blank():
    pairs = [("cxr-fmkd-lp", "mse-cosine-0.6"), ("cxr-fmkd-lp", "cosine"), ("cxr-fm-lp", "")]
    table = pd.DataFrame([*pairs, pairs[0]], columns=["model", "loss"])
    assert models_in(table) == pairs[::-1]
    assert losses_of(pairs) == ["cosine", "mse-cosine-0.6"]
    assert losses_of(pairs[1:]) == []
    rows = aligned(table[:2].assign(mean=[1.0, 2.0]), models_in(table))
    assert rows["mean"].tolist()[1:] == [2.0, 1.0]
    assert rows["mean"].isna().tolist() == [True, False, False]


def test_transferred_models_stand_above_the_same_models_trained_on_the_target():
    rows = transferred(made.summary(made.metrics("mimic")), "chexpert", "mimic")
    assert set(rows.population) == {"resampled"}
    assert set(rows.finding) == {"Macro"}
    own = rows.strategy == "own"
    assert set(rows[own].source) == {"mimic"}
    assert set(models_in(rows[own])) <= set(models_in(rows[~own]))
    assert own.is_monotonic_increasing


def test_models_are_ranked_on_validation_and_those_without_a_number_left_out():
    summary = made.summary(made.metrics("chexpert", transfer=False))
    ranked = ranked_models(summary.assign(validation=-summary["mean"]), "chexpert")
    assert ranked["mean"].is_monotonic_increasing
    ranked = ranked_models(summary, "chexpert")
    assert ranked.validation.is_monotonic_decreasing
    assert set(ranked.metric) == {"auc_roc"}
    best = (summary.model == ranked.model.iloc[0]) & (summary.loss == ranked.loss.iloc[0])
    without = summary.assign(mean=summary["mean"].mask(best))
    assert len(ranked_models(without, "chexpert")) == len(ranked) - 1


def test_crossed_attributes_are_no_single_attributes():
    table = pd.DataFrame({"attribute": ["sex", "sex x race", "race"]})
    assert single_attributes(table).attribute.tolist() == ["sex", "race"]


def test_names_of_run_families_are_taken_apart():
    parts = family_name_parts("own/cxr-fmkd-lp.mse-cosine-0.6@mimic")
    assert parts == ("own", "cxr-fmkd-lp", "mse-cosine-0.6", "mimic")
    table = comparisons_by_model(made.comparisons())
    assert set(table.kind) == {"teacher", "baseline"}
    assert set(table.reference) == {"cxr-fm-lp", "cxr-model-fft", "cxr-model-lp"}
