"""Bootstrap replicates of every metric, finding and group at once.

A replicate draws patients with replacement; an image then counts as often as its patient was drawn,
times its own weight. Every model is measured on the same replicates, so that differences are
paired. The thesis's bootstrap, rows drawn within the strata of a finding's target, is a switch
(`unit="row"`).

Memory: replicates x groups x findings x measures x 8 bytes per model, and nothing per replicate and
image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cxrfmkd.runtime.threads import cores, parallel_for
from cxrfmkd.statistics.draws import Strata, draw_patients, draw_rows, strata
from cxrfmkd.statistics.ranking import (
    EVERYTHING,
    Measures,
    Rankings,
    join_rankings,
    measure_rankings,
    rank,
    ranking_of,
)
from cxrfmkd.vocabulary.metrics import METRICS


@dataclass(frozen=True)
class Sample:
    """Images with targets, patients, weights and groups, on which models are measured.

    targets: shape (n, f), 0, 1 or NaN (left out). patients: shape (n,), any labels. weights: shape
    (n,).
    groups: shape (n, k) of whole numbers: for each of k divisions the group of an image, -1 for
    none. The first division is group 0 for every image; each other group belongs to one division.
    replicates, unit, seed: of the bootstrap; unit "row" is the thesis's.
    detail: shape (f, groups), how much is measured, from NOTHING to EVERYTHING (the default, and
    needed for everyone).
    """

    targets: np.ndarray
    patients: np.ndarray
    weights: np.ndarray
    groups: np.ndarray
    replicates: int = 0
    unit: str = "patient"
    seed: int = 42
    detail: np.ndarray | None = None

    @property
    def n_groups(self) -> int:
        """Number of groups, everyone among them."""
        return int(self.groups.max(initial=0)) + 1

    @cached_property
    def members(self) -> np.ndarray:
        """Who belongs to which group, shape (groups, n), bool."""
        return (self.groups == np.arange(self.n_groups)[:, None, None]).any(axis=2)

    @cached_property
    def patient_codes(self) -> tuple[np.ndarray, int]:
        """Patients as numbers, and how many there are."""
        labels, codes = np.unique(self.patients, return_inverse=True)
        return codes.astype(np.int32), len(labels)

    @cached_property
    def strata(self) -> Strata:
        """What rows are drawn from."""
        return strata(self.targets, self.weights)

    def for_each_replicate(self, measure: Callable[[int, np.ndarray], None]) -> None:
        """Call `measure(replicate, weights)` for every replicate, in as many threads as allowed.

        Replicate 0 is the sample itself. weights: of the images, shape (1, n) if all findings share
        them, else (f, n); reused after the call.
        """
        codes, n_patients = self.patient_codes

        def work(start: int, stop: int) -> None:
            weights = np.empty((self.targets.shape[1] if self.unit == "row" else 1, len(codes)))
            counts = np.empty(n_patients, np.int64)
            for replicate in range(start, stop):
                if replicate == 0:
                    weights[:] = self.weights
                elif self.unit == "row":
                    draw_rows(self.seed, replicate, self.strata, weights)
                else:
                    draw_patients(self.seed, replicate, codes, self.weights, counts, weights[0])
                measure(replicate, weights)

        count = 1 + self.replicates
        parallel_for(work, count, -(-count // cores()))

    def measure(
        self, scores: np.ndarray, cuts: np.ndarray | None = None, target_fpr: float = 0.2
    ) -> Measures:
        """Measures of one model on the sample and on every replicate, their first axis.

        scores: shape (n, f), finite. cuts: shape (f, c), thresholds at which rates are measured
        beside the one nearest to `target_fpr` on the sample or replicate itself; NaN where there is
        none. NaN where the targets that a measure needs have no weight, or where `detail` leaves it
        out.
        """
        cells = (self.targets.shape[1], self.n_groups)
        cuts = np.empty((cells[0], 0)) if cuts is None else np.asarray(cuts, np.float64)
        detail = np.full(cells, EVERYTHING) if self.detail is None else self.detail
        detail = detail.astype(np.int8)
        rankings = self._rankings(scores)
        axes = [(len(METRICS),), (), *[(cuts.shape[1] + 1,)] * 2]
        result = Measures(*(np.full((1 + self.replicates, *axis, *cells), np.nan) for axis in axes))

        def measure(replicate: int, weights: np.ndarray) -> None:
            out = Measures(*(array[replicate] for array in result))
            measure_rankings(out, weights, rankings, cuts, target_fpr, detail)

        self.for_each_replicate(measure)
        return result

    def _rankings(self, scores: np.ndarray) -> Rankings:
        """Every finding's ranking, and within it those of the groups."""
        rankings = []
        for labels, score in zip(self.targets.T, scores.T, strict=True):
            targets = np.where(self.weights > 0, labels, np.nan)
            everyone = rank(targets, score)
            orders = [everyone.rows[member[everyone.rows]] for member in self.members[1:]]
            rankings.append([everyone, *(ranking_of(order, targets, score) for order in orders)])
        return join_rankings(rankings)
