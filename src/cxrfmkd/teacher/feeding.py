"""Images read and packed by a pool of processes, in order, a few ahead of the model that takes them."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cxrfmkd.runtime.processes import leave_with_parent
from cxrfmkd.teacher.example import example, png
from cxrfmkd.teacher.raster import read_image

AHEAD = 4  # images in flight per process


@dataclass(frozen=True)
class Image:
    """An image ready for the model, or why it is not.

    example: serialized tf.train.Example; empty if `error` says something.
    """

    example: bytes = b""
    height: int = 0
    width: int = 0
    bits: int = 0
    error: str = ""


def pack(path: Path, level: int = 0) -> Image:
    """Read one file and wrap it, compressed by `level`; whatever goes wrong becomes the image's
    `error`.

    An error does not name the file: it is counted in logs.
    """
    try:
        pixels = read_image(path)
        height, width = pixels.shape
        return Image(example(png(pixels, level)), height, width, 8 * pixels.dtype.itemsize)
    except FileNotFoundError:
        return Image(error="the image file is missing")
    except Exception as error:
        reason = " ".join(str(error).replace(str(path), "it").split())
        return Image(error=f"unreadable image: {type(error).__name__}: {reason}")


class Feeder:
    """A pool of `workers` processes; with one, images are read in this process."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool = (
            ProcessPoolExecutor(
                workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=leave_with_parent,
            )
            if workers > 1
            else None
        )

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def images(self, paths: Sequence[Path]) -> Iterator[Image]:
        """The images of `paths`, one for each, in their order."""
        if self._pool is None:
            yield from map(pack, paths)
            return
        remaining = iter(paths)
        waiting: deque[Future[Image]] = deque()
        while True:
            for path in islice(remaining, AHEAD * self.workers - len(waiting)):
                waiting.append(self._pool.submit(pack, path))
            if not waiting:
                return
            yield waiting.popleft().result()
