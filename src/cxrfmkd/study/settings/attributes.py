"""Settings of the study's attributes: how a column of the records becomes groups to compare."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from cxrfmkd.runtime.errors import did_you_mean
from cxrfmkd.study.settings.base import Settings
from cxrfmkd.vocabulary.attributes import OTHERS
from cxrfmkd.vocabulary.blanks import is_blank
from cxrfmkd.vocabulary.groups import ATTRIBUTES

# The name of an attribute: a preset, or one of `attributes`, which a study's check looks up.
AttributeName = Annotated[
    str, WithJsonSchema({"anyOf": [{"enum": list(ATTRIBUTES)}, {"type": "string"}]})
]

# What tables, figures and comparisons call something else.
RESERVED = {OTHERS, "all", "blank"}


def _one_pair(value: object) -> object:
    """`[Private, Medicaid]` as `[[Private, Medicaid]]`."""
    is_pair = isinstance(value, list) and value and not any(isinstance(v, list) for v in value)
    return [value] if is_pair else value


class AttributeSection(Settings):
    """One attribute of patients or images, under a name of your choice or that of a preset."""

    column: str = ""
    """column of the dataset's tables; empty for one of the attribute's name"""
    values: list[str] = []
    """the groups, for a column of texts, in the order in which they are compared and shown"""
    edges: list[float] = []
    """the groups, for a column of numbers: where one ends and the next begins, rising; an edge
    belongs to the group below it"""
    labels: list[str] = []
    """names of the groups of `edges`, one more than these; empty for such as `up to 25`"""
    missing: list[str] = []
    """values that count as blank, as a blank cell does"""
    comparisons: Annotated[Literal["all"] | list[list[str]], BeforeValidator(_one_pair)] = "all"
    """of the bias analysis: `all` pairs of groups; or pairs such as `[[Private, Medicaid]]`, of
    which `others` is all other groups together: `[[Private, others]]`"""
    protected: bool = True
    """whether groups should be served alike, as by sex and race, which `bias.attributes` has by
    default; else a matter of technique, as the view"""

    @model_validator(mode="after")
    def _groups_fit(self) -> Self:
        problems = [*_of_texts(self), *_of_numbers(self), *_of_pairs(self)]
        if problems:
            raise ValueError(" ".join(problems))
        return self

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the groups, in order; none where a preset's are kept."""
        if not self.edges:
            return tuple(self.values)
        if self.labels:
            return tuple(self.labels)
        ends = [f"{edge:g}" for edge in self.edges]
        between = [f"{low} to {high}" for low, high in pairwise(ends)]
        return (f"up to {ends[0]}", *between, f"over {ends[-1]}")


def _of_texts(section: AttributeSection) -> list[str]:
    """Problems of the groups' names."""
    if section.values and section.edges:
        return ["`values` are of texts and `edges` of numbers; give one of them."]
    if section.values and len(section.values) < 2:
        return [f"`values` has {section.values[0]} alone, and nothing to compare it with."]
    names = section.groups
    problems = []
    if twice := sorted({name for name in names if names.count(name) > 1}):
        problems.append(f"{', '.join(twice)}: two groups have this name.")
    if taken := [name for name in names if name.strip().lower() in RESERVED]:
        quoted = ", ".join(f"`{name}`" for name in taken)
        problems.append(f"{quoted}: a group cannot have this name, which has another meaning.")
    if blank := [name for name in names if is_blank(name)]:
        quoted = ", ".join(f"`{name}`" for name in blank)
        problems.append(f"{quoted}: tables read this as a blank cell. Give the group another name.")
    if edged := [name for name in names if name != name.strip()]:
        problems.append(f"`{edged[0]}`: a group's name neither begins nor ends with a blank.")
    if both := [name for name in section.missing if name in names]:
        problems.append(f"{', '.join(both)}: it is a group, and in `missing`.")
    return problems


def _of_numbers(section: AttributeSection) -> list[str]:
    """Problems of `edges` and `labels`."""
    edges, labels = section.edges, section.labels
    if labels and not edges:
        return ["`labels` name the groups of `edges`, of which there are none."]
    if any(low >= high for low, high in pairwise(edges)):
        return [f"edges: {edges} must rise, each above the one before it."]
    if labels and len(labels) != len(edges) + 1:
        count = len(edges) + 1
        return [f"labels: {len(edges)} edges make {count} groups; there are {len(labels)} names."]
    return []


def _of_pairs(section: AttributeSection) -> list[str]:
    """Problems of `comparisons`; those of a preset's own groups are found by `study.attributes`."""
    if section.comparisons == "all" or not section.groups:
        return []
    return pair_problems(section.comparisons, section.groups)


def pair_problems(pairs: list[list[str]], groups: tuple[str, ...]) -> list[str]:
    """What is wrong with the comparisons of an attribute with these groups."""
    problems = []
    for pair in pairs:
        words = f"comparisons: {pair}"
        if len(pair) != 2 or pair[0] == pair[1]:
            problems.append(f"{words} must be two different groups.")
            continue
        if pair[0] == OTHERS:
            problems.append(f"{words}: write [{pair[1]}, {OTHERS}].")
            continue
        for name in (name for name in pair if name not in (*groups, OTHERS)):
            hint = f"{did_you_mean(name, groups)} There are {', '.join(groups)}."
            problems.append(f"{words}: there is no group `{name}`.{hint}")
    ordered = [tuple(sorted(pair)) for pair in pairs]
    if len(set(ordered)) < len(ordered):
        problems.append("comparisons: a pair stands there twice.")
    return problems
