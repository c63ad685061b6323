"""Settings of the label set: the findings of a study, their averages and its exclusive classes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from typing import Any, Self

from pydantic import model_validator

from cxrfmkd.runtime.errors import did_you_mean
from cxrfmkd.study.settings.base import Settings
from cxrfmkd.vocabulary.blanks import is_blank
from cxrfmkd.vocabulary.findings import AVERAGES, CLASSES, FINDINGS, MACRO, NONE, OTHER, SEVEN

# Columns of records and predictions, and words that tables put in the place of a finding.
RESERVED = {
    *"image_id patient_id study_id path sex age race view split disease age_bin".split(),
    *(MACRO, OTHER, "all", "findings", "labels", "reader", "unit"),
}


class Findings(Settings):
    """What a study's classifiers tell apart.

    Defaults are the 14 of CheXpert with the thesis's groupings. With other `names`, what is not set
    beside them follows from the names, as each setting says.
    """

    names: list[str] = list(FINDINGS)
    """the findings, in the order of records, heads and predictions; a dataset that knows nothing
    of one has no column of it"""
    none: str | None = NONE
    """the finding that says that there is none; null for none such. With other names: `No Finding`
    where it is one of them"""
    averages: dict[str, list[str]] = {k: list(v) for k, v in AVERAGES.items() if k != MACRO}
    """groups of findings whose means the tables show beside `Macro`, the mean of all; performance
    against bias is of the first. With other names: no groups"""
    classes: list[str] = list(CLASSES)
    """exclusive classes of images, in their order of precedence, for the resampled test set and the
    bias analysis: an image is of the first whose label is 1, else `Other`. With other names: the
    thesis's where they are among them, else the first finding and that of `none`"""
    focused: list[str] = list(SEVEN)
    """findings of the focused table and of figures with room for few, in order. With other names:
    the first seven"""

    @model_validator(mode="before")
    @classmethod
    def _following_names(cls, values: Any) -> Any:
        names = values.get("names") if isinstance(values, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return values
        if set(names) == set(FINDINGS):
            return values
        none = values.get("none", NONE if NONE in names else None)
        classes = [name for name in CLASSES if name in names]
        if len(classes) < len(CLASSES):
            first = next((name for name in names if name != none), None)
            classes = [name for name in (first, none) if name is not None]
        follow = {"none": none, "averages": {}, "classes": classes, "focused": names[:7]}
        return follow | values

    @model_validator(mode="after")
    def _fit(self) -> Self:
        _check_names(self.names)
        groups = {"none": [self.none] if self.none is not None else []}
        groups |= {"classes": self.classes, "focused": self.focused}
        groups |= {f"averages.{name}": members for name, members in self.averages.items()}
        for setting, members in groups.items():
            _check_members(setting, members, self.names)
        if taken := {*self.names, MACRO, ""} & {*self.averages}:
            raise ValueError(f"`averages` are called {', '.join(taken)}, which are other rows.")
        if blank := [name for name in (*self.names, *self.averages) if is_blank(name)]:
            raise ValueError(
                f"{', '.join(blank)}: tables read this as a blank cell. Choose another name."
            )
        if empty := [name for name, members in self.averages.items() if not members]:
            raise ValueError(f"averages.{empty[0]} has no finding.")
        return self

    @cached_property
    def means(self) -> dict[str, tuple[str, ...]]:
        """Findings of each average, as tables call it: of all, then of each group."""
        groups = {name: tuple(members) for name, members in self.averages.items()}
        return {MACRO: tuple(self.names)} | groups

    @cached_property
    def rows(self) -> tuple[str, ...]:
        """What is measured: the findings, then their averages."""
        return (*self.names, *self.means)

    @cached_property
    def by_relevance(self) -> tuple[str, ...]:
        """The findings in the order of tables and figures: of the focused table, then the others.

        These stand as the averages name them.
        """
        grouped = (name for members in self.averages.values() for name in members)
        return tuple(dict.fromkeys([*self.focused, *grouped, *self.names]))

    @property
    def headline(self) -> str:
        """The average that performance against bias is of: the first group, or of all."""
        return next(iter(self.averages), MACRO)

    @property
    def focused_rows(self) -> tuple[str, ...]:
        """Rows of the focused table: its findings, then the averages of groups, or of all."""
        return (*self.focused, *(self.averages or [MACRO]))

    @property
    def groups_of_disease(self) -> tuple[str, ...]:
        """The exclusive classes in their order of precedence, `Other` last."""
        return (*self.classes, OTHER)

    @property
    def levels_of_disease(self) -> tuple[str, ...]:
        """The exclusive classes in the order of `names`, as counts show them."""
        return (*sorted(self.classes, key=self.names.index), OTHER)

    @property
    def is_thesis(self) -> bool:
        """Whether these are the 14 findings with the thesis's groupings."""
        return self == THESIS

    def within(self, names: Iterable[str]) -> Findings:
        """These findings as far as `names` has them, as of a dataset that lacks some."""
        present = set(names)
        if present >= {*self.names}:
            return self
        kept = {k: [f for f in of if f in present] for k, of in self.averages.items()}
        return Findings(
            names=[name for name in self.names if name in present],
            none=self.none if self.none in present else None,
            averages={name: members for name, members in kept.items() if members},
            classes=[name for name in self.classes if name in present],
            focused=[name for name in self.focused if name in present],
        )

    @classmethod
    def of_spec(cls, spec: dict) -> Findings:
        """The study's findings from a job's spec, which names those alone that are not the 14."""
        return cls.from_spec(spec["findings"]) if "findings" in spec else THESIS


def _check_names(names: Sequence[str]) -> None:
    if not names:
        raise ValueError("`names` must name a finding.")
    if len(set(names)) < len(names):
        raise ValueError("`names` has a name twice.")
    if bad := [name for name in names if not name or name != name.strip() or "\n" in name]:
        raise ValueError(f"{bad} cannot be names of columns: blank, or with blanks at their ends.")
    if taken := [name for name in names if name in RESERVED]:
        raise ValueError(f"{', '.join(taken)}: other columns or rows have this name.")


def _check_members(setting: str, members: Sequence[str], names: Collection[str]) -> None:
    for name in members:
        if name not in names:
            raise ValueError(f"`{setting}` has {name}, none of `names`.{did_you_mean(name, names)}")
    if len(set(members)) < len(members):
        raise ValueError(f"`{setting}` has a finding twice.")


THESIS = Findings()
