"""The one exception for bad input: a message that a user can act on."""


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
