"""Files of weights, and what names them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import atomic_write, describe_file, read_json

# What safetensors and torch raise for content that they cannot read.
UNREADABLE = (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError, ValueError, KeyError)


def selected_weights(path: str | Path) -> Path:
    """`path` itself, or, for a `selected.json`, the weights that it names."""
    path = Path(path)
    return path.parent / read_json(path)["weights"] if path.suffix == ".json" else path


def write_weights(path: str | Path, content: bytes) -> None:
    """Write serialized safetensors, equal bytes for equal content.

    The library writes the header's names and values in a random order; here they are sorted.
    Format: 8 bytes that give the header's length, the header as JSON, the numbers.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the numbers stay aligned
    with atomic_write(path) as partial, open(partial, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.write(memoryview(content)[start:])


@contextmanager
def reading_weights(path: Path, remedy: str = "") -> Iterator[None]:
    """Raise InputError if the block cannot read `path`, saying what it is and what to do.

    Torch's own message for a pickle advises to read it with `weights_only=False`, which would run
    any code that the file holds.
    """
    try:
        yield
    except InputError:
        raise
    except UNREADABLE:
        kind = describe_file(path) or "cut short, damaged, or of another format"
        remedy = remedy or "Copy the whole file again, or make it again with the rule that made it."
        raise InputError(
            f"{path}: these weights cannot be read, the file is {kind}. {remedy}"
        ) from None
