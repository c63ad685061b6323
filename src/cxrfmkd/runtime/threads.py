"""A compiled loop run in parallel on the cores that this process may use."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def cores() -> int:
    """Cores to use: OMP_NUM_THREADS if set (Snakemake sets it for every job), else all allowed."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return int(threads) if threads.isdigit() and int(threads) else len(os.sched_getaffinity(0))


def parallel_for(work: Callable[[int, int], None], count: int, block: int) -> None:
    """Call `work(start, stop)` for the consecutive blocks of range(count), several at a time.

    `work` must release the interpreter's lock (numba's nogil, torch) and write to memory that no
    other block writes to, so that the result does not depend on the number of threads.
    """
    starts = range(0, count, block)
    if cores() == 1 or len(starts) < 2:
        for start in starts:
            work(start, min(start + block, count))
        return
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(lambda start: work(start, min(start + block, count)), starts))
