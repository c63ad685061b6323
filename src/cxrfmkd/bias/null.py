"""How large would the score be if race and sex left no trace? A null distribution by permuting
patients.

Whole patients exchange their race and sex (together, so that the two stay as associated as they
are), within
strata of disease, age band and view, and everything is computed anew: tests, adjustment, bands and
score. The scores of the images stay where they are, and so do all images of a patient together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrfmkd.bias import ks, score
from cxrfmkd.bias.comparisons import Comparison, Groups

EXCHANGED = ("race", "sex")
MEASURES: dict[str, Callable[[ks.Statistics], np.ndarray]] = {
    "normalised": score.points,  # the thesis's
    "distance": lambda found: found.d,  # D in place of points
}


@dataclass(frozen=True)
class Null:
    """An observed score and its distribution under the null.

    observed: float; replicates: float64 (permutations,).
    """

    observed: float
    replicates: np.ndarray

    @property
    def band(self) -> tuple[float, float]:
        """Central 95 % of the null."""
        low, high = np.quantile(self.replicates, [0.025, 0.975])
        return float(low), float(high)

    @property
    def z(self) -> float:
        """Distance from the null's mean in its standard deviations; NaN where the null does not vary."""
        spread = self.replicates.std(ddof=1) if len(self.replicates) > 1 else 0.0
        return float((self.observed - self.replicates.mean()) / spread) if spread > 0 else np.nan

    @property
    def p(self) -> float:
        """One-sided p-value, (1 + number of permutations that reach the observed score) / (1 + permutations)."""
        reached = np.count_nonzero(self.replicates >= self.observed - 1e-9)
        return (1 + reached) / (1 + len(self.replicates))


def strata(records: pd.DataFrame, patients: np.ndarray) -> np.ndarray:
    """Each patient's stratum, int64 (patients,): most frequent disease, age band and view of the
    images.

    patients: int (n,), each record's patient, 0, 1, ... A patient alone in a stratum would never be
    exchanged, so strata of one are joined, first over views, then over age bands, then over
    diseases.
    """
    columns = ["disease", "age_bin", "view"]
    images = records[columns].astype(str).assign(patient=patients)
    counts = (
        images.value_counts(sort=False)
        .reset_index()
        .sort_values(["patient", "count", *columns], ascending=[True, False, True, True, True])
    )
    own = counts.drop_duplicates("patient").set_index("patient")[columns]
    result = own.agg("|".join, axis=1)
    for kept in (2, 1, 0):
        alone = result.map(result.value_counts()) == 1
        coarser = own[columns[:kept]].agg("|".join, axis=1) if kept else pd.Series("", own.index)
        result = result.where(~alone, "joined|" + coarser)
    return pd.factorize(result.sort_index())[0]


def permutations(strata: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Which patient's labels every patient gets, int64 (count, patients), exchanged within strata."""
    rng = np.random.default_rng(seed)
    places = np.argsort(strata, kind="stable")
    result = np.empty((count, len(strata)), np.int64)
    for row in result:
        row[places] = np.lexsort((rng.random(len(strata)), strata))
    return result


def exchanged(groups: Groups, patients: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Codes of every image after each exchange, int8 (permutations, attributes, n).

    A patient's race and sex are those of the first image; the other attributes stay with the
    images.
    """
    _, first = np.unique(patients, return_index=True)
    codes = np.repeat(groups.codes[None], len(orders), 0)
    for attribute in EXCHANGED:
        position = groups.attributes.index(attribute)
        codes[:, position] = groups.codes[position][first][orders[:, patients]]
    return codes


def tells(attribute: str) -> bool:
    """Whether the exchange says something about a score: those of race, sex, and both combined."""
    return attribute in EXCHANGED or attribute in (
        "combined",
        *map(score.combined_name, ((n,) for n in EXCHANGED)),
    )


def null_scores(
    order: ks.Order,
    ratios: np.ndarray,
    groups: Groups,
    codes: np.ndarray,
    comparisons: Sequence[Comparison],
    measure: Callable[[ks.Statistics], np.ndarray],
) -> dict[str, Null]:
    """Null distributions of the scores of race, sex and both combined.

    order: from ks.sort_once, of the sample's images alone; ratios: (modes,) of the tested modes;
    groups: of the sample's images; codes: from `exchanged`; comparisons: one family of tests, as in
    the observed score;
    measure: what a score is the weighted mean of, one of MEASURES.
    """
    pairs = groups.pairs(comparisons)
    everyone = np.arange(order.images.shape[1])[None]
    weights = score.mode_weights(ratios, "normalised")
    observed, permuted = (
        score.attribute_scores(
            score.comparison_scores(measure(ks.statistics(order, own, pairs, everyone)), weights),
            comparisons,
        )
        for own in (groups.codes, codes)
    )
    return {
        name: Null(float(observed[name][0]), permuted[name]) for name in observed if tells(name)
    }
