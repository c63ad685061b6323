"""The group of every record by an attribute, and the columns of declared attributes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cxrfmkd.runtime.cells import in_our_words, numbers, reject
from cxrfmkd.vocabulary.attributes import Attribute
from cxrfmkd.vocabulary.groups import AGE_BINS, AGE_GROUP_OF_BIN


def groups_of(records: pd.DataFrame, attribute: Attribute) -> pd.Series:
    """Name of each record's group, shape (n,), text; missing where it is blank or another value.

    Ages of the preset come from `age_bin`, and are the three groups of the bias analysis. A dataset
    without the column knows the group of none.
    """
    if attribute.binned:
        return pd.to_numeric(records.age_bin).map(AGE_GROUP_OF_BIN)
    if attribute.name not in records:
        return pd.Series(pd.NA, records.index, dtype="object")
    values = records[attribute.name]
    if attribute.edges:
        return _cut(pd.to_numeric(values), attribute)
    return values.where(values.isin(attribute.groups))


def fine_groups_of(records: pd.DataFrame, attribute: Attribute) -> pd.Series:
    """As `groups_of`, in the groups of the evaluation: ages of the preset in their eight bins."""
    if attribute.binned:
        return records.age_bin.map(dict(enumerate(AGE_BINS)))
    return groups_of(records, attribute) if attribute.declared else records[attribute.name]


def fine_order(attribute: Attribute, values: pd.Series) -> list[str]:
    """The groups among `values`, from `fine_groups_of`, in order; of other presets by alphabet."""
    present = set(values.dropna())
    if attribute.binned:
        return [name for name in AGE_BINS if name in present]
    names = attribute.groups if attribute.declared else sorted(present)
    return [name for name in names if name in present]


def _cut(values: pd.Series, attribute: Attribute) -> pd.Series:
    """The groups of numbers between edges; an edge belongs to the group below it."""
    codes = np.searchsorted(attribute.edges, values.to_numpy(float), side="left")
    names = np.array(attribute.groups, object)[codes]
    return pd.Series(names, values.index, dtype="object").where(values.notna())


def read_attribute(
    texts: pd.Series, attribute: Attribute, words: Mapping, source: str, setting: str
) -> pd.Series:
    """A raw column of texts as the records have it: its groups' names, or numbers as texts.

    words: a value of the column -> ours, None for blank. source: table and column, for messages;
    setting: where `words` is set. Raises InputError, with the lines, for values that are no group.
    """
    ours = in_our_words(texts, words)
    values = ours.mask(ours.isin([*attribute.missing, ""]))
    if attribute.edges:
        numeric = numbers(values.mask(numeric_in(values, attribute.missing)), source)
        return numeric.map("{:.15g}".format, na_action="ignore").astype("str")
    reject(
        values.notna() & ~values.isin(attribute.groups),
        f"{source}, column {texts.name}",
        f"rows are none of {', '.join(attribute.groups)}",
        values,
        f"Map these values to one of them in {setting}, or to null for unknown; or name them in "
        f"attributes.{attribute.name}.values, or in its `missing`.",
    )
    return values.astype("str").where(values.notna())


def numeric_in(values: pd.Series, missing: tuple[str, ...]) -> pd.Series:
    """Whether a value is a number that is missing in another spelling, such as -1.0 for -1."""
    codes = pd.to_numeric(pd.Series(missing, dtype="object"), errors="coerce").dropna()
    return pd.to_numeric(values, errors="coerce").isin(codes)
