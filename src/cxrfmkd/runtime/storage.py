"""Disks that are full and folders that cannot be written to, as one message each."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cxrfmkd.runtime.errors import InputError, StorageError

FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than this process may write",
}
# What numpy and torch say of a write that failed; they drop the operating system's reason.
CUT_SHORT = re.compile(r"\d+ requested and \d+ written|failed writing file|unexpected pos \d+")


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Raise StorageError where the block cannot write `path`, for want of space or of a right."""
    try:
        yield
    except InputError:
        raise
    except (OSError, RuntimeError) as error:
        reason = storage_problem(error, path)
        if not reason:
            raise
        raise StorageError(
            f"{path}: it cannot be written, {reason}. Nothing of it was kept. Free space, or "
            "correct the folder's rights or its path, and start again."
        ) from None


def storage_problem(error: Exception, path: Path) -> str:
    """What of the disk or the folder of `path` made a write fail; empty if something else did."""
    number: int = getattr(error, "errno", None) or 0
    if number in FULL or CUT_SHORT.search(str(error)):
        return f"{FULL.get(number, FULL[errno.ENOSPC])}{_free(path)}"
    if not isinstance(error, OSError):
        return ""
    named = [name for name in (error.filename, error.filename2) if isinstance(name, str)]
    folders = {str(path.parent), *map(str, path.parent.parents)}
    partial = str(path.with_name(f".{os.getpid()}."))
    if not any(name in folders or name == str(path) or name.startswith(partial) for name in named):
        return ""
    if isinstance(error, FileNotFoundError):
        return "its partial file is gone: another process writes the same file, or cleans up"
    return f"{os.strerror(number) if number else error} ({error.filename})"


def _free(path: Path) -> str:
    """How much space is left where `path` lies, as words in brackets."""
    for folder in path.parents:
        try:
            return f" ({shutil.disk_usage(folder).free / 2**20:,.1f} MiB free at {folder})"
        except OSError:
            continue
    return ""


def reserve(file: BinaryIO | int, size: int) -> None:
    """Take `size` bytes of the disk for an open file, before it is written through memory.

    A disk that is full is then an error; while a memory map is written it would end the process
    with a bus error. Raises OSError (ENOSPC).
    """
    descriptor = file if isinstance(file, int) else file.fileno()
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        status = os.fstatvfs(descriptor)  # of a file system that reserves nothing
        if status.f_bavail * status.f_frsize < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
