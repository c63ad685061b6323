"""The one exception for bad input: a message that a user can act on."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Input that the study cannot use.

    The message names the file, row or column, says what was found, and what to do about it.
    Commands print it alone, without a traceback.
    """


class StorageError(InputError):
    """A disk that is full, or a folder that cannot be written to; nothing of the file was kept."""


def did_you_mean(name: object, known: Iterable[str], most: int = 1, mark: str = "`") -> str:
    """A sentence, after a blank, that proposes what of `known` is most like `name`; else nothing.

    mark: what a name stands between.
    """
    close = [f"{mark}{one}{mark}" for one in get_close_matches(str(name), list(known), most)]
    return f" Did you mean {' or '.join(close)}?" if close else ""


def some(items, limit: int = 5) -> str:
    """The first few of `items` for an error message, with the number left out."""
    items = [str(item) for item in items]
    shown = ", ".join(items[:limit])
    return shown if len(items) <= limit else f"{shown}, … ({len(items) - limit} more)"
