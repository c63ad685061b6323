"""Snakemake's progress as one line a step in plain words: `--logger steps`.

    [12 of 86] Packing the images of mimic (about 4 minutes left)

Snakemake finds the package by its name. Errors, with the failed rule's log, are shown as Snakemake
shows them, and followed by what to do.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import deque

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

# Snakemake's words in a record: the user pressed Ctrl-C; another process holds the lock.
INTERRUPTED, LOCKED = "Terminating processes on user request", "LockException"
SHOWN = (LogEvent.ERROR, LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR)
STOPPED = "Stopping. Run the same command again and it goes on where it was."
UNLOCK = (
    "Another run is at work in this folder, or one was killed. If none is at work: make unlock, "
    "then the same command again; it goes on where it was."
)


class LogHandler(LogHandlerBase):
    """Prints a line when a step begins, and what goes wrong."""

    def __post_init__(self) -> None:
        self.stream = sys.stdout if self.common_settings.stdout else sys.stderr
        self.total, self.started, self.done = 0, 0, 0
        self.pace = Pace()

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record if it is one for the user."""
        facts = vars(record)  # what Snakemake adds to a record of each event
        event = facts.get("event")
        if event == LogEvent.RUN_INFO:
            self.total = sum(n for rule, n in facts["stats"].items() if rule != "total")
            self.say(f"{self.total} steps; the log of each is below logs/")
        elif event == LogEvent.JOB_INFO:
            self.started += 1
            words = (facts["rule_msg"] or facts["rule_name"]).splitlines()[0]
            left = self.pace.left(self.total - self.done)
            self.say(f"[{self.started} of {max(self.total, self.started)}] {words}{left}")
        elif event == LogEvent.PROGRESS:
            self.total, self.done = facts["total"], facts["done"]
            self.pace.step(self.done)
        elif INTERRUPTED in record.getMessage():
            self.say(STOPPED)
        elif event in SHOWN or record.levelno >= logging.ERROR:
            self.say(self.format(record))
            if LOCKED in (facts.get("exception"), record.getMessage().split("\n")[0]):
                self.say(UNLOCK)

    def say(self, line: str) -> None:
        """Print at once, also into a pipe."""
        print(line, file=self.stream, flush=True)

    @property
    def writes_to_stream(self) -> bool:
        """It takes the place of Snakemake's own lines."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """It does not."""
        return False

    @property
    def has_filter(self) -> bool:
        """It chooses itself what to print."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Errors are formatted by Snakemake."""
        return False

    @property
    def needs_rulegraph(self) -> bool:
        """It does not."""
        return False


class Pace:
    """Time that is left at the pace of the latest steps, of which early ones may be untypical."""

    def __init__(self, steps: int = 20) -> None:
        self.times = deque([(0, time.monotonic())], steps + 1)

    def step(self, done: int) -> None:
        """So many steps are done by now."""
        self.times.append((done, time.monotonic()))

    def left(self, steps: int) -> str:
        """In words, for so many steps; empty while nothing is known."""
        (first, start), (last, end) = self.times[0], self.times[-1]
        if last == first:
            return ""
        minutes = (end - start) / (last - first) * steps / 60
        if minutes < 1:
            return " (less than a minute left)"
        return f" (about {minutes:.0f} minute{'s' * (round(minutes) != 1)} left)"
