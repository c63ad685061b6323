"""Work in other processes and threads; no process outlives the one that started it."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


def parallel_map(
    function: Callable[[Job], Result], jobs: Iterable[Job], workers: int
) -> Iterator[Result]:
    """Yield `function(job)` of every job in the order in which they finish.

    The function must be importable or a `functools.partial` of one. The first error ends the work:
    jobs that have not begun are dropped. Workers are fresh interpreters (no fork of a process with
    threads), and end when this process dies, even by SIGKILL; `workers` of 1 means this process.
    """
    if workers == 1:
        yield from map(function, jobs)
        return
    pool = process_pool(workers)
    try:
        for done in as_completed([pool.submit(function, job) for job in jobs]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def process_pool(workers: int) -> ProcessPoolExecutor:
    """A pool of fresh interpreters that end when this process ends."""
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=end_with_parent)


def read_ahead(
    pool: Executor, function: Callable[[Job], Result], jobs: Iterable[Job], ahead: int
) -> Iterator[Result]:
    """Yield `function(job)` of every job in order; the pool works on up to `ahead` of them."""
    remaining = iter(jobs)
    pending: deque[Future[Result]] = deque()
    while True:
        for job in islice(remaining, ahead - len(pending)):
            pending.append(pool.submit(function, job))
        if not pending:
            return
        yield pending.popleft().result()


def end_with_parent() -> None:
    """Initializer of a pool's workers: end when the parent has ended, in whatever way."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    parent = parent_process()
    assert parent is not None, "only a worker has a parent"

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
