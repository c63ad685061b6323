"""Rank correlation over crossed families and kinds: oracles, and error rates in simulation."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from cxrfmkd.tradeoff.association import association, family_ranks, ranks_within

# The study's grid with seven losses: four families of a few kinds, and seven of all four.
FAMILIES, KINDS = np.array(
    [(0, 0), (1, 1), (1, 2), (2, 2), (3, 2)]
    + [(4 + i, kind) for i in range(7) for kind in range(4)]
).T


def simulated(rng: np.random.Generator, within_family: float, of_kind: float) -> np.ndarray:
    """A measure of every model: what its family, its kind and it alone contribute."""
    family = np.sqrt(within_family) * rng.normal(size=FAMILIES.max() + 1)[FAMILIES]
    alone = np.sqrt(1 - within_family) * rng.normal(size=len(FAMILIES))
    return family + alone + of_kind * rng.normal(size=4)[KINDS]


def test_without_families_and_kinds_it_is_spearmans():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 40))
    found = association([(x, y)], np.arange(40), np.zeros(40), 0)
    assert found.correlation == pytest.approx(stats.spearmanr(x, y).statistic)
    # The studentised permutation test and scipy's agree where all families are alike.
    assert found.p == pytest.approx(stats.spearmanr(x, y).pvalue, abs=0.05)


def test_five_families_are_exchanged_in_all_120_ways():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 5))
    a, b = (stats.rankdata(v) - 3 for v in (x, y))
    values = [(a * b[list(o)]).sum() / np.sqrt(((a * b[list(o)]) ** 2).sum()) for o in ORDERS]
    expected = np.mean(np.abs(values) >= abs(values[0]) - 1e-9)
    assert association([(x, y)], np.arange(5), np.zeros(5), 0).p == pytest.approx(expected)


ORDERS = list(permutations(range(5)))


def test_an_effect_of_the_kind_is_no_relation():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, len(KINDS)))
    shifted = [v + 10 * KINDS for v in (x, y)]
    assert stats.spearmanr(*shifted).statistic > 0.8
    plain = association([(x, y)], FAMILIES, KINDS, 0)
    assert association([tuple(shifted)], FAMILIES, KINDS, 0) == plain


@pytest.mark.parametrize(("within_family", "of_kind"), [(0.8, 0.0), (0.0, 2.0), (0.8, 2.0)])
def test_unrelated_measures_are_called_related_in_five_percent(within_family, of_kind):
    """Of 200 studies 3 to 21 would be, 99.9 % of a binomial; free exchange of models finds 38."""
    rng = np.random.default_rng(3)
    found = [
        association(
            [tuple(simulated(rng, within_family, of_kind) for _ in range(2))], FAMILIES, KINDS, i
        )
        for i in range(200)
    ]
    refused = sum(a.p <= 0.05 for a in found)
    assert 3 <= refused <= 21
    assert refused == pytest.approx(sum(not a.low <= 0 <= a.high for a in found), abs=1)


def test_a_planted_relation_of_families_is_found():
    rng = np.random.default_rng(4)
    x = simulated(rng, 0.8, 1.0)
    y = -x + 0.2 * rng.normal(size=len(x)) + 3 * KINDS
    found = association([(x, y)], FAMILIES, KINDS, 0)
    assert found.correlation < -0.8
    assert found.high < 0
    assert found.p < 0.01


def test_pairs_are_averaged_and_exchanged_together():
    rng = np.random.default_rng(5)
    x, y, z = rng.normal(size=(3, 12))
    alone = [association([(x, v)], np.arange(12), np.zeros(12), 0).correlation for v in (y, z)]
    both = association([(x, y), (x, z)], np.arange(12), np.zeros(12), 0)
    assert both.correlation == pytest.approx(np.mean(alone))
    same = association([(x, y), (x, y)], np.arange(12), np.zeros(12), 0)
    np.testing.assert_allclose(same, association([(x, y)], np.arange(12), np.zeros(12), 0))


def test_four_families_have_a_number_without_interval_and_p():
    x = np.arange(4.0)
    found = association([(x, x)], np.arange(4), np.zeros(4), 0)
    assert found.correlation == pytest.approx(1)
    assert np.isnan([found.low, found.high, found.p]).all()


def test_what_does_not_vary_has_no_correlation():
    x = np.arange(6.0)
    assert np.isnan(association([(x, np.ones(6))], np.arange(6), np.zeros(6), 0)).all()
    alone = association([(x, x)], np.arange(6), np.arange(6), 0)  # each alone in its kind
    assert np.isnan(alone).all()


def test_ranks_are_within_kinds_and_of_families():
    values, kinds = np.array([3.0, 1, 2, 9, 7]), np.array([0, 0, 0, 1, 2])
    np.testing.assert_allclose(ranks_within(values, kinds), [1 / 3, -1 / 3, 0, np.nan, np.nan])
    families = np.array(["b", "a", "a", "b", "c"])
    means = np.array([-1 / 6, 1 / 3])  # of a and of b; c is alone in its kind
    np.testing.assert_allclose(family_ranks(values, families, kinds), means - means.mean())
