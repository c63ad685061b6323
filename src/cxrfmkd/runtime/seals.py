"""Seals: what the content of a file was when the study wrote it, compared when it is read.

The seal of `metrics.csv` is `.metrics.csv.seal` beside it: its size, its SHA-256 and the rule that
wrote it. A byte that flipped, a file that was cut short, edited or exchanged is then an error, not
another result. A file without a seal, such as a user's own, is read as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from cxrfmkd.runtime.errors import InputError

# Files of this size or more are hashed when they are written and after a change, not by each job.
LARGE = 16 * 2**20


def sha256(path: str | Path) -> str:
    """Hash of a file's content, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal_path(path: Path) -> Path:
    """Where the seal of a file lies."""
    return path.with_name(f".{path.name}.seal")


def replace_sealed(partial: Path, path: Path) -> None:
    """Put the finished file `partial` in the place of `path`, and a seal of its content beside it.

    The seal is on the disk before the file takes its place, so a full disk leaves both as they
    were; between the two there is no seal, never another file's.
    """
    script = Path(sys.argv[0] if sys.argv else "")
    rule = script.stem if script.parent.name == "scripts" else ""
    digest = sha256(partial)
    content = {"bytes": partial.stat().st_size, "sha256": digest, "rule": rule}
    written = path.with_name(f".{os.getpid()}.{seal_path(path).name}")
    try:
        written.write_text(json.dumps(content) + "\n", encoding="utf-8")
        seal_path(path).unlink(missing_ok=True)
        os.replace(partial, path)
        os.replace(written, seal_path(path))
        remember(path, digest)
    finally:
        with suppress(OSError):
            written.unlink(missing_ok=True)


def verify(path: str | Path) -> Path:
    """Return the path of a file whose content is what its seal says, or that has no seal.

    Raises InputError for another content, naming the file and the rule to run again.
    """
    path = Path(path)
    try:
        told = json.loads(seal_path(path).read_bytes())
        expected = int(told["bytes"]), str(told["sha256"])
    except FileNotFoundError:
        return path
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{seal_path(path)}: this seal is damaged. Delete it together with {path.name}, so "
            "that Snakemake makes the file again."
        ) from None
    verify_content(path, *expected, str(told.get("rule", "")))
    return path


def verify_content(path: Path, size: int | None, digest: str, rule: str) -> None:
    """Raise InputError unless the file has this size and SHA-256; a large one as last hashed is."""
    if not path.is_file():
        raise altered(path, "the file is gone, and its seal is there", rule)
    found = path.stat().st_size
    if size is not None and found != size:
        raise altered(path, f"it has {found:,} bytes, and was written with {size:,}", rule)
    if found >= LARGE and _was_verified(path, _stamp(path, digest)):
        return
    if sha256(path) != digest:
        raise altered(path, "its content is not what was written", rule)
    remember(path, digest)


def remember(path: Path, digest: str) -> None:
    """Note that a large file was hashed as it is now, so that no job does it again until a change.

    The note, `.data.npy.verified`, holds its size and times; a copy elsewhere is hashed anew.
    """
    if path.stat().st_size >= LARGE:
        with suppress(OSError):  # of a folder that cannot be written to: then each job reads it
            _verified_path(path).write_text(_stamp(path, digest), encoding="utf-8")


def altered(path: Path, problem: str, rule: str = "") -> InputError:
    """The error for a file that is not as it was written."""
    by = f"the rule {rule}" if rule else "its rule"
    return InputError(
        f"{path}: {problem}. It was damaged, cut short, edited or exchanged since. Delete it, and "
        f"Snakemake runs {by} again."
    )


def written_by(path: Path) -> str:
    """The rule that wrote a file, as its seal says; empty if nothing says so."""
    try:
        return str(json.loads(seal_path(path).read_bytes())["rule"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _verified_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.verified")


def _stamp(path: Path, digest: str) -> str:
    """Digest and times of a file; the change time moves with every write, whatever sets mtime."""
    status = path.stat()
    return f"{digest} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n"


def _was_verified(path: Path, stamp: str) -> bool:
    with suppress(OSError, ValueError):
        return _verified_path(path).read_text(encoding="utf-8") == stamp
    return False
