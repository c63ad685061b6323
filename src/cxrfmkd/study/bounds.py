"""A configuration that is no bomb: of a size and a depth that a person writes."""

from __future__ import annotations

from cxrfmkd.runtime.errors import InputError

VALUES, DEPTH = 100_000, 30  # the thesis's configuration has some 200 values, four levels deep


def bounded(config: dict) -> dict:
    """Return `config`; InputError where aliases make it larger or deeper than any configuration.

    A few lines of YAML can stand for billions of values, or for one that holds itself.
    """
    pending: list[tuple[object, int]] = [(config, 0)]
    count = 0
    while pending:
        value, depth = pending.pop()
        count += 1
        if count > VALUES or depth > DEPTH:
            raise InputError(
                f"config: it has more than {VALUES:,} values, or more than {DEPTH} levels. Look "
                "for an alias (*name) that stands within the value of its own anchor (&name), or "
                "for anchors of anchors."
            )
        if isinstance(value, dict):
            pending += ((one, depth + 1) for one in value.values())
        elif isinstance(value, list | tuple):
            pending += ((one, depth + 1) for one in value)
    return config
