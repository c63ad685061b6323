"""Bootstrap replicates of every metric, finding and group at once.

A replicate draws patients with replacement; an image then counts as often as its patient was drawn,
times its own weight. Every model is measured on the same replicates, so that differences are
paired. The thesis's bootstrap, rows drawn within the strata of a finding's target, is a switch
(`unit="row"`).

Memory: replicates x groups x findings x measures x 8 bytes per model, and a count per image of the
LANES replicates that are measured together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cxrfmkd.runtime.threads import cores, parallel_for
from cxrfmkd.statistics.draws import Strata, draw_patients, draw_rows, strata
from cxrfmkd.statistics.ranking import Measures, Rankings, rank_findings
from cxrfmkd.statistics.sweep import EVERYTHING, LANES, Drawn, sweep
from cxrfmkd.vocabulary.metrics import METRICS

# Called with the first replicate of a block, the one after its last, and what they draw.
MeasureBlock = Callable[[int, int, Drawn], None]
EXACT = 2**24  # whole numbers below are exact in float32


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
    def patient_codes(self) -> tuple[np.ndarray, int]:
        """Patients as numbers, and how many there are."""
        labels, codes = np.unique(self.patients, return_inverse=True)
        return codes.astype(np.int32), len(labels)

    @cached_property
    def strata(self) -> Strata:
        """What rows are drawn from."""
        return strata(self.targets, self.weights)

    @cached_property
    def _typed_weights(self) -> np.ndarray:
        """The weights, float32 where sums of them are exact in every replicate, else float64.

        A replicate's total is that of the sample plus noise, of which a hundred standard deviations
        are not seen.
        """
        weights = np.asarray(self.weights, np.float64)
        codes, _ = self.patient_codes
        by_patient = np.bincount(codes, weights)
        largest = weights.sum() + 100 * np.sqrt((by_patient**2).sum())
        exact = (weights == np.floor(weights)).all() and largest < EXACT
        return weights.astype(np.float32 if exact else np.float64)

    def for_each_block(self, *measures: MeasureBlock) -> None:
        """Call each of `measures` for blocks of replicates, in as many threads as allowed.

        Replicate 0 is the sample itself, and a block of its own; the others have LANES replicates,
        the last one fewer. What is drawn is reused after the call.
        """
        blocks = 1 + -(-self.replicates // LANES)

        def work(start: int, stop: int) -> None:
            drawing = self._drawn()
            for block in range(start, stop):
                first = 1 + (block - 1) * LANES if block else 0
                last = min(first + LANES, 1 + self.replicates) if block else 1
                drawn = drawing(first) if block else self._undrawn()
                for measure in measures:
                    measure(first, last, drawn)

        parallel_for(work, blocks, -(-blocks // cores()))

    def _undrawn(self) -> Drawn:
        """The sample itself, as a replicate."""
        units = np.zeros(len(self.targets), np.int32)
        return Drawn(np.ones((1, 1, LANES), np.uint16), units, self._typed_weights)

    def _drawn(self) -> Callable[[int], Drawn]:
        """What draws the replicates from a number on, always into the same memory."""
        n, findings = self.targets.shape
        if self.unit == "row":
            rows, units = np.empty((findings, n, LANES), np.uint16), np.arange(n, dtype=np.int32)
            kind = np.float32 if self.strata.rows.sum(axis=1).max() < EXACT else np.float64
            each_once = np.ones(n, kind)

            def draw(first: int) -> Drawn:
                draw_rows(self.seed, first, self.strata, rows)
                return Drawn(rows, units, each_once)

            return draw
        codes, n_patients = self.patient_codes
        counts, weights = np.empty((1, n_patients, LANES), np.uint16), self._typed_weights

        def draw_all(first: int) -> Drawn:
            draw_patients(self.seed, first, counts[0])
            return Drawn(counts, codes, weights)

        return draw_all

    def measure(
        self, scores: np.ndarray, cuts: np.ndarray | None = None, target_fpr: float = 0.2
    ) -> Measures:
        """Measures of one model on the sample and on every replicate, their first axis.

        Arguments as of `Measurement`.
        """
        measurement = Measurement(self, scores, cuts, target_fpr)
        self.for_each_block(measurement)
        return measurement.measures


class Measurement:
    """Measures of one model, which calls for blocks of replicates fill.

    scores: shape (n, f), finite. cuts: shape (f, c), thresholds at which rates are measured beside
    the one nearest to `target_fpr` on the sample or replicate itself; NaN where there is none.
    measures: of the sample and of every replicate, their first axis; NaN where the targets that a
    measure needs have no weight, or where `detail` leaves it out.
    """

    def __init__(
        self,
        sample: Sample,
        scores: np.ndarray,
        cuts: np.ndarray | None = None,
        target_fpr: float = 0.2,
    ) -> None:
        cells = (sample.targets.shape[1], sample.n_groups)
        cuts = np.empty((cells[0], 0)) if cuts is None else np.asarray(cuts, np.float64)
        detail = np.full(cells, EVERYTHING) if sample.detail is None else sample.detail
        targets = np.where(sample.weights[:, None] > 0, sample.targets, np.nan)
        self._rankings: Rankings = rank_findings(
            targets, scores, sample.groups, detail == EVERYTHING
        )
        self._groups, self._detail = sample.groups.astype(np.int16), detail.astype(np.int8)
        self._cut_ranks, self._target = self._rankings.ranks_above(cuts), target_fpr
        count, axes = 1 + sample.replicates, [(len(METRICS),), (), *[(cuts.shape[1] + 1,)] * 2]
        self.measures = Measures(*(np.full((count, *axis, *cells), np.nan) for axis in axes))
        self._vertices = np.full((count, cells[0]), -1)

    def __call__(self, start: int, stop: int, drawn: Drawn) -> None:
        """Measure the replicates from `start` to `stop`."""
        out = Measures(*(array[start:stop] for array in self.measures))
        plan = self._rankings, self._groups, self._cut_ranks, self._target, self._detail
        sweep(out, self._vertices[start:stop], drawn, *plan)

    @property
    def thresholds(self) -> np.ndarray:
        """The score of every finding at the vertex of the sample itself, shape (f,).

        Infinity at the origin, NaN with one class only.
        """
        result = np.full(self._vertices.shape[1], np.nan)
        for k, (vertex, start) in enumerate(
            zip(self._vertices[0], self._rankings.starts, strict=False)
        ):
            if vertex >= 0:
                result[k] = self._rankings.scores[start + vertex - 1] if vertex else np.inf
        return result
