"""The test images as they are, and weighted as in the resampled test set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrfmkd.datasets import halves
from cxrfmkd.datasets.disclosure import Disclosure
from cxrfmkd.datasets.resampled import weights_in_order
from cxrfmkd.evaluation import subgroups
from cxrfmkd.evaluation.bootstrap import Sample
from cxrfmkd.evaluation.predictions import LabelledImages
from cxrfmkd.study.settings import Evaluation, Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.attributes import PRESETS, Attributes


@dataclass(frozen=True)
class Population:
    """One weighting of the test images. half: of the patients, 0 or 1, to which each belongs."""

    name: str
    images: LabelledImages
    half: np.ndarray
    cells: subgroups.Cells
    sample: Sample
    settings: Evaluation


def populations(
    test: pd.DataFrame,
    images: LabelledImages,
    weights: pd.DataFrame,
    settings: Evaluation,
    disclosed: Disclosure,
    attributes: Attributes = PRESETS,
    findings: Findings = THESIS,
) -> Iterator[Population]:
    """The natural test set, and the resampled one if it differs.

    test: the records of `images`, in the same order. disclosed: which counts may be shown.
    attributes, findings: of the study.
    """
    targets, findings = images.targets, findings.within(images.findings)
    patients, half = test.patient_id.to_numpy(), halves.half(test.patient_id)
    groups = subgroups.patient_groups(test, settings.attributes, attributes)
    resampled = weights_in_order(weights, test.image_id)
    for name, weight in (("natural", np.ones(len(test))), ("resampled", resampled)):
        if name == "natural" or (weight != 1).any():
            cells = subgroups.count_cells(
                targets, patients, weight, groups, settings.minimum_cell, disclosed, findings
            )
            bootstrap = settings.replicates, settings.unit, settings.seed
            sample = Sample(targets, patients, weight, groups.codes, *bootstrap, cells.detail())
            yield Population(name, images, half, cells, sample, settings)
