"""What every section of the settings has in common, and messages for values that are refused."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo

from cxrfmkd.runtime.errors import InputError


class Settings(BaseModel):
    """One section: typed, documented by the text below each field, frozen, closed to other names.

    Nothing is converted: a text is not read as a number, nor a float as an integer; an integer may
    stand for a float.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )

    @classmethod
    def read(cls, values: Any, prefix: str = "config, ") -> Self:
        """Settings from what a user wrote; raises InputError at the first that is refused."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise InputError(_message(cls, error, prefix)) from None

    @classmethod
    def from_spec(cls, values: dict) -> Self:
        """Settings from a job's spec, which must say each of them: no default fills a gap."""
        if absent := [name for name in cls.model_fields if name not in values]:
            raise InputError(f"spec: {cls.__name__} lacks {', '.join(absent)}.")
        return cls.read(values, f"spec, {cls.__name__}: ")


def _message(cls: type[Settings], error: ValidationError, prefix: str) -> str:
    """The first error in words: the setting's full name, what was refused, and what is allowed."""
    errors = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    kind, path, value = errors[0]["type"], list(errors[0]["loc"]), errors[0]["input"]
    path = [step for step in path if step != "[key]"]
    if kind in ("extra_forbidden", "missing"):
        *path, name = path
    place = (prefix + ".".join(map(str, path))).rstrip(" ,.:")
    if kind == "extra_forbidden":
        section, _ = _descend(cls, path)
        close = difflib.get_close_matches(str(name), section.model_fields, 1)
        names = ", ".join(section.model_fields)
        hint = f"Did you mean `{close[0]}`?" if close else f"The settings there are {names}."
        return f"{place}: there is no setting `{name}`. {hint}"
    if kind == "missing":
        _, field = _descend(cls, [*path, name])
        allowed = f" It must be one of {', '.join(choices(field))}." if choices(field) else ""
        full = ".".join(map(str, [*path, name]))
        return f"{prefix}{full} is missing.{allowed}{_meaning(field)}"
    if kind == "value_error":
        return f"{place}: {errors[0]['ctx']['error']}"
    _, field = _descend(cls, path)
    return f"{place}: {errors[0]['msg'].replace('Input', repr(value), 1)}.{_meaning(field)}"


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
