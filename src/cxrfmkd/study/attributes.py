"""The attributes of a study: the presets, and those of the configuration's `attributes`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from cxrfmkd.runtime.errors import InputError, did_you_mean
from cxrfmkd.study.settings import Configuration
from cxrfmkd.study.settings.attributes import AttributeSection, pair_problems
from cxrfmkd.vocabulary.attributes import (
    DISEASE,
    PRESET_NAMES,
    PRESETS,
    Attribute,
    Attributes,
)
from cxrfmkd.vocabulary.blanks import BLANK
from cxrfmkd.vocabulary.groups import AGE_GROUP_EDGES

NAME = re.compile("[a-z][a-z0-9_]*")
# Columns of records and of tables by group, and what stands in the place of an attribute there.
TAKEN = (
    "image_id patient_id study_id path split age_bin weight sample images patients studies "
    f"findings all mean combined teacher loss model dataset finding label target {DISEASE}"
).split()


def with_defaults(settings: Configuration) -> Configuration:
    """`settings`, whose evaluation and bias analysis have declared attributes where none are named.

    The bias analysis has those that are protected.
    """
    sections = settings.attributes
    names = list(dict.fromkeys([*PRESET_NAMES, *sections]))
    protected = [name for name in names if _is_protected(name, sections.get(name))]
    filled = {
        stage: section.model_copy(update={"attributes": default})
        for stage, default in (("evaluation", names), ("bias", protected))
        if "attributes" not in (section := getattr(settings, stage)).model_fields_set
    }
    return settings.model_copy(update=filled)


def _is_protected(name: str, section: AttributeSection | None) -> bool:
    """Whether an attribute is protected: as it is declared, a preset else as it is known."""
    if section is None or (name in PRESETS and "protected" not in section.model_fields_set):
        return PRESETS[name].protected
    return section.protected


def resolve(sections: Mapping[str, AttributeSection], findings: Sequence[str]) -> Attributes:
    """All attributes by name, presets first; raises InputError with every problem of `sections`.

    findings: of the study, whose names an attribute cannot have.
    """
    if problems := list(_problems(sections, [*TAKEN, *BLANK, *findings])):
        raise InputError("\n".join(problems))
    return {**PRESETS, **{name: _attribute(name, one) for name, one in sections.items()}}


def _attribute(name: str, section: AttributeSection) -> Attribute:
    preset = PRESETS.get(name)
    groups = section.groups or (preset.groups if preset else ())
    pairs = tuple(combinations(groups, 2))
    if section.comparisons != "all":
        pairs = tuple((a, b) for a, b in section.comparisons)
    edges = section.edges or (AGE_GROUP_EDGES if name == "age" else ())
    return Attribute(
        name,
        section.column or name,
        groups,
        pairs,
        tuple(edges),
        tuple(section.missing),
        _is_protected(name, section),
        declared=True,
    )


def _problems(sections: Mapping[str, AttributeSection], taken: list[str]) -> Iterator[str]:
    columns = {name: name for name in PRESET_NAMES if name not in sections}
    for name, section in sections.items():
        place = f"attributes.{name}"
        if name in taken:
            yield f"{place}: {name} is a column of every table of records, or a word of the tables."
        elif not NAME.fullmatch(name):
            yield f"{place}: a name begins with a small letter and has small letters, digits and _."
        column = section.column or name
        if column in columns:
            yield f"{place}: {columns[column]} is of the column `{column}` too. Keep one of them."
        columns[column] = name
        yield from (f"{place}: {problem}" for problem in _of_kind(name, section))


def _of_kind(name: str, section: AttributeSection) -> Iterator[str]:
    """Problems of the groups that depend on whether there is such a preset."""
    if name not in PRESETS and not section.groups:
        yield "it needs `values`, its groups, or `edges`, if it is a number."
    if name == "age" and section.values:
        yield "ages are numbers; give `edges` instead of `values`."
    if name in ("sex", "race", "view") and section.edges:
        yield f"{name} is no number; give `values` instead of `edges`."
    if name in PRESETS and not section.groups and section.comparisons != "all":
        yield from pair_problems(section.comparisons, PRESETS[name].groups)


def unknown(names: list[str], attributes: Attributes) -> Iterator[str]:
    """A problem for each name that is no attribute that a study can ask for."""
    known = [name for name in attributes if name != DISEASE]
    for name in names:
        if name not in known:
            yield (
                f"there is no attribute `{name}`.{did_you_mean(name, known)} There are "
                f"{', '.join(known)}; `attributes` may declare others."
            )
