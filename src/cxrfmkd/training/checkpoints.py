"""What a long training needs to go on after a stop, kept outside the workflow's declared outputs.

    with Checkpoints("checkpoints/distill/chexpert/mse/41", minutes=600) as checkpoints:
        ...train, write the outputs...

A checkpoint belongs to one combination of settings, code and data; one of another combination is
refused. Only one process can hold the folder. Shortly before the minutes are over, or at SIGTERM,
the training saves and stops with exit status 75, which a scheduler may retry. The folder is
deleted when the block ends well.
"""

from __future__ import annotations

import logging
import math
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType

import torch

from cxrfmkd.runtime.files import atomic_write, describe_file
from cxrfmkd.runtime.locks import lock

log = logging.getLogger(__name__)

# Exit status of a job that was stopped and can go on: sysexits.h, EX_TEMPFAIL.
STOPPED = 75

# Share of the time budget, at the most so many seconds, that is left for saving and stopping.
RESERVE, LONGEST_RESERVE = 0.1, 300.0

# Seconds to wait for the process that holds a folder: a requeued job may start on another node
# before SLURM has ended its first process, which takes KillWait, 30 s unless a site says otherwise.
PATIENCE = 60.0
# The variable with which trainings leave their last checkpoint to whoever started them.
KEEP = "CXRFMKD_KEEP_CHECKPOINTS"


class Checkpoints:
    """The checkpoint of one run.

    folder: its own; None to keep nothing. minutes: wall-clock budget from now on; None for no
    limit. every: seconds between two checkpoints within an epoch. keep: leave the last one when the
    training is complete, so that it is not lost with a job in which another one failed.
    """

    def __init__(
        self,
        folder: str | Path | None,
        minutes: float | None = None,
        every: float = 300.0,
        keep: bool = False,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.every = every
        self.keep = keep
        self._saved_at = time.monotonic()
        budget = math.inf if minutes is None else 60 * minutes
        self._deadline = self._saved_at + budget - min(RESERVE * budget, LONGEST_RESERVE)
        self._terminated = self._sigterm_waits = False
        self._fingerprint = ""

    def __enter__(self) -> Checkpoints:
        if self.folder is not None:
            self._lock_file = lock(self.folder, PATIENCE)
            for torn in self.folder.glob(".*.state.pt"):
                torn.unlink()
        if threading.current_thread() is threading.main_thread():
            self._former_handler = signal.signal(signal.SIGTERM, self._on_sigterm)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._former_handler)
        if self.folder is None:
            return
        if kind is None and not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock_file.close()

    def load(self, fingerprint: str) -> dict | None:
        """The saved state, if there is one that settings, code and data of `fingerprint` made."""
        self._fingerprint = fingerprint
        if self.folder is None or not (path := self.folder / "state.pt").exists():
            return None
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            reason = describe_file(path) or type(error).__name__
            log.warning("%s cannot be read (%s); starting afresh", path, reason)
            return None
        if saved["fingerprint"] != fingerprint:
            log.warning("%s was made by other settings, code or data; starting afresh", path)
            return None
        return saved["state"]

    def save(self, state: dict) -> None:
        """Write `state` (tensors and plain values) in place of the last one, atomically."""
        self._saved_at = time.monotonic()
        if self.folder is not None:
            with atomic_write(self.folder / "state.pt") as partial:
                torch.save({"fingerprint": self._fingerprint, "state": state}, partial)

    @property
    def due(self) -> bool:
        """Whether the last checkpoint is older than it should be."""
        return self.folder is not None and time.monotonic() - self._saved_at > self.every

    @property
    def stop_reason(self) -> str:
        """Why the training must save and stop now; empty if it need not."""
        if self._terminated:
            return "SIGTERM came"
        return "the time budget is nearly used up" if time.monotonic() > self._deadline else ""

    @contextmanager
    def deferring_sigterm(self) -> Iterator[None]:
        """Within this block SIGTERM only sets `stop_reason`; elsewhere it ends the process."""
        self._sigterm_waits = True
        try:
            yield
        finally:
            self._sigterm_waits = False

    def stop(self) -> None:
        """End the process with the status that says: call me again."""
        log.warning("stopped, since %s; the next start goes on from here", self.stop_reason)
        raise SystemExit(STOPPED)

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        self._terminated = True
        if not self._sigterm_waits:
            raise SystemExit(STOPPED)
