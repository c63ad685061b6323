"""Bootstrap replicates of every metric, finding and group at once.

A replicate draws patients with replacement; an image then counts as often as its patient was drawn,
times its own weight. Every model is measured on the same replicates, so that differences are
paired. The thesis's bootstrap, rows drawn within the strata of a finding's label, is a switch
(`unit="row"`).

Memory: replicates x groups x findings x measures x 8
bytes per model, and nothing per replicate and image.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cxrfmkd.runtime.threads import cores
from cxrfmkd.statistics.draws import Strata, draw_patients, draw_rows, multinomial_counts, strata
from cxrfmkd.statistics.ranking import EVERYTHING, ranked, ranking, read_off
from cxrfmkd.vocabulary.metrics import METRICS


def measure_names(cuts: int) -> list[str]:
    """The first axis of `Sample.replicate`: the metrics, prevalence, then per threshold the true-
    and false-positive rate.

    Thresholds 0 … cuts - 1 are given; the last, "test", is the one nearest to the target on the
    sample itself.
    """
    rates = [(f"tpr_{cut}", f"fpr_{cut}") for cut in [*map(str, range(cuts)), "test"]]
    return [*METRICS, "prevalence", *(name for pair in rates for name in pair)]


@dataclass(frozen=True)
class Sample:
    """Images with truth, patients, weights and groups, on which any number of models are measured.

    truth: shape (n, f), 0, 1 or NaN (left out). patients: shape (n,), any labels. weights: shape
    (n,).
    groups: shape (n, k) of whole numbers: for each of k divisions the group of an image, -1 for
    none. The first division is group 0 for every image; each other group belongs to one division.
    replicates, unit, seed: of the bootstrap; unit "row" is the thesis's.
    detail: shape (f, groups), how much is measured, from NOTHING to EVERYTHING (the default, and
    needed for everyone).
    """

    truth: np.ndarray
    patients: np.ndarray
    weights: np.ndarray
    groups: np.ndarray
    replicates: int = 0
    unit: str = "patient"
    seed: int = 42
    detail: np.ndarray | None = None

    @property
    def n_groups(self) -> int:
        return int(self.groups.max(initial=0)) + 1

    @cached_property
    def members(self) -> np.ndarray:
        """Who belongs to which group, shape (groups, n), bool."""
        return (self.groups == np.arange(self.n_groups)[:, None, None]).any(axis=2)

    @cached_property
    def codes(self) -> tuple[np.ndarray, int]:
        """Patients as numbers, and how many there are."""
        labels, codes = np.unique(self.patients, return_inverse=True)
        return codes.astype(np.int32), len(labels)

    @cached_property
    def strata(self) -> Strata:
        return strata(self.truth, self.weights)

    def each(self, measure: Callable[[int, np.ndarray], None]) -> None:
        """Call `measure(replicate, drawn)` for every replicate, in as many threads as allowed; 0 is
        the sample itself.

        drawn: weights of the images, shape (1, n) if all findings share them, else (f, n); reused
        after the call.
        """
        codes, n_patients = self.codes
        bounds = np.linspace(0, 1 + self.replicates, cores() + 1).astype(int)

        def part(first: int, last: int) -> None:
            drawn = np.empty((self.truth.shape[1] if self.unit == "row" else 1, len(codes)))
            counts = np.empty(n_patients, np.int64)
            for replicate in range(first, last):
                if replicate == 0:
                    drawn[:] = self.weights
                elif self.unit == "row":
                    draw_rows(self.seed, replicate, *self.strata, drawn)
                else:
                    draw_patients(self.seed, replicate, codes, self.weights, counts, drawn[0])
                measure(replicate, drawn)

        with ThreadPoolExecutor(len(bounds) - 1) as pool:
            list(pool.map(part, bounds[:-1], bounds[1:]))

    def replicate(self, scores: np.ndarray, cuts=None, target_fpr: float = 0.2) -> np.ndarray:
        """Measures of one model on the sample and on every replicate.

        scores: shape (n, f), finite. cuts: shape (f, c), thresholds at which rates are wanted
        beside the one nearest to `target_fpr` on the sample or replicate itself; NaN where there is
        none. Returns shape (measures, 1 + replicates, f, groups), measures as in
        `measure_names(c)`; NaN where the classes that a measure needs have no weight, or where
        `detail` leaves it out.
        """
        findings = self.truth.shape[1]
        cuts = np.empty((findings, 0)) if cuts is None else np.asarray(cuts, np.float64)
        parts, starts = [], np.zeros((findings, self.n_groups + 1, 3), np.int64)
        total = np.zeros(3, np.int64)
        for k in range(findings):
            truth = np.where(self.weights > 0, self.truth[:, k], np.nan)
            everyone = ranking(truth, scores[:, k])
            starts[k, 0] = total
            for group, member in enumerate(self.members):
                order = everyone.rows[member[everyone.rows]]
                part = ranked(order, truth, scores[:, k]) if group else everyone
                parts.append(part)
                total += len(part.rows), len(part.hits), len(part.end)
                starts[k, group + 1] = total
        shape = (len(measure_names(cuts.shape[1])), 1 + self.replicates, findings, self.n_groups)
        out = np.full(shape, np.nan)
        flat = [np.concatenate(part) for part in zip(*parts, strict=True)]
        detail = np.full(shape[2:], EVERYTHING) if self.detail is None else self.detail
        detail = detail.astype(np.int8)

        def measure(replicate: int, drawn: np.ndarray) -> None:
            read_off(out[:, replicate], drawn, *flat, starts, cuts, target_fpr, detail)

        self.each(measure)
        return out


def seed_shares(n_seeds: int, replicates: int, seed: int, family: str) -> np.ndarray:
    """Share of each seed's model in each replicate of their mean, shape (n_seeds, 1 + replicates).

    The first column is the plain mean. A replicate draws n_seeds - 1 seeds with replacement:
    n_seeds draws would understate the variance between seeds by 1/n_seeds (Rao and Wu 1988). Draws
    differ between families.
    """
    draws = max(n_seeds - 1, 1)
    counts = multinomial_counts(n_seeds, replicates, [seed, *family.encode()], draws)
    return np.vstack([np.full((1, n_seeds), 1 / n_seeds), counts / draws]).T
