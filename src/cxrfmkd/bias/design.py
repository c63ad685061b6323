"""What the analyses of a dataset's test images have in common: groups, samples, permutations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from cxrfmkd.bias import null, sampling
from cxrfmkd.bias.grouping import (
    Comparison,
    Families,
    Grouping,
    group_images,
    select_comparisons,
)
from cxrfmkd.datasets import halves
from cxrfmkd.datasets.disclosure import Disclosure, disclosure
from cxrfmkd.datasets.groups import groups_of
from cxrfmkd.datasets.resampled import draw_order, weights_in_order
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.statistics.draws import patient_counts
from cxrfmkd.statistics.suppression import patients_per_cell
from cxrfmkd.study.settings import Bias
from cxrfmkd.vocabulary.attributes import PRESETS, Attributes, drawn_by

DISTANCE_IMAGES = 6000  # at most; all pairs of them are 144 MB of distances


@dataclass(frozen=True)
class Design:
    """The test images and everything drawn from them.

    test: one row an image, with patient, attributes and `weight`; rows: positions in `test` that
    samples are drawn from, the unique images in v2 and every resampled row in v1; grouping: of
    `test`'s images; comparisons: by family of tests, the thesis's first; minimum_cell: patients
    that a group must have to be tested; disclosed: which counts of the test images may be shown;
    uncertain: as in `records.targets`.
    """

    dataset: str
    test: pd.DataFrame
    rows: np.ndarray
    grouping: Grouping
    comparisons: Families
    settings: Bias
    minimum_cell: int
    disclosed: Disclosure
    uncertain: str = "zeros"

    @property
    def attributes(self) -> Attributes:
        """The study's attributes."""
        return self.grouping.attributes

    def code(self, attribute: str, group: str) -> int:
        """A group's code in the grouping."""
        return self.attributes[attribute].groups.index(group)

    @property
    def every_comparison(self) -> list[Comparison]:
        """Those of all families."""
        return [c for family in self.comparisons for c in family]

    @cached_property
    def row_grouping(self) -> Grouping:
        """The grouping of `rows`."""
        return self.grouping.take(self.rows)

    @cached_property
    def patients(self) -> np.ndarray:
        """Patient of every test image, int64: 0, 1, ... in order of appearance."""
        return pd.factorize(self.test.patient_id)[0].astype(np.int64)

    @property
    def balanced(self) -> str:
        """The attribute of whose groups samples have as many images each."""
        return drawn_by(self.settings.attributes, bool(self.test.sex.notna().any()))

    @cached_property
    def pool(self) -> sampling.Pool:
        """What samples are drawn from: the groups of `balanced`."""
        s = self.settings
        candidates = self.test.iloc[self.rows].reset_index(drop=True)
        one = self.attributes[self.balanced]
        if one.declared or one.binned:
            candidates[one.name] = groups_of(candidates, one)
        return sampling.build_pool(
            candidates, one.name, s.variant, s.sample_per_group, s.shortage, self.minimum_cell
        )

    @cached_property
    def main(self) -> np.ndarray:
        """The main sample: positions in `rows`."""
        return sampling.draw_samples(self.pool, [self.settings.seed])[0]

    @cached_property
    def simulated(self) -> np.ndarray:
        """Samples with the seeds 1, 2, ..., (simulations, size)."""
        return sampling.draw_samples(self.pool, list(range(1, self.settings.simulations + 1)))

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Samples by name, (draws, size) positions in `rows`; some are parts of the main sample."""
        main = self.main
        images = self.rows[main]
        view = self.grouping.of("view")[images]
        half = halves.half(self.test.patient_id)[images]
        single = sampling.one_per_patient(self.patients[images], self.settings.seed)
        samples = {"main": main, "all": np.arange(len(self.rows)), "one per patient": main[single]}
        samples |= {
            name: main[view == code] for code, name in enumerate(self.attributes["view"].groups)
        }
        samples |= {name: main[half == number] for number, name in enumerate(halves.HALVES)}
        draws = {name: rows[None] for name, rows in samples.items() if len(rows)}
        return draws | ({"simulation": self.simulated} if self.settings.simulations else {})

    @cached_property
    def disclosed_main(self) -> Disclosure:
        """Which counts of the main sample may be shown."""
        sample = self.test.iloc[np.unique(self.rows[self.main])]
        return self.disclosed | disclosure(
            sample, self.minimum_cell, self.uncertain, attributes=self.attributes
        )

    @cached_property
    def distance_subset(self) -> np.ndarray:
        """Positions in the main sample of the images whose pairwise distances are computed."""
        if len(self.main) <= DISTANCE_IMAGES:
            return np.arange(len(self.main))
        rng = np.random.default_rng(self.settings.seed)
        return np.sort(rng.choice(len(self.main), DISTANCE_IMAGES, replace=False))

    def group_patients(self, attribute: str, images: np.ndarray) -> np.ndarray:
        """Patients in each group of an attribute, int64; images: positions in `test`."""
        codes = self.grouping.of(attribute)[images]
        count = len(self.attributes[attribute].groups)
        return patients_per_cell(codes, self.patients[images], count)

    def comparison_patients(self, comparison: Comparison, images: np.ndarray) -> np.ndarray:
        """Patients on either side of a comparison, int64 (2,); images: positions in `test`."""
        [(division, *sides)] = self.grouping.pairs([comparison])
        codes = self.grouping.codes[division][images]
        count = max(int(codes.max(initial=-1)), *sides) + 1
        return patients_per_cell(codes, self.patients[images], count)[sides]

    def testable(self, family: Sequence[Comparison], images: np.ndarray) -> list[Comparison]:
        """The comparisons of which both groups have enough patients among `images`."""
        return [
            c for c in family if (self.comparison_patients(c, images) >= self.minimum_cell).all()
        ]

    @cached_property
    def permutations(self) -> tuple[np.ndarray, np.ndarray]:
        """Patient of each row of the main sample, 0, 1, ..., and permutations of those patients."""
        records = self.test.iloc[self.rows[self.main]].reset_index(drop=True)
        patients = pd.factorize(records.patient_id)[0]
        strata = null.patient_strata(records, patients)
        orders = null.permute_patients(strata, self.settings.permutations, self.settings.seed)
        return patients, orders

    @cached_property
    def patient_draws(self) -> np.ndarray:
        """How often each replicate draws each patient, int16 (replicates, patients)."""
        count = self.patients.max() + 1
        return patient_counts(count, self.settings.replicates, self.settings.seed)


def build_design(
    dataset: str,
    records: pd.DataFrame,
    weights: pd.DataFrame,
    settings: Bias,
    minimum_cell: int = 10,
    uncertain: str = "zeros",
    attributes: Attributes = PRESETS,
) -> Design:
    """The design of an analysis of the records of split `test`.

    weights: columns image_id and weight, a row for each test image: how often, or how much, it
    counts in the resampled test set. Images with weight 0 were not drawn and take no part.
    uncertain: as in `records.targets`. attributes: of the study.
    """
    test = records[records.split == "test"]
    disclosed = disclosure(test, minimum_cell, uncertain, attributes=attributes)
    weight = weights_in_order(weights, test.image_id)
    test = test.assign(weight=weight)
    if settings.order == "drawn":
        test = test.iloc[np.argsort(draw_order(weights, test.image_id), kind="stable")]
    test = test[test.weight > 0].reset_index(drop=True)
    if len(test) < 2:
        raise InputError(
            f"{dataset}: {len(test)} test images take part; there is nothing to compare."
        )
    if (weight == 0).any():
        disclosed |= disclosure(test, minimum_cell, uncertain, attributes=attributes)
    rows = np.arange(len(test))
    if settings.variant == "v1":
        if (test.weight % 1 != 0).any():
            raise InputError(
                f"{dataset}: bias.variant v1 analyses every resampled row, but the test set has "
                f"weights, not counts. Set datasets.{dataset}.resampling to draws, or "
                "bias.variant to v2."
            )
        rows = np.repeat(rows, test.weight.astype(int))
    grouping = group_images(test, attributes)
    families = select_comparisons(grouping, settings.attributes, dataset)
    return Design(
        dataset, test, rows, grouping, families, settings, minimum_cell, disclosed, uncertain
    )
