"""Which counts of a split may leave its dataset's folder: one answer for every table and figure.

Tables share cells: images of a race stand in the cohort, in the subgroups of every finding, in the
balance and in the bias analysis, and the class Pleural Effusion counts the same images as the
finding. A count that one table hides must not follow from the others, so all of them ask here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from cxrfmkd.datasets.groups import groups_of
from cxrfmkd.datasets.records import findings_of
from cxrfmkd.statistics.suppression import Relation, patients_per_cell, protect
from cxrfmkd.vocabulary.attributes import PRESETS, Attributes, own
from cxrfmkd.vocabulary.groups import AGE_BINS

BLANK, LEFT_OUT = "blank", "left out"
RAW = {"positive": 1.0, "negative": 0.0, "uncertain": -1.0}  # levels of a label, besides blank
# Tables by two attributes at once, besides those of a finding and an attribute.
CROSSED = (
    *combinations(("sex", "race", "view"), 2),
    *(("disease", name) for name in ("sex", "race", "view", "age", "age_bin")),
    *(("view", name) for name in ("age",)),
    ("race", "age_bin"),
)
GROUPED = (("sex",), ("race",), ("view",), ("age_bin",), *CROSSED[:3])  # groups of the evaluation

Cell = frozenset[tuple[str, str]]


class Disclosure:
    """The hidden cells of a split; a cell is named by the levels that its images have."""

    def __init__(self, hidden: Iterable[Cell]) -> None:
        self._hidden = frozenset(hidden)

    def __or__(self, other: Disclosure) -> Disclosure:
        return Disclosure(self._hidden | other._hidden)

    def hides(self, levels: Mapping[str, str]) -> bool:
        """Whether the count of images with these levels is hidden.

        levels: by attribute (`age` is the groups of the bias analysis, `age_bin` the bins), and
        by `label:<finding>` its raw level, or by `target:<finding>` whether it is `with`,
        `without` or `left out`.
        """
        return frozenset(levels.items()) in self._hidden


class _Cells:
    """Cells of a split as they are counted: patients of each, and which add up to which."""

    def __init__(self, patients: np.ndarray) -> None:
        self.patients = patients
        self.index: dict[Cell, int] = {}
        self.counts: list[int] = []
        self.relations: list[Relation] = []

    def count(self, columns: Mapping[str, pd.Series]) -> None:
        """Count one table: a cell for each combination of levels, below those of one level less."""
        codes, names = zip(*(pd.factorize(values) for values in columns.values()), strict=True)
        shape = [len(levels) for levels in names]
        rows = np.ravel_multi_index(codes, shape)
        size = int(np.prod(shape))
        of_cell = patients_per_cell(rows, self.patients, size)
        cells = np.arange(len(self.counts), len(self.counts) + size).reshape(shape)
        for position, levels in zip(np.ndindex(*shape), _products(columns, names), strict=True):
            self.index[levels] = int(cells[position])
        self.counts += of_cell.tolist()
        for axis in range(len(shape)):
            for position in np.ndindex(*(s for i, s in enumerate(shape) if i != axis)):
                line = np.moveaxis(cells, axis, -1)[position]
                others = [key for i, key in enumerate(columns) if i != axis]
                whole = frozenset(
                    (key, str(names[list(columns).index(key)][i]))
                    for key, i in zip(others, position, strict=True)
                )
                total = self.index[whole] if whole else -1
                self.relations.append(Relation(tuple(line.tolist()), total))

    def add(self, members: Iterable[Mapping[str, str]], total: Mapping[str, str]) -> None:
        """One more relation, where its cells exist."""
        cells = [self.index.get(frozenset(levels.items())) for levels in members]
        whole = self.index.get(frozenset(total.items()))
        if whole is not None:
            self.relations.append(Relation(tuple(c for c in cells if c is not None), whole))


def _products(columns: Mapping[str, pd.Series], names: Iterable) -> Iterable[Cell]:
    """The cells of a table in the order of its array."""
    return (
        frozenset(zip(columns, (str(level) for level in levels), strict=True))
        for levels in pd.MultiIndex.from_product(list(names))
        .to_frame()
        .itertuples(index=False, name=None)
    )


def _attributes(records: pd.DataFrame, attributes: Attributes) -> dict[str, pd.Series]:
    """The attributes that the records have, blanks as a level of their own."""
    columns = {
        name: records[name] for name in ("sex", "race", "view", "disease") if name in records
    }
    if "age_bin" in records:
        bins = pd.to_numeric(records.age_bin)
        columns["age_bin"] = bins.map(dict(enumerate(AGE_BINS)))
        columns["age"] = groups_of(records, attributes["age"])
    columns |= {one.name: groups_of(records, one) for one in own(attributes) if one.name in records}
    return {
        name: values.astype("object").where(values.notna(), BLANK)
        for name, values in columns.items()
    }


def _labels(records: pd.DataFrame, finding: str) -> pd.Series:
    words = {value: word for word, value in RAW.items()}
    return records[finding].map(words).astype("object").fillna(BLANK)


def disclosure(
    records: pd.DataFrame,
    minimum: int,
    uncertain: str = "zeros",
    blank: str = "zeros",
    attributes: Attributes = PRESETS,
) -> Disclosure:
    """The cells of one split that no table shows.

    records: of the split; minimum: the fewest patients of a shown cell; uncertain, blank: as in
    `records.targets`; attributes: of the study. Images of which an attribute or a label is blank
    are no secret by themselves, and the first to be hidden beside a small cell.
    """
    cells = _Cells(records.patient_id.to_numpy())
    columns = _attributes(records, attributes)
    for name, values in columns.items():
        cells.count({name: values})
    crossed, grouped = _tables(attributes)
    for names in crossed:
        if set(names) <= set(columns):
            cells.count({name: columns[name] for name in names})
    if attributes["age"].binned:
        _add_ages(cells, columns)
    for finding in findings_of(records):
        _count_finding(cells, records, columns, grouped, finding, uncertain, blank)
    secret, rank = np.ones(len(cells.counts), bool), np.zeros(len(cells.counts))
    for cell, i in cells.index.items():
        unknown = BLANK in dict(cell).values()
        secret[i], rank[i] = not unknown, -9 if unknown else -len(cell)
    hidden = protect(np.array(cells.counts), cells.relations, minimum, secret, rank)
    return Disclosure(cell for cell, i in cells.index.items() if hidden[i])


def _tables(attributes: Attributes) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Pairs of attributes that tables cross, and what they cross with each finding's target."""
    crossed: list[tuple[str, ...]] = [*CROSSED]
    grouped: list[tuple[str, ...]] = [*GROUPED]
    for one in own(attributes):
        crossed += [("disease", one.name), ("view", one.name)]
        grouped.append((one.name,))
    if not attributes["age"].binned:  # its groups may cut through bins
        crossed.append(("age_bin", "age"))
        grouped.append(("age",))
    return crossed, grouped


def _add_ages(cells: _Cells, columns: Mapping[str, pd.Series]) -> None:
    """The bins of an age group add up to it, in all images and in each class."""
    if "age" not in columns:
        return
    ages = pd.DataFrame({"bin": columns["age_bin"], "age": columns["age"]}).drop_duplicates()
    diseases = columns["disease"].unique() if "disease" in columns else []
    for age, bins in ages.groupby("age"):
        for given in ({}, *({"disease": name} for name in diseases)):
            cells.add([{"age_bin": level} | given for level in bins.bin], {"age": age} | given)


def _count_finding(
    cells: _Cells,
    records: pd.DataFrame,
    columns: Mapping[str, pd.Series],
    grouped: Sequence[tuple[str, ...]],
    finding: str,
    uncertain: str,
    blank: str,
) -> None:
    """Count a finding's labels and targets, by every group of patients."""
    label, target = f"label:{finding}", f"target:{finding}"
    labels = _labels(records, finding)
    meaning = {"positive": "with", "negative": "without", BLANK: "without"}
    meaning["uncertain"] = {"zeros": "without", "ones": "with", "ignore": LEFT_OUT}[uncertain]
    if blank == "ignore":
        meaning[BLANK] = LEFT_OUT
    targets = labels.map(meaning)
    cells.count({label: labels})
    cells.count({target: targets})
    for group in grouped:
        if set(group) <= set(columns):
            cells.count({target: targets, **{name: columns[name] for name in group}})
    for word in ("with", "without"):
        members = [{label: level} for level, meant in meaning.items() if meant == word]
        cells.add(members, {target: word})
    if "disease" in columns and finding in set(columns["disease"]) and uncertain != "ones":
        # The class counts the same images, but for the few that are of a class which wins.
        cells.add([{target: "with"}], {"disease": finding})
        for name in (group[0] for group in grouped if len(group) == 1 and group[0] in columns):
            for level in columns[name].unique():
                alike = {target: "with", name: level}
                cells.add([alike], {"disease": finding, name: level})
