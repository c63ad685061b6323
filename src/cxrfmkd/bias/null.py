"""Null distribution of the score if race and sex left no trace, by permuting patients.

Whole patients exchange their race and sex (together, so that the two stay as associated as they
are), within strata of disease, age bin and view, and everything is computed anew: tests,
adjustment, bands and score. The scores of the images stay where they are, and so do all images of a
patient together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrfmkd.bias import score
from cxrfmkd.bias.grouping import Comparison, Grouping, divisions
from cxrfmkd.bias.ks import KSResult, SortedScores, ks_tests
from cxrfmkd.statistics.intervals import central_interval

EXCHANGED = ("race", "sex")
# What a score is the weighted mean of: the thesis's points, or D.
MEASURES: dict[str, Callable[[KSResult], np.ndarray]] = {
    "normalised": score.points,
    "distance": lambda tests: tests.d,
}


@dataclass(frozen=True)
class NullDistribution:
    """An observed score and its distribution under the null.

    observed: float; replicates: float64 (permutations,).
    """

    observed: float
    replicates: np.ndarray

    @property
    def band(self) -> tuple[float, float]:
        """Central 95 % of the null."""
        return central_interval(self.replicates)

    @property
    def z(self) -> float:
        """Distance from the null's mean in its standard deviations; NaN where it does not vary."""
        deviation = self.replicates.std(ddof=1) if len(self.replicates) > 1 else 0.0
        distance = self.observed - self.replicates.mean()
        return float(distance / deviation) if deviation > 0 else np.nan

    @property
    def p(self) -> float:
        """One-sided p-value, (1 + permutations that reach the score) / (1 + permutations)."""
        reached = np.count_nonzero(self.replicates >= self.observed - 1e-9)
        return (1 + reached) / (1 + len(self.replicates))


def mean_distribution(distributions: Sequence[NullDistribution]) -> NullDistribution:
    """That of the mean over seeds, whose replicates belong to the same permutations."""
    observed = float(np.mean([one.observed for one in distributions]))
    return NullDistribution(observed, np.mean([one.replicates for one in distributions], axis=0))


def patient_strata(records: pd.DataFrame, patients: np.ndarray) -> np.ndarray:
    """Each patient's stratum, int64 (patients,): most frequent disease, age bin and view.

    patients: int (n,), each record's patient, 0, 1, ... A patient alone in a stratum would never be
    exchanged, so strata of one are joined, first over views, then over age bins, then over
    diseases.
    """
    columns = ["disease", "age_bin", "view"]
    images = records[columns].astype("str").fillna("").assign(patient=patients)
    counts = (
        images.value_counts(sort=False)
        .reset_index()
        .sort_values(["patient", "count", *columns], ascending=[True, False, True, True, True])
    )
    frequent = counts.drop_duplicates("patient").set_index("patient")[columns]
    strata = frequent.agg("|".join, axis=1)
    for depth in (2, 1, 0):
        alone = strata.map(strata.value_counts()) == 1
        coarser = frequent[columns[:depth]].agg("|".join, axis=1) if depth else ""
        strata = strata.where(~alone, "joined|" + coarser)
    return pd.factorize(strata.sort_index())[0]


def permute_patients(strata: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Which patient's groups every patient gets, int64 (count, patients), within strata."""
    rng = np.random.default_rng(seed)
    places = np.argsort(strata, kind="stable")
    orders = np.empty((count, len(strata)), np.int64)
    for order in orders:
        order[places] = np.lexsort((rng.random(len(strata)), strata))
    return orders


def exchange_groups(
    grouping: Grouping,
    patients: np.ndarray,
    orders: np.ndarray,
    attributes: Sequence[str] = EXCHANGED,
) -> np.ndarray:
    """Codes of every image after each exchange, int8 (permutations, divisions, n).

    A patient's groups by `attributes` are those of the first image; the other attributes stay with
    the images.
    """
    _, first = np.unique(patients, return_index=True)
    codes = np.repeat(grouping.codes[None], len(orders), 0)
    for row, (attribute, _) in enumerate(divisions(grouping.attributes)):
        if attribute in attributes:
            codes[:, row] = grouping.codes[row][first][orders[:, patients]]
    return codes


def of_patients(codes: np.ndarray, patients: np.ndarray) -> bool:
    """Whether all images of a patient are in one group; codes, patients: (n,)."""
    _, first = np.unique(patients, return_index=True)
    return bool((codes == codes[first][patients]).all())


def null_distributions(
    observed: np.ndarray,
    permuted: np.ndarray,
    comparisons: Sequence[Comparison],
    attributes: Sequence[str] = EXCHANGED,
) -> Iterator[tuple[str, NullDistribution]]:
    """Those of the scores that the exchange of `attributes` concerns.

    Such as of race, of sex, and of both combined. observed: (1, comparisons), scores of the
    comparisons; permuted: (permutations, comparisons).
    """
    concerned = {*attributes, "combined", *(score.combined_name([name]) for name in EXCHANGED)}
    replicates = score.attribute_scores(permuted, comparisons)
    for name, value in score.attribute_scores(observed, comparisons).items():
        if name in concerned:
            yield name, NullDistribution(float(value[0]), replicates[name])


def null_scores(
    scores: SortedScores,
    ratios: np.ndarray,
    grouping: Grouping,
    codes: np.ndarray,
    comparisons: Sequence[Comparison],
    measure: Callable[[KSResult], np.ndarray],
    attributes: Sequence[str] = EXCHANGED,
) -> dict[str, NullDistribution]:
    """Null distributions of the scores of the exchanged attributes, and of race and sex combined.

    scores: of the sample's images alone; ratios: (modes,) of the tested modes; grouping: of the
    sample's images; codes: from `exchange_groups`; comparisons: one family of tests, as in the
    observed score; measure: what a score is the weighted mean of, one of MEASURES.
    """
    pairs = grouping.pairs(comparisons)
    weights = score.mode_weights(ratios, "normalised")
    observed, permuted = (
        score.comparison_scores(measure(ks_tests(scores, labels, pairs)), weights)
        for labels in (grouping.codes, codes)
    )
    return dict(null_distributions(observed, permuted, comparisons, attributes))
