"""The groups of test images by attribute, and the pairs of groups that are compared.

Source: thesis method, section 7.1. The thesis shows age and view but does not test them; here they
are a second family of tests beside the thesis's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.vocabulary.groups import AGE_GROUP_OF_BIN, AGE_GROUPS, GROUPS


@dataclass(frozen=True)
class Comparison:
    """Group `a` against group `b` of an attribute."""

    attribute: str
    a: str
    b: str


ATTRIBUTES = tuple(GROUPS)

THESIS_FAMILY = (
    Comparison("disease", "Pleural Effusion", "No Finding"),
    Comparison("race", "White", "Asian"),
    Comparison("race", "White", "Black"),
    Comparison("race", "Asian", "Black"),
    Comparison("sex", "Male", "Female"),
)
EXTRA_FAMILY = (
    *(Comparison("age", a, b) for a, b in combinations(AGE_GROUPS, 2)),
    Comparison("view", "AP", "PA"),
)


@dataclass(frozen=True)
class Grouping:
    """The group of every image by every attribute.

    codes: int8 (attributes, images), in the order of ATTRIBUTES: position in GROUPS[attribute], -1
    where it is unknown or another value.
    """

    codes: np.ndarray

    def of(self, attribute: str) -> np.ndarray:
        """Codes of one attribute, int8 (images,)."""
        return self.codes[ATTRIBUTES.index(attribute)]

    def take(self, rows: np.ndarray) -> Grouping:
        """The grouping of some of the images."""
        return Grouping(np.ascontiguousarray(self.codes[:, rows]))


def group_images(records: pd.DataFrame) -> Grouping:
    """The groups of every record; the reference's eight age bins make three age bands."""
    columns = dict(records[["disease", "race", "sex", "view"]])
    columns["age"] = pd.to_numeric(records.age_bin).map(AGE_GROUP_OF_BIN)
    codes = [pd.Index(GROUPS[name]).get_indexer(pd.Index(columns[name])) for name in ATTRIBUTES]
    return Grouping(np.array(codes, np.int8))


def pair_codes(comparisons: Sequence[Comparison]) -> np.ndarray:
    """Comparisons as triples of codes (attribute, a, b), int64 (comparisons, 3)."""
    triples = [
        (ATTRIBUTES.index(c.attribute), *map(GROUPS[c.attribute].index, (c.a, c.b)))
        for c in comparisons
    ]
    return np.array(triples, np.int64).reshape(-1, 3)


def select_comparisons(
    grouping: Grouping, attributes: Sequence[str], dataset: str
) -> tuple[list[Comparison], list[Comparison]]:
    """The thesis's comparisons and the extra ones of `attributes`; disease is always compared.

    Raises InputError for an attribute that no image of the dataset has.
    """
    for attribute in attributes:
        if (grouping.of(attribute) < 0).all():
            raise InputError(
                f"{dataset}: no test image has a known {attribute}, so it cannot be analysed. "
                f"Leave it out of datasets.{dataset}.attributes."
            )
    compared = {"disease", *attributes}
    thesis, extra = (
        [c for c in family if c.attribute in compared] for family in (THESIS_FAMILY, EXTRA_FAMILY)
    )
    return thesis, extra
