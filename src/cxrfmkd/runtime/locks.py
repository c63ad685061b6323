"""One process at a time in a folder."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.storage import storage_errors

log = logging.getLogger(__name__)


def lock(folder: Path, patience: float = 0.0) -> TextIO:
    """The lock of a folder, until it is closed or the process ends.

    InputError when another process holds it for longer than `patience` seconds.
    """
    with storage_errors(folder / "lock"):
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / "lock", "a+", encoding="utf-8")  # noqa: SIM115, stays open on purpose
    try:
        if not _acquired(file, patience):
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise InputError(
                f"{folder}: another process ({holder}) is at work on this. Wait until it has "
                "ended, or end it."
            )
        if not os.fstat(file.fileno()).st_nlink:  # its former holder ended well and removed it
            file.close()
            return lock(folder, patience)
    except OSError as error:
        log.warning("%s: this file system has no locks (%s)", folder, error)
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    return file


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock within the block; then it goes, and the folder too if it is empty."""
    with lock(folder):
        try:
            yield
        finally:
            (folder / "lock").unlink(missing_ok=True)
            with suppress(OSError):  # shards of a run that did not end stay
                folder.rmdir()


def _acquired(file: TextIO, patience: float) -> bool:
    """Whether the lock could be had before patience ended."""
    end = None
    while end is None or time.monotonic() < end:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        end = time.monotonic() + patience if end is None else end
        time.sleep(min(0.5, patience))
    return False
