"""What every section of the settings has in common, and messages for values that are refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core.core_schema import no_info_after_validator_function

from cxrfmkd.runtime import plugins
from cxrfmkd.runtime.errors import InputError, did_you_mean

SCIENTIFIC = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")  # PyYAML wants 1.0e-4


class Settings(BaseModel):
    """One section: typed, documented by the text below each field, frozen, closed to other names.

    Nothing is converted but what YAML takes for another type: 1e-4 is a text to it, and a name such
    as 2024 a number. Otherwise a text is not read as a number, nor a float as an integer; an
    integer may stand for a float.
    """

    model_config = ConfigDict(
        allow_inf_nan=False,
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _of_yaml(cls, value: Any, info: ValidationInfo) -> Any:
        return _as_meant(value, cls.model_fields[str(info.field_name)].annotation)

    @classmethod
    def read(cls, values: Any, prefix: str = "config, ") -> Self:
        """Settings from what a user wrote; raises InputError with all that are refused."""
        try:
            return cls.model_validate(values)
        except ValidationError as errors:
            details = sorted(errors.errors(), key=lambda e: e["type"] != "extra_forbidden")
            messages = [_message(cls, detail, prefix) for detail in details]
            raise InputError("\n".join(dict.fromkeys(messages))) from None

    @classmethod
    def from_spec(cls, values: dict) -> Self:
        """Settings from a job's spec, which must say each of them: no default fills a gap."""
        if absent := [name for name in cls.model_fields if name not in values]:
            raise InputError(f"spec: {cls.__name__} lacks {', '.join(absent)}.")
        return cls.read(values, f"spec, {cls.__name__}: ")


def _as_meant(value: Any, annotation: Any) -> Any:
    """What YAML made of a setting, as its type means it: 1e-4 a number, 2024 a name."""
    kind, parts = get_origin(annotation), get_args(annotation)
    if annotation is float and isinstance(value, str) and SCIENTIFIC.fullmatch(value):
        return float(value)
    if annotation is str and type(value) is int:
        return str(value)
    if kind is Annotated:
        return _as_meant(value, parts[0])
    if kind is list and isinstance(value, list):
        return [_as_meant(one, parts[0]) for one in value]
    if kind is dict and isinstance(value, dict):
        return {_as_meant(k, parts[0]): _as_meant(v, parts[1]) for k, v in value.items()}
    if kind in (Union, UnionType):
        meant = (_as_meant(value, part) for part in parts)
        return next((one for one in meant if one is not value), value)
    return value


def _message(cls: type[Settings], error: Any, prefix: str) -> str:
    """An error in words: the setting's full name, what was refused, and what is allowed."""
    kind, value = error["type"], error["input"]
    path = [step for step in error["loc"] if step != "[key]"]
    if kind in ("extra_forbidden", "missing"):
        *path, name = path
    place = (prefix + ".".join(map(str, path))).rstrip(" ,.:")
    if kind == "extra_forbidden":
        section, _ = _descend(cls, path)
        names = ", ".join(section.model_fields)
        hint = did_you_mean(name, section.model_fields) or f" The settings there are {names}."
        return f"{place}: there is no setting `{name}`.{hint}"
    if kind == "missing":
        _, field = _descend(cls, [*path, name])
        allowed = f" It must be one of {', '.join(choices(field))}." if choices(field) else ""
        full = ".".join(map(str, [*path, name]))
        return f"{prefix}{full} is missing.{allowed}{_meaning(field)}"
    if kind == "value_error":
        return f"{place}: {error['ctx']['error']}"
    _, field = _descend(cls, path)
    hint = _nearest(value, error)
    if kind == "string_type" and isinstance(value, bool):
        hint = " YAML reads yes, no, on and off as true and false; write such a text in quotes."
    return f"{place}: {error['msg'].replace('Input', repr(value), 1)}.{hint}{_meaning(field)}"


def _nearest(value: Any, error: Any) -> str:
    """The allowed text that is most like the one that was refused, if any is."""
    allowed = re.findall("'([^']+)'", error.get("ctx", {}).get("expected", ""))
    return did_you_mean(value, allowed)


def _meaning(field: FieldInfo | None) -> str:
    return f" It means: {meaning(field)}." if field and field.description else ""


def meaning(field: FieldInfo) -> str:
    """What a setting means, on one line."""
    return " ".join((field.description or "").split())


def plain_default(field: FieldInfo) -> Any:
    """A setting's default as it would stand in a configuration."""
    return field.default.model_dump() if isinstance(field.default, Settings) else field.default


def choices(field: FieldInfo) -> list[str]:
    """The texts that a setting may have; empty where it may have any."""
    for choice in field.metadata:
        if isinstance(choice, Choice):
            return list(choice.ours)
    options = get_args(field.annotation)
    if get_origin(field.annotation) is Literal:
        return list(options)
    return [text for option in options for text in get_args(option)]


def _descend(cls: type[Settings], path: Sequence[int | str]) -> tuple[type[Settings], Any]:
    """The section that the end of `path` stands in, and its field; None where it is no field."""
    section, field = cls, None
    steps = iter(path)
    for step in steps:
        if isinstance(step, str) and step in section.model_fields:
            field = section.model_fields[step]
            section = next(_sections_in(field.annotation), section)
            if get_origin(field.annotation) is dict:
                next(steps, None)  # a name of the user's
    return section, field


def _sections_in(annotation: Any):
    """Settings classes in a type such as `dict[str, Dataset]`."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for part in get_args(annotation):
        yield from _sections_in(part)


@dataclass(frozen=True)
class Choice:
    """Metadata of a text: one of ours, or the name of a piece of that kind in a user's file.

    word: what the setting is called in messages.
    """

    kind: str
    word: str
    ours: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """A text, which `check` must let pass."""
        return no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict:
        """Any text; editors propose ours."""
        return {"anyOf": [{"enum": list(self.ours), "type": "string"}, {"type": "string"}]}

    def check(self, name: str) -> str:
        """`name`, if there is such a piece."""
        own = sorted(plugins.names(self.kind))
        if name not in (*self.ours, *own):
            known = [*self.ours, *own]
            raise ValueError(
                f"there is no {self.word} `{name}`.{did_you_mean(name, known)} There are "
                f"{', '.join(known)}; a file of `plugins` may add one."
            )
        return name


def _different(seeds: list[int]) -> list[int]:
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"{seeds} must be one or more different seeds.")
    return seeds


Seeds = Annotated[list[int], AfterValidator(_different)]

# One text or several; a single one is written as such.
Texts = Annotated[
    list[str],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    PlainSerializer(lambda texts: texts[0] if len(texts) == 1 else texts),
    WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}}),
]

# A section that is written back as the user wrote it, without defaults.
AsWritten = PlainSerializer(lambda settings: settings.model_dump(exclude_unset=True))
