"""How far a long job is: a bar on a terminal, a line a minute in a log."""

from __future__ import annotations

import logging
import sys
import time
from datetime import timedelta

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 60.0


class Progress:
    """Counts steps.

    what: first words of every line; total: steps of the whole job; done: steps of earlier starts.
    """

    def __init__(self, what: str, total: int, done: int = 0) -> None:
        self.what, self.total, self.done, self.done_before = what, total, done, done
        self.started = self.last_line = time.monotonic()
        self.bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=total, initial=done, desc=what, dynamic_ncols=True)

    def step(self, message: str = "") -> None:
        """One more step is done; `message` tells its result, such as the loss."""
        self.done += 1
        if self.bar is not None:
            self.bar.set_postfix_str(message, refresh=False)
            self.bar.update()
        elif time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            count = f"{self.done} of {self.total}"
            log.info("%s: %s, %s, %s left", self.what, count, message, self.left)

    def say(self, line: str) -> None:
        """A line that stays, such as an epoch's losses."""
        if self.bar is not None:
            self.bar.write(f"{self.what}: {line}", file=sys.stderr)
        else:
            self.last_line = time.monotonic()
            log.info("%s: %s, %s left", self.what, line, self.left)

    @property
    def left(self) -> timedelta:
        """Estimated time to the end, at the speed of this start."""
        rate = (time.monotonic() - self.started) / max(1, self.done - self.done_before)
        return timedelta(seconds=round(rate * (self.total - self.done)))

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self.bar is not None:
            self.bar.close()
