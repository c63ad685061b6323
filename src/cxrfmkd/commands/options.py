"""Options of commands that are settings of a study: the same types, limits, defaults and words."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from cxrfmkd.study.settings import Settings
from cxrfmkd.study.settings.base import choices, meaning


def add_settings(parser: argparse.ArgumentParser, section: type[Settings], *names: str) -> None:
    """Add `--name` for settings of `section`; what is out of a setting's limits is refused."""
    for name in names:
        field = section.model_fields[name]
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=option_type(field),
            choices=choices(field) or None,
            default=field.default,
            help=f"{meaning(field)} (default {field.default})",
        )


def output_file(text: str) -> Path:
    """The file that an option says to write; a folder is refused before there is any work."""
    if Path(text).is_dir():  # an empty text is the current one
        raise argparse.ArgumentTypeError(f"{text!r} is a folder or nothing; name a file to write")
    return Path(text)


def option_type(field: FieldInfo) -> Callable[[str], Any]:
    """What turns an option's text into a setting's value, or into a message of what is allowed."""
    limits = tuple(field.metadata)
    annotation: Any = field.annotation
    adapter: TypeAdapter = TypeAdapter(Annotated[annotation, *limits] if limits else annotation)

    def convert(text: str) -> Any:
        try:
            return adapter.validate_python(text)
        except ValidationError as error:
            problem = error.errors()[0]["msg"].replace("Input", repr(text), 1)
            raise argparse.ArgumentTypeError(f"{problem}. It means: {meaning(field)}.") from None

    return convert
