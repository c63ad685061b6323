"""Paired differences in bias: oracles, planted differences, and what the tests are worth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_embeddings import equal_weights, make_embeddings, make_records
from scipy import stats
from sklearn.metrics import roc_auc_score

from cxrfmkd.bias import encoding
from cxrfmkd.bias.analysis import analyse
from cxrfmkd.bias.differences import bias_differences, paired_difference
from cxrfmkd.bias.effects import effect_sizes, replicated_effects
from cxrfmkd.bias.replicates import replicated_scores
from cxrfmkd.bias.score import POINTS
from cxrfmkd.networks.layers import HeadInput
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import write_table
from cxrfmkd.statistics.draws import patient_counts
from cxrfmkd.study.settings import Bias

SETTINGS = Bias(
    attributes=["sex", "race"], simulations=0, permutations=0, replicates=120, tsne_points=0
)


def analysed(folder, models: dict[str, list[dict]], patients: int = 240) -> list:
    """Replicates of each model, whose embedding of every seed has these planted differences."""
    records = make_records(patients, 1)
    paths = []
    for number, (name, seeds) in enumerate(models.items()):
        arrays = [
            make_embeddings(records, 12, 10 * number + i, planted, clustering=0.5)
            for i, planted in enumerate(seeds)
        ]
        tables = analyse(
            [HeadInput(array) for array in arrays],
            arrays[0],
            records,
            equal_weights(records),
            SETTINGS,
            dataset="d",
            model=name,
            seeds=list(range(41, 41 + len(arrays))),
        )
        paths.append(folder / f"{name}.parquet")
        write_table(paths[-1], tables["replicates"])
    return paths


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return analysed(
        tmp_path_factory.mktemp("bias"),
        {
            "cxr-fm-lp": [{("sex", "Female"): 1.5}],
            "cxr-model-lp": [{}],
            "cxr-fmkd-lp.mse": [{}, {}],
        },
    )


def test_replicates_are_scipys_on_repeated_rows():
    rng = np.random.default_rng(0)
    values, owner = rng.normal(size=90).round(1), np.repeat(np.arange(30), 3)
    first = np.arange(90) < 40
    draws = patient_counts(30, 15, 7)
    found = replicated_effects(values, first, ~first, owner, draws, unit=2.0)
    sample, _ = effect_sizes(values, first, ~first, owner, draws, unit=2.0)
    np.testing.assert_array_equal(found[0], sample)
    for drawn, (d, w1, delta) in zip(draws, found[1:], strict=True):
        a, b = (np.repeat(values[g], drawn[owner[g]]) for g in (first, ~first))
        assert d == pytest.approx(stats.ks_2samp(a, b).statistic, abs=1e-12)
        assert w1 == pytest.approx(stats.wasserstein_distance(a, b) / 2, abs=1e-12)
        assert delta == pytest.approx(np.sign(a[:, None] - b[None]).mean(), abs=1e-12)


def test_energies_of_the_sample_are_the_plain_ones_and_of_replicates_leave_copies_out():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(40, 3))
    distances = encoding.pairwise_distances(values)
    codes = np.array([rng.integers(0, 2, 40)], np.int8)
    pairs = np.array([[0, 0, 1]])
    drawn = rng.integers(0, 3, 40)
    found = encoding.replicated_energies(distances, codes, pairs, np.stack([np.ones(40), drawn]))
    plain = encoding.energy_coefficients(distances, codes[None], pairs)
    assert found[0, 0] == pytest.approx(plain[0, 0], rel=1e-5)  # float32 distances
    a, b = (np.repeat(np.flatnonzero(codes[0] == g), drawn[codes[0] == g]) for g in (0, 1))

    def within(rows: np.ndarray) -> float:
        different = rows[:, None] != rows[None]
        own = distances[np.ix_(rows, rows)][different].sum()
        images = len(np.unique(rows))
        copies = (np.unique(rows, return_counts=True)[1] ** 2).sum()
        return own / (len(rows) ** 2 - copies) * (1 - 1 / images)

    expected = 1 - (within(a) + within(b)) / (2 * distances[np.ix_(a, b)].mean())
    assert found[1, 0] == pytest.approx(expected, rel=1e-5)


def test_areas_of_replicates_are_those_within_folds_of_repeated_rows():
    rng = np.random.default_rng(2)
    owner = np.repeat(np.arange(40), rng.integers(1, 4, 40))
    scores, first = rng.normal(size=len(owner)).round(1), (rng.random(40) < 0.3)[owner]
    folds, draws = encoding.assign_folds(owner, 1), patient_counts(40, 20, 1)
    found = encoding.replicated_fold_areas(scores, first, ~first, folds, owner, draws)
    given = found[0] + (found - found[0]) / encoding.REFITS
    for drawn, area in zip([np.ones(40, int), *draws], given, strict=True):
        rows = np.repeat(np.arange(len(owner)), drawn[owner])
        by_fold = [rows[folds[rows] == fold] for fold in range(encoding.FOLDS)]
        by_fold = [rows for rows in by_fold if len(set(first[rows])) == 2]
        pairs = [first[rows].sum() * (~first[rows]).sum() for rows in by_fold]
        areas = [roc_auc_score(first[rows], scores[rows]) for rows in by_fold]
        assert area == pytest.approx(np.average(areas, weights=pairs), abs=1e-12)
    no_one = np.zeros(len(owner), bool)
    assert np.isnan(
        encoding.replicated_fold_areas(scores, no_one, ~first, folds, owner, draws)
    ).all()


def test_a_planted_difference_is_found_and_equal_models_are_not_told_apart(paths):
    models = ["cxr-fm-lp", "cxr-model-lp", "cxr-fmkd-lp.mse"]
    table = bias_differences(paths, models, 0.05, "fdr_by").set_index(
        ["kind", "model", "measure", "attribute"]
    )
    teacher = table.loc["teacher", "cxr-fmkd-lp", "D", "sex"]
    assert teacher.difference < -0.05
    assert teacher.high < 0
    assert teacher.p_adjusted < 0.01
    assert teacher.p_max_t < 0.05
    assert teacher.p_noninferior < 0.001 < teacher.p_equivalent
    assert teacher.n_seeds == 2
    area = table.loc["teacher", "cxr-fmkd-lp", "AUC", "sex"]
    assert area.difference < -0.1
    assert area.high < 0
    baseline = table.loc["baseline", "cxr-fmkd-lp", "D", "race"]
    assert baseline.low < 0 < baseline.high
    assert baseline.p_adjusted > 0.05
    assert set(table.margin) == {0.05, 0.05 * POINTS.max()}
    assert ("baseline", "cxr-model-lp") not in table.index.droplevel([2, 3])
    # Not the model itself, and no reference beside the two.
    assert set(table.reference) == {"cxr-fm-lp", "cxr-model-lp"}


def test_estimates_are_those_of_the_analysis(paths):
    read = [pd.read_parquet(path) for path in paths]
    table = bias_differences(paths, ["cxr-fm-lp", "cxr-model-lp"], 0.05, "holm")
    row = table.query("model == 'cxr-model-lp' and measure == 'energy' and attribute == 'combined'")
    own, teacher = (
        t.query("measure == 'energy' and attribute == 'combined'")["0"].mean()
        for t in (read[1], read[0])
    )
    assert row.difference.item() == pytest.approx(own - teacher)


def test_the_sample_of_the_replicates_is_what_the_other_tables_have():
    records = make_records(160, 1)
    array = make_embeddings(records, 8, 3, {("sex", "Female"): 0.8}, clustering=0.5)
    tables = analyse(
        [HeadInput(array)],
        array,
        records,
        equal_weights(records),
        SETTINGS,
        dataset="d",
        model="m",
        seeds=[41],
    )
    sample = tables["replicates"].set_index(["measure", "attribute"])["0"]
    scores = tables["score"].query("sample == 'main' and form == 'normalised'")
    assert sample["score"]["sex"] > 0
    for attribute, value in scores.set_index("attribute").score.items():
        if attribute in sample["score"]:
            assert sample["score"][attribute] == pytest.approx(value)
    areas = tables["encoding"].query("given == ''").groupby("attribute").auc.mean()
    for attribute in ("sex", "race"):
        assert sample["AUC"][attribute] == pytest.approx(areas[attribute])


def test_replicated_scores_vary_around_the_sample_and_do_not_rise_with_the_draws():
    """Without the correction a drawn sample has a larger D, and scores far above the sample's."""
    rng = np.random.default_rng(5)
    owner = np.repeat(np.arange(150), rng.integers(1, 4, 150))
    group = (rng.random(150) < 0.4)[owner]
    values = rng.normal(size=(len(owner), 2)) + 0.4 * group[:, None]
    codes, pairs = group.astype(np.int8)[None], np.array([[0, 0, 1]])
    draws = patient_counts(150, 150, 6)
    scores = replicated_scores(values, codes, pairs, owner, draws, np.array([0.6, 0.4]))[:, 0]
    assert set(scores.round()) <= {0, 40, 60, 90, 100, 120, 130, 150}
    assert scores[1:].std() > 0
    assert scores[1:].min() <= scores[0] <= scores[1:].max()
    still = replicated_scores(values, codes, pairs, owner, draws[:0], np.array([0.6, 0.4]))
    assert still.shape == (1, 1)
    assert still[0, 0] == scores[0]


def test_models_without_a_reference_make_an_empty_table(paths):
    assert bias_differences(paths[2:], ["cxr-fmkd-lp.mse"], 0.05, "holm").empty
    with pytest.raises(InputError, match="no replicates of these models"):
        bias_differences(paths[:1], ["cxr-fm-lp", "cxr-model-lp"], 0.05, "holm")


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_equally_biased_models_are_told_apart_in_few_studies(shift):
    """Of 40 studies at 5 %, 7 at the most are 99.9 % of a binomial; D is on the safe side."""
    rng = np.random.default_rng(8)
    refused = 0
    for world in range(40):
        owner = np.repeat(np.arange(90), rng.integers(1, 4, 90))
        first = (rng.random(90) < 0.4)[owner]
        draws = patient_counts(90, 80, world)
        common = rng.normal(size=90)[owner]
        models = [
            replicated_effects(
                common + rng.normal(size=90)[owner] + rng.normal(size=len(owner)) + shift * first,
                first,
                ~first,
                owner,
                draws,
            )[None, :, 0]
            for _ in range(2)
        ]
        line, _ = paired_difference(*models, 0.05)
        refused += line["p"] < 0.05
        assert (line["p"] < 0.05) == (not line["low"] <= 0 <= line["high"])
    assert refused <= 7


def test_seeds_that_disagree_widen_the_interval():
    rng = np.random.default_rng(9)
    patients = 0.01 * rng.normal(size=201)
    b = np.zeros((3, 201)) + patients
    alike = b + 0.1 + 1e-4 * rng.normal(size=(3, 1))
    apart = b + 0.1 + np.array([[-0.2], [0.0], [0.2]])
    narrow, wide = (
        paired_difference(a, b + rng.normal(0, 0.01, 201), 0.05)[0] for a in (alike, apart)
    )
    assert narrow["p"] < 0.001
    assert wide["p"] > 0.05
    assert wide["high"] - wide["low"] > 5 * (narrow["high"] - narrow["low"])
