"""Exact KS tests against scipy, their adjustment against statsmodels, both against publications."""

from __future__ import annotations

import argparse
from fractions import Fraction
from math import comb

import numpy as np
import pandas as pd
import pytest
from locations import ROOT
from scipy import stats
from statsmodels.stats.multitest import multipletests

from cxrfmkd.bias import ks
from cxrfmkd.bias.two_sample import TESTS
from cxrfmkd.commands import ks as command
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.statistics.multiple import adjusted
from cxrfmkd.statistics.smirnov import p_values

PUBLISHED = ROOT / "tests" / "data" / "published_ks.csv"


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_equals_scipy_to_twelve_digits_with_and_without_ties(decimals):
    rng = np.random.default_rng(0)
    for _ in range(120):
        n, m = rng.integers(1, 250, 2)
        a, b = rng.normal(size=n), rng.normal(rng.choice([0, 0.3, 2]), size=m)
        if decimals is not None:
            a, b = a.round(decimals), b.round(decimals)
        expected = stats.ks_2samp(a, b)
        d, p = ks.ks_2samp(a, b)
        assert d == pytest.approx(expected.statistic, abs=1e-12)
        # Sums of at most 500 steps of positive float64 terms, ours and scipy's: 1e-13 each.
        assert p == pytest.approx(expected.pvalue, abs=1e-12)


def test_tiny_p_values_keep_their_digits():
    rng = np.random.default_rng(1)
    for n, m in ((300, 200), (1000, 1000), (1354, 1646)):
        a, b = rng.normal(size=n), rng.normal(1, size=m)
        # Rounding of 3,000 steps of float64 is 1e-12 of the sum; scipy's own sum has more terms.
        assert ks.ks_2samp(a, b)[1] == pytest.approx(stats.ks_2samp(a, b).pvalue, rel=1e-9)


@pytest.mark.parametrize(
    ("n", "m", "d"),
    [
        (1, 1, 1),
        (7, 7, 0.3),
        (13, 40, 0.2),
        (40, 41, 0.25),
        (200, 200, 0.02),
        (150, 290, 0.1),
        (150, 291, 0.3),
        (150, 290, 0.55),
    ],
)
def test_equals_the_share_of_orders_counted_in_whole_numbers(n, m, d):
    bound = max(round(d * n * m), 1)
    inside = [1] + [
        0
    ] * m  # orders that have not reached the bound, by how many of the second sample are in them
    for i in range(n + 1):
        for j in range(m + 1):
            before = inside[j - 1] if j else 0
            inside[j] = inside[j] + before if abs(i * m - j * n) < bound else 0
    expected = float(1 - Fraction(inside[m], comb(n + m, n)))
    for sizes in ((n, m), (m, n)):
        result = p_values(np.array([bound]), *(np.array([size]) for size in sizes))
        assert result.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("sizes", [(10_000, 700), (10_001, 700), (12_000, 15_000)])
def test_changes_to_the_asymptotic_law_where_scipy_does(sizes):
    rng = np.random.default_rng(2)
    a, b = (rng.normal(size=n) for n in sizes)
    expected = stats.ks_2samp(a, b)
    assert ks.ks_2samp(a, b) == pytest.approx((expected.statistic, expected.pvalue), abs=1e-12)


@pytest.mark.parametrize(
    ("a", "b"), [([1.0], [1.0]), ([1.0], [2.0]), ([1.0] * 40, [1.0] * 7), ([0.0] * 5, [1.0] * 9)]
)
def test_degenerate_samples(a, b):
    expected = stats.ks_2samp(a, b)
    result = ks.ks_2samp(np.array(a), np.array(b))
    assert result == pytest.approx((expected.statistic, expected.pvalue), abs=1e-12)


def test_many_samples_and_comparisons_at_a_time_equal_one_by_one():
    rng = np.random.default_rng(3)
    n = 900
    scores = rng.normal(size=(n, 3)).astype(np.float32)
    scores[:, 2] = scores[:, 2].round(1)
    codes = np.stack([rng.integers(-1, 3, n), rng.integers(0, 2, n)]).astype(np.int8)
    pairs = np.array([[0, 0, 1], [0, 2, 1], [1, 0, 1]])
    draws = np.stack([rng.choice(n, 250, replace=False) for _ in range(40)])
    result = ks.ks_tests(ks.sort_scores(scores), codes, pairs, draws)
    p = result.p
    for sample in (0, 17, 39):
        rows = draws[sample]
        for mode in range(3):
            for c, (attribute, a, b) in enumerate(pairs):
                own = codes[attribute, rows]
                x, y = scores[rows[own == a], mode], scores[rows[own == b], mode]
                expected = stats.ks_2samp(x, y)
                assert tuple(result.sizes[sample, c]) == (len(x), len(y))
                assert result.d[sample, mode, c] == pytest.approx(expected.statistic, abs=1e-12)
                assert p[sample, mode, c] == pytest.approx(expected.pvalue, abs=1e-12)


def test_a_labelling_for_each_sample_equals_relabelled_draws():
    rng = np.random.default_rng(4)
    order = ks.sort_scores(rng.normal(size=(200, 2)))
    labels = rng.integers(0, 2, (5, 1, 200)).astype(np.int8)
    pair = np.array([[0, 0, 1]])
    together = ks.ks_tests(order, labels, pair)
    for i, own in enumerate(labels):
        alone = ks.ks_tests(order, own, pair)
        assert np.array_equal(together.numerators[i], alone.numerators[0])


def test_an_empty_group_differs_from_nothing():
    codes = np.zeros((1, 20), np.int8)
    result = ks.ks_tests(ks.sort_scores(np.arange(20.0)[:, None]), codes, np.array([[0, 0, 1]]))
    assert result.d.item() == 0
    assert result.p.item() == 1


def test_tests_of_a_sample_are_adjusted_as_one_family():
    rng = np.random.default_rng(5)
    scores = rng.normal(size=(300, 4)) + np.linspace(0, 0.5, 300)[:, None]
    codes = np.repeat([0, 1, 2], 100)[None].astype(np.int8)
    draws = np.stack([rng.choice(300, 150, replace=False) for _ in range(20)])
    tests = ks.ks_tests(ks.sort_scores(scores), codes, np.array([[0, 0, 1], [0, 0, 2]]), draws)
    for p, adjusted_p in zip(tests.p, tests.p_adjusted, strict=True):
        expected = stats.false_discovery_control(p, axis=None, method="by")
        # A division, a product and a sum of eight terms in another order: a few units of rounding.
        np.testing.assert_allclose(adjusted_p.ravel(), expected, rtol=1e-14)


def test_adjustment_leaves_out_what_was_not_tested():
    p = np.array([0.001, np.nan, 0.02, 0.5, np.nan])
    result = adjusted(p, "fdr_by")
    np.testing.assert_array_equal(
        result[~np.isnan(p)], multipletests(p[~np.isnan(p)], method="fdr_by")[1]
    )
    assert np.isnan(result[[1, 4]]).all()
    assert np.isnan(adjusted(np.full(3, np.nan), "fdr_by")).all()


def test_bands_have_the_thesis_bounds():
    bands = ks.bands(np.array([1, 0.05, 0.0499999, 0.001, 0.0009999, 0, np.nan]))
    assert " ".join(ks.BANDS[band] for band in bands) == "FALSE FALSE TRUE TRUE TRUE+ TRUE+ FALSE"


@pytest.mark.parametrize("model", ["cxr-foundation", "chexpert-model"])
def test_published_tables_follow_from_their_sizes_and_distances_to_six_decimals(model):
    table = pd.read_csv(PUBLISHED).query("model == @model")
    steps = np.rint(table.d * table.n_a * table.n_b).astype(int)
    p = p_values(steps.to_numpy(), table.n_a.to_numpy(), table.n_b.to_numpy())
    p_adjusted = adjusted(p, "fdr_by")
    np.testing.assert_allclose(p_adjusted, table.p_adjusted, rtol=0, atol=5e-7)
    assert (np.char.mod("%.6f", p_adjusted) == np.char.mod("%.6f", table.p_adjusted)).all()
    assert np.array_equal(p_adjusted < 0.05, table.rejected)


def test_other_tests_are_scipys():
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=80), rng.normal(0.4, size=60)
    result = stats.mannwhitneyu(a, b)
    assert TESTS["mann-whitney"](a, b) == (result.statistic, result.pvalue)
    result = stats.cramervonmises_2samp(a, b)
    assert TESTS["cramer-von-mises"](a, b) == (result.statistic, result.pvalue)
    assert 0.001 <= TESTS["anderson-darling"](a, b)[1] <= 0.25
    d, p = TESTS["permutation-ks"](a, b)
    assert d == pytest.approx(stats.ks_2samp(a, b).statistic, abs=1e-12)
    # The standard error of 10,000 permutations is at most 0.005; the seed is fixed.
    assert p == pytest.approx(stats.ks_2samp(a, b).pvalue, abs=0.01)


def _table() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "PCA Mode 1": rng.normal(size=300),
            "PCA Mode 2": rng.normal(size=300),
            "disease label": rng.choice([0.0, 1.0, 2.0, np.nan], 300),
            "race": rng.choice(["White", "Asian", ""], 300),
        }
    )


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_command_returns_scipys_numbers_adjusted_as_one_family(tmp_path, suffix):
    table = _table()
    source, out = tmp_path / f"scores.{suffix}", tmp_path / "ks.csv"
    table.to_csv(source, index=False) if suffix == "csv" else table.to_parquet(source)
    parser = argparse.ArgumentParser()
    command.arguments(parser)
    modes = ["PCA Mode 1", "PCA Mode 2"]
    pairs = ["disease label=1:0", "race=White:Asian"]
    command.main(
        parser.parse_args([str(source), "--modes", *modes, "--pairs", *pairs, "--out", str(out)])
    )
    result = pd.read_csv(out)
    assert list(result) == list(command.COLUMNS)
    expected = [
        stats.ks_2samp(table[mode][table[column] == a], table[mode][table[column] == b])
        for mode in modes
        for column, a, b in (("disease label", 1, 0), ("race", "White", "Asian"))
    ]
    np.testing.assert_allclose(result.p, [w.pvalue for w in expected], rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.d, [w.statistic for w in expected], rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        result.p_adjusted, multipletests(result.p, method="fdr_by")[1], rtol=1e-12
    )


@pytest.mark.parametrize(
    ("modes", "pairs", "message"),
    [
        (["PCA Mode 9"], ["race=White:Asian"], "no column PCA Mode 9"),
        (["race"], ["race=White:Asian"], "column race: 300 values are blank or no numbers"),
        (["PCA Mode 1"], ["race=White"], "write COLUMN=A:B"),
        (["PCA Mode 1"], ["race=White:White"], "two different values"),
        (["PCA Mode 1"], ["sex=Male:Female"], "no column sex"),
        (
            ["PCA Mode 1"],
            ["race=White:Black"],
            "no row is 'Black'; frequent values are White, Asian",
        ),
        (["PCA Mode 1"], ["disease label=1:7"], "no row is '7'"),
    ],
)
def test_command_says_what_is_wrong(modes, pairs, message):
    with pytest.raises(InputError, match=message):
        command.compare(_table(), modes, pairs)


def test_command_names_a_file_that_is_not_there(tmp_path):
    wrong = argparse.Namespace(table=tmp_path / "none.csv", modes=[], pairs=[], out=None, test="ks")
    with pytest.raises(InputError, match=r"none\.csv: there is no such file"):
        command.main(wrong)
