"""What an analysis of a dataset's test images rests on, whatever the model: groups, samples, permutations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from cxrfmkd.bias import effects, null, sampling
from cxrfmkd.bias.comparisons import Comparison, Groups, groups, wanted
from cxrfmkd.datasets import splits
from cxrfmkd.datasets.resampling import weights_in_order
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Bias
from cxrfmkd.vocabulary.groups import GROUPS

MOST_DISTANCES = 6000  # images of which all pairs are compared: 144 MB of distances


@dataclass(frozen=True)
class Design:
    """The test images and everything drawn from them.

    test: one row an image, with patient, attributes and `weight`; rows: positions in `test` that
    samples are drawn from, the unique images in v2 and every resampled row in v1; groups: of
    `test`'s images;
    comparisons: the thesis's family and the extra one.
    """

    dataset: str
    test: pd.DataFrame
    rows: np.ndarray
    groups: Groups
    comparisons: tuple[list[Comparison], list[Comparison]]
    settings: Bias
    minimum_cell: int

    @cached_property
    def by(self) -> str:
        """The attribute whose groups every sample holds equally: race, or sex where there is no race."""
        return "race" if "race" in self.settings.attributes else "sex"

    @cached_property
    def row_groups(self) -> Groups:
        return self.groups.take(self.rows)

    @cached_property
    def patients(self) -> np.ndarray:
        """Patient of every test image, int64: 0, 1, ... in order of appearance."""
        return pd.factorize(self.test.patient_id)[0].astype(np.int64)

    @cached_property
    def pool(self) -> sampling.Pool:
        chosen = self.settings
        candidates = self.test.iloc[self.rows].reset_index(drop=True)
        return sampling.pool(
            candidates,
            self.by,
            chosen.variant,
            chosen.sample_per_group,
            chosen.shortage,
            self.minimum_cell,
        )

    @cached_property
    def main(self) -> np.ndarray:
        """The main sample: positions in `rows`."""
        return sampling.draw(self.pool, [self.settings.seed])[0]

    @cached_property
    def simulated(self) -> np.ndarray:
        """Samples with the seeds 1, 2, ..., (simulations, size)."""
        return sampling.draw(self.pool, list(range(1, self.settings.simulations + 1)))

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Samples by name, (draws, size) positions in `rows`: the thesis's three, and parts of the main one."""
        main = self.main
        patients, view = self.patients[self.rows[main]], self.row_groups.of("view")[main]
        side = splits.half(self.test.patient_id)[self.rows[main]]
        parts = {"main": main, "all": np.arange(len(self.rows))}
        parts["one per patient"] = main[sampling.one_each(patients, self.settings.seed)]
        parts |= {name: main[view == code] for code, name in enumerate(GROUPS["view"])}
        parts |= {name: main[side == number] for number, name in enumerate(splits.HALVES)}
        found = {name: part[None] for name, part in parts.items() if len(part)}
        if self.settings.simulations:
            found["simulation"] = self.simulated
        return found

    @cached_property
    def compact(self) -> np.ndarray:
        """Positions in the main sample of the images whose distances to each other are looked at."""
        if len(self.main) <= MOST_DISTANCES:
            return np.arange(len(self.main))
        rng = np.random.default_rng(self.settings.seed)
        return np.sort(rng.choice(len(self.main), MOST_DISTANCES, replace=False))

    def testable(self, family: list[Comparison], rows: np.ndarray) -> np.ndarray:
        """Which comparisons have enough images in both groups among `rows`, bool (comparisons,)."""
        return (self.row_groups.take(rows).sizes(family) >= self.minimum_cell).all(1)

    @cached_property
    def exchanges(self) -> tuple[np.ndarray, np.ndarray]:
        """Patients of the main sample's rows, int64 from 0, and the permutations of those patients."""
        own = self.test.iloc[self.rows[self.main]]
        patients = pd.factorize(own.patient_id)[0]
        strata = null.strata(own.reset_index(drop=True), patients)
        return patients, null.permutations(strata, self.settings.permutations, self.settings.seed)

    @cached_property
    def patient_draws(self) -> np.ndarray:
        count = self.patients.max() + 1
        return effects.patient_draws(count, self.settings.replicates, self.settings.seed)


def design(
    dataset: str,
    records: pd.DataFrame,
    weights: pd.DataFrame,
    settings: Bias,
    minimum_cell: int = 10,
) -> Design:
    """The design of an analysis of the records of split `test`.

    weights: columns image_id and weight, a row for each test image: how often, or how much, it
    counts in the resampled test set. Images with weight 0 were not drawn and take no part.
    """
    test = records[records.split == "test"]
    weight = weights_in_order(weights, test.image_id)
    test = test.assign(weight=weight)[weight > 0].reset_index(drop=True)
    if len(test) < 2:
        raise InputError(
            f"{dataset}: {len(test)} test images take part; there is nothing to compare."
        )
    rows = np.arange(len(test))
    if settings.variant == "v1":
        if (test.weight % 1 != 0).any():
            raise InputError(
                f"{dataset}: bias.variant v1 looks at every resampled row, but the test set has "
                "weights, not counts. "
                f"Set datasets.{dataset}.resampling to draws, or bias.variant to v2."
            )
        rows = np.repeat(rows, test.weight.astype(int))
    known = groups(test)
    families = wanted(known, settings.attributes, dataset)
    return Design(dataset, test, rows, known, families, settings, minimum_cell)
