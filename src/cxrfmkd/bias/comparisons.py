"""Which groups of images are compared with which: the thesis's five comparisons, and ours beside
them.

Source: thesis method, section 7.1; age and view were shown but never tested there.
"""

from __future__ import annotations

from dataclasses import dataclass

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


THESIS = (
    Comparison("disease", "Pleural Effusion", "No Finding"),
    Comparison("race", "White", "Asian"),
    Comparison("race", "White", "Black"),
    Comparison("race", "Asian", "Black"),
    Comparison("sex", "Male", "Female"),
)

EXTRA = (
    Comparison("age", AGE_GROUPS[0], AGE_GROUPS[1]),
    Comparison("age", AGE_GROUPS[0], AGE_GROUPS[2]),
    Comparison("age", AGE_GROUPS[1], AGE_GROUPS[2]),
    Comparison("view", "AP", "PA"),
)


@dataclass(frozen=True)
class Groups:
    """Every image's group under every attribute.

    codes: int8, shape (attributes, images): position in GROUPS[attribute], -1 where unknown or
    another value.
    attributes: the rows of `codes`, in order.
    """

    codes: np.ndarray
    attributes: tuple[str, ...] = tuple(GROUPS)

    def of(self, attribute: str) -> np.ndarray:
        return self.codes[self.attributes.index(attribute)]

    def take(self, rows: np.ndarray) -> Groups:
        return Groups(np.ascontiguousarray(self.codes[:, rows]), self.attributes)

    def pairs(self, comparisons: list[Comparison]) -> np.ndarray:
        """Comparisons as int64 triples (attribute, a, b), shape (comparisons, 3), for the compiled loops."""
        return np.array(
            [
                (self.attributes.index(c.attribute), *map(GROUPS[c.attribute].index, (c.a, c.b)))
                for c in comparisons
            ],
            np.int64,
        ).reshape(-1, 3)

    def sizes(self, comparisons: list[Comparison]) -> np.ndarray:
        """Images in groups a and b of each comparison, int64, shape (comparisons, 2)."""
        return np.array(
            [
                [np.count_nonzero(self.codes[attribute] == code) for code in (a, b)]
                for attribute, a, b in self.pairs(comparisons)
            ],
            np.int64,
        ).reshape(-1, 2)


def groups(records: pd.DataFrame) -> Groups:
    """The groups of every record; ages are gathered from the reference's eight bins into three bands."""
    columns = dict(records[["disease", "race", "sex", "view"]])
    columns["age"] = pd.to_numeric(records.age_bin).map(AGE_GROUP_OF_BIN)
    codes = [pd.Index(GROUPS[name]).get_indexer(pd.Index(columns[name])) for name in GROUPS]
    return Groups(np.array(codes, np.int8))


def wanted(known: Groups, attributes: list[str], source: str) -> tuple[list, list]:
    """The thesis's comparisons and the extra ones that `attributes` ask for; disease is always
    compared.

    Raises InputError for an attribute that no image of the dataset has.
    """
    for attribute in attributes:
        if (known.of(attribute) < 0).all():
            raise InputError(
                f"{source}: no test image has a known {attribute}, so it cannot be analysed. "
                f"Name the attributes that there are in datasets.{source}.attributes."
            )
    chosen = {"disease", *attributes}
    return [c for c in THESIS if c.attribute in chosen], [c for c in EXTRA if c.attribute in chosen]
