"""Attributes of patients and images: the presets, and those that a study declares.

What a job needs of the declared ones travels in its spec (`declared`); presets are known here. The
class of disease, which is always compared, is one of the attributes of the bias analysis.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from types import MappingProxyType

from cxrfmkd.vocabulary.groups import ATTRIBUTES, GROUPS

DISEASE = "disease"
# Whose comparisons the thesis's score adds up.
SCORED = ("race", "sex")
# All other groups of an attribute together, as the second of a comparison.
OTHERS = "others"


@dataclass(frozen=True)
class Attribute:
    """What divides patients or images into groups.

    name: also the column of the records. column: of the raw tables. groups: in the order in which
    they are compared and shown. pairs: the comparisons of the bias analysis, groups or `OTHERS`.
    edges: of a number's groups, the upper ends of all but the last, each included; empty for texts.
    missing: texts of the raw tables that count as blank. protected: whether unequal service of its
    groups would be unfair (sex), rather than a matter of technique (view). declared: by the study,
    which may declare a preset anew.
    """

    name: str
    column: str
    groups: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    edges: tuple[float, ...] = ()
    missing: tuple[str, ...] = ()
    protected: bool = True
    declared: bool = False

    @property
    def binned(self) -> bool:
        """Whether it is the preset age, whose groups are made of `age_bin`."""
        return self.name == "age" and not self.declared

    def describe(self) -> dict:
        """What `declared` reads, for a spec in JSON."""
        values = asdict(self)
        return {key: value for key, value in values.items() if key != "declared"}


Attributes = Mapping[str, Attribute]


def _preset(name: str) -> Attribute:
    groups = GROUPS[name]
    pairs = tuple(combinations(groups, 2))[: 1 if name == DISEASE else None]
    return Attribute(name, name, groups, pairs, protected=name != "view")


# In the order of the bias analysis.
PRESETS: Attributes = {name: _preset(name) for name in GROUPS}
PRESET_NAMES = ATTRIBUTES  # those that a study may leave out


def declared(spec: Mapping = MappingProxyType({})) -> dict[str, Attribute]:
    """All attributes by name: presets, and those that a spec describes, which go before them."""
    result = dict(PRESETS)
    for value in spec.get("attributes", ()):
        result[value["name"]] = Attribute(
            value["name"],
            value["column"],
            tuple(value["groups"]),
            tuple((a, b) for a, b in value["pairs"]),
            tuple(value["edges"]),
            tuple(value["missing"]),
            value["protected"],
            declared=True,
        )
    return result


def own(attributes: Attributes) -> list[Attribute]:
    """Those that are no presets, in order: each is a family of tests of its own."""
    return [one for name, one in attributes.items() if name not in PRESETS]


def declarations(attributes: Attributes) -> list[Attribute]:
    """Those that the study declares, presets among them."""
    return [one for one in attributes.values() if one.declared]


def drawn_by(attributes: Iterable[str], has_sex: bool) -> str:
    """The attribute of whose groups the bias analysis draws as many images each.

    attributes: those that are analysed, one or more; has_sex: whether sex is known. Race where it
    is analysed, or sex; else the first of the study's own; else sex as long as it is known.
    """
    names = list(attributes)
    preferred: list[str] = [name for name in ("race", "sex") if name in names]
    preferred += [name for name in names if name not in PRESETS]
    preferred += ["sex"] if has_sex else []
    return [*preferred, *names][0]
