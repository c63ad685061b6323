"""The one exception for bad input: a message that a user can act on."""

from __future__ import annotations

import re
from pathlib import Path


class InputError(ValueError):
    """Input that the study cannot use.

    The message names the file, row or column, says what was found, and what to do about it.
    Commands print it alone, without a traceback.
    """


class StorageError(InputError):
    """A disk that is full, or a folder that cannot be written to; nothing of the file was kept."""


def some(items, limit: int = 5) -> str:
    """The first few of `items` for an error message, with the number left out."""
    items = [str(item) for item in items]
    shown = ", ".join(items[:limit])
    return shown if len(items) <= limit else f"{shown}, … ({len(items) - limit} more)"


def nameless(error: Exception, path: object) -> str:
    """An error's first line without the file that it is about: a file may be named after a patient.

    So errors of many files count as one, and can be shown. Any other path goes too, such as that
    of the file to which a link leads.
    """
    text = next(iter(str(error).splitlines()), "")
    file = Path(str(path))
    names = {str(path), str(file.resolve()), file.name, file.stem} - {""}
    names |= {repr(name)[1:-1] for name in names}
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "it", text)
    text = re.sub(r"\S*/\S+", "it", text)
    return re.sub(r"(['\"])it\1", "it", text).strip()
