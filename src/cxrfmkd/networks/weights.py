"""Files of weights, and what names them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from safetensors import SafetensorError

from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.files import atomic_write, describe_file, read_json
from cxrfmkd.runtime.seals import altered, verify, written_by
from cxrfmkd.vocabulary.findings import FINDINGS

# What safetensors and torch raise for content that they cannot read.
UNREADABLE = (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError, ValueError, KeyError)


def selected_weights(path: str | Path) -> Path:
    """`path` itself, or, for a `selected.json`, the weights that it names.

    Raises InputError for a selection that names none, or weights outside of its own folder.
    """
    path = Path(path)
    if path.suffix != ".json":
        return path
    selected = read_json(path)
    named = PurePosixPath(str(selected.get("weights", ""))) if isinstance(selected, dict) else None
    if named is None or named.suffix != ".safetensors":
        raise altered(path, "it names no weights", written_by(path))
    if named.is_absolute() or ".." in named.parts:
        raise altered(path, f"it points out of its folder, to {named}", written_by(path))
    return path.parent / named


def write_weights(path: str | Path, content: bytes, sealed: bool = True) -> None:
    """Write serialized safetensors, equal bytes for equal content.

    sealed: with the hash beside it that readers of the study's own files compare.

    The library writes the header's names and values in a random order; here they are sorted.
    Format: 8 bytes that give the header's length, the header as JSON, the numbers.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the numbers stay aligned
    with atomic_write(path, sealed=sealed) as partial, open(partial, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.write(memoryview(content)[start:])


def check_header(path: Path, header: Mapping[str, str], expected: Mapping[str, object]) -> None:
    """Raise InputError where the header of weights says something else than is expected.

    expected: header's name -> value, as text; a name that the header lacks is not compared.
    """
    for name, value in expected.items():
        if header.get(name, str(value)) != str(value):
            raise InputError(
                f"{path}: these are weights of {name} {header[name]!r}, not of {str(value)!r}. The "
                "file was exchanged, or belongs to another run: delete it, and Snakemake runs "
                f"{rule_of(path)} again."
            )


def findings_of_outputs(outputs: int | None) -> tuple[str, ...]:
    """What as many outputs of a head are of, where nothing says it: the 14, or not known."""
    return FINDINGS if outputs == len(FINDINGS) else ()


def findings_of_head(path: Path, header: Mapping[str, str], outputs: int) -> tuple[str, ...]:
    """The finding of each of a head's outputs, as its header says; of the 14 it need not say so.

    Empty where nothing is known. Raises InputError where the header names more or fewer.
    """
    if not (told := header.get("findings")):
        return findings_of_outputs(outputs)
    findings = tuple(json.loads(told))
    if len(findings) != outputs:
        raise InputError(
            f"{path}: its header names {len(findings)} findings ({some(findings, 3)}), but its "
            f"head has {outputs} outputs. The file was altered: delete it, and Snakemake runs "
            f"{rule_of(path)} again."
        )
    return findings


def rule_of(path: Path) -> str:
    """The rule that wrote a file, in words."""
    rule = written_by(path)
    return f"the rule {rule}" if rule else "its rule"


@contextmanager
def reading_weights(path: Path, remedy: str = "") -> Iterator[None]:
    """Raise InputError if the block cannot read `path`, saying what it is and what to do.

    Torch's own message for a pickle advises to read it with `weights_only=False`, which would run
    any code that the file holds.
    """
    try:
        if not path.is_file():
            raise InputError(f"{path}: there are no such weights. Train them first.")
        verify(path)
        yield
    except InputError:
        raise
    except UNREADABLE:
        kind = describe_file(path) or "cut short, damaged, or of another format"
        remedy = remedy or "Copy the whole file again, or make it again with the rule that made it."
        raise InputError(
            f"{path}: these weights cannot be read, the file is {kind}. {remedy}"
        ) from None
