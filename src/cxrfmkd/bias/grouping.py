"""The groups of test images by attribute, and the pairs of groups that are compared.

Source: thesis method, section 7.1. The thesis shows age and view but does not test them; here they
are a second family of tests beside the thesis's, and each attribute of the study's own is one more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from cxrfmkd.datasets.groups import groups_of
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Findings
from cxrfmkd.vocabulary.attributes import (
    DISEASE,
    OTHERS,
    PRESETS,
    Attribute,
    Attributes,
    declared,
    own,
)
from cxrfmkd.vocabulary.findings import OTHER

THESIS = (DISEASE, "race", "sex")
EXTRA = ("age", "view")


@dataclass(frozen=True)
class Comparison:
    """Group `a` against group `b` of an attribute, or against all its other groups (`OTHERS`)."""

    attribute: str
    a: str
    b: str


Families = tuple[list[Comparison], ...]


def divisions(attributes: Attributes) -> list[tuple[str, str]]:
    """What codes are of: each attribute, then each group that is compared with all others of it."""
    pooled = [(name, a) for name, one in attributes.items() for a, b in one.pairs if b == OTHERS]
    return [*((name, "") for name in attributes), *pooled]


def with_classes(attributes: Attributes, findings: Findings) -> Attributes:
    """`attributes` with the study's exclusive classes as the disease.

    Every two classes are compared; one alone is compared with all other images.
    """
    pairs = tuple(combinations(findings.classes, 2))
    pairs = pairs or tuple((name, OTHER) for name in findings.classes)
    disease = replace(attributes[DISEASE], groups=findings.groups_of_disease, pairs=pairs)
    return {**attributes, DISEASE: disease}


def attributes_of_spec(spec: dict) -> Attributes:
    """Attributes of a job's spec, with the study's exclusive classes as the disease."""
    return with_classes(declared(spec), Findings.of_spec(spec))


@dataclass(frozen=True)
class Grouping:
    """The group of every image by every attribute.

    codes: int8 (divisions, images), in the order of `divisions`: position in the attribute's
    groups, -1 where it is unknown or another value; of a group against all others 0 and 1.
    """

    codes: np.ndarray
    attributes: Attributes

    def of(self, attribute: str) -> np.ndarray:
        """Codes of one attribute, int8 (images,)."""
        return self.codes[list(self.attributes).index(attribute)]

    def take(self, rows: np.ndarray) -> Grouping:
        """The grouping of some of the images."""
        return Grouping(np.ascontiguousarray(self.codes[:, rows]), self.attributes)

    def pairs(self, comparisons: Sequence[Comparison]) -> np.ndarray:
        """Comparisons as triples of codes; see `pair_codes`."""
        return pair_codes(comparisons, self.attributes)


def codes_of(records: pd.DataFrame, attribute: Attribute) -> np.ndarray:
    """Position of each record's group among the attribute's, int8 (n,); -1 where it has none."""
    names = pd.Index(groups_of(records, attribute))
    return pd.Index(attribute.groups).get_indexer(names).astype(np.int8)


def group_images(records: pd.DataFrame, attributes: Attributes = PRESETS) -> Grouping:
    """The groups of every record; the reference's eight age bins make three age bands."""
    codes = {name: codes_of(records, one) for name, one in attributes.items()}
    rows = []
    for name, group in divisions(attributes):
        of_attribute = codes[name]
        if group:
            is_other = of_attribute != attributes[name].groups.index(group)
            of_attribute = np.where(of_attribute < 0, -1, is_other)
        rows.append(of_attribute)
    return Grouping(np.array(rows, np.int8), attributes)


def pair_codes(comparisons: Sequence[Comparison], attributes: Attributes = PRESETS) -> np.ndarray:
    """Comparisons as triples of codes (division, a, b), int64 (comparisons, 3)."""
    rows = divisions(attributes)
    triples = []
    for c in comparisons:
        groups = attributes[c.attribute].groups
        if c.b == OTHERS:
            triples.append((rows.index((c.attribute, c.a)), 0, 1))
        else:
            triples.append((rows.index((c.attribute, "")), groups.index(c.a), groups.index(c.b)))
    return np.array(triples, np.int64).reshape(-1, 3)


def select_comparisons(grouping: Grouping, attributes: Sequence[str], dataset: str) -> Families:
    """The comparisons of `attributes` in families; disease is always compared.

    First the thesis's, then those of age and view, then one of each attribute of the study's own.
    Raises InputError for an attribute that no image of the dataset has.
    """
    for attribute in attributes:
        if (grouping.of(attribute) < 0).all():
            raise InputError(
                f"{dataset}: no test image has a known {attribute}, so it cannot be analysed. "
                f"Leave it out of datasets.{dataset}.attributes."
            )
    compared = {DISEASE, *attributes}
    known = grouping.attributes
    families = [THESIS, EXTRA, *((one.name,) for one in own(known) if one.name in compared)]
    return tuple(family([name for name in names if name in compared], known) for names in families)


def family(names: Sequence[str], attributes: Attributes = PRESETS) -> list[Comparison]:
    """The comparisons of some attributes, whose tests are adjusted together."""
    return [Comparison(name, *pair) for name in names for pair in attributes[name].pairs]


def groups_in(comparison: Comparison, attributes: Attributes) -> list[str]:
    """The groups on both sides of a comparison."""
    if comparison.b == OTHERS:
        return list(attributes[comparison.attribute].groups)
    return [comparison.a, comparison.b]
