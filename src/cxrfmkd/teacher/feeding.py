"""Images read by a pool of processes, in order, a few ahead of the model that embeds them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from cxrfmkd.datasets.decoding import nameless
from cxrfmkd.runtime.processes import process_pool, read_ahead
from cxrfmkd.teacher.images import encode_png, read_image
from cxrfmkd.teacher.rows import EmbeddingRow, EmbeddingSource

Input = TypeVar("Input")

IMAGES_PER_WORKER = 4  # read ahead of the model


@dataclass(frozen=True)
class EncodedImage:
    """An image ready for the model, or the reason why it is not.

    png: the greyscale PNG that the model gets; empty if there is an error.
    """

    path: Path
    png: bytes = b""
    height: int = 0
    width: int = 0
    bits: int = 0
    error: str = ""


def encode_image(path: Path, level: int = 0) -> EncodedImage:
    """Read one file and encode it, compressed by `level`; a failure becomes the image's `error`.

    An error does not name the file, since logs count errors.
    """
    try:
        pixels = read_image(path)
        height, width = pixels.shape
        return EncodedImage(
            path, encode_png(pixels, level), height, width, 8 * pixels.dtype.itemsize
        )
    except FileNotFoundError:
        return EncodedImage(path, error="the image file is missing")
    except Exception as error:
        reason = f"unreadable image: {type(error).__name__}: {nameless(error, path)}"
        return EncodedImage(path, error=reason)


class Feeder:
    """A pool of `workers` processes; with one, images are read in this process."""

    def __init__(self, workers: int, level: int = 0) -> None:
        self.workers, self.level = workers, level
        self._pool: ProcessPoolExecutor | None = None
        if workers > 1:
            self._pool = process_pool(workers)

    def close(self) -> None:
        """End the pool; what is not begun is dropped."""
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def images(self, paths: Sequence[Path]) -> Iterator[EncodedImage]:
        """Yield the images of `paths`, one for each, in their order."""
        encode = partial(encode_image, level=self.level)
        if self._pool is None:
            yield from map(encode, paths)
        else:
            yield from read_ahead(self._pool, encode, paths, IMAGES_PER_WORKER * self.workers)


def in_halves(
    embed: Callable[[Sequence[Input]], Iterable[np.ndarray]],
    batch: Sequence[Input],
    refusals: tuple[type[Exception], ...],
) -> list[np.ndarray | str]:
    """The vectors that `embed` gives for a batch, or why the model refused an image.

    A batch that fails with one of `refusals` is tried in halves, down to the image that is refused.
    """
    try:
        return list(embed(batch))
    except refusals as error:
        if len(batch) == 1:
            return [f"refused by the model: {first_line(error)}"]
        middle = len(batch) // 2
        return [
            answer
            for half in (batch[:middle], batch[middle:])
            for answer in in_halves(embed, half, refusals)
        ]


def first_line(error: Exception) -> str:
    """The kind of an error and the first line of its message."""
    message = str(getattr(error, "message", error)).strip()  # TensorFlow's has more in its text
    return f"{type(error).__name__}: {message.splitlines()[0] if message else ''}"


class ImageSource(EmbeddingSource):
    """A source that makes embeddings from images, batch by batch; images that fail pass by."""

    images_root: Path
    batch: int = 1
    _feeder: Feeder

    def rows(self, images: pd.DataFrame) -> Iterator[EmbeddingRow]:
        """Yield one row for every image, in their order."""
        encoded_images = self._feeder.images([self.images_root / path for path in images.path])
        pending: list[tuple[str, EncodedImage]] = []
        for pair in zip(images.image_id, encoded_images, strict=True):
            pending.append(pair)
            if len(pending) >= self.batch:
                yield from self._embed(pending)
                pending = []
        yield from self._embed(pending)

    def _embed(self, pending: list[tuple[str, EncodedImage]]) -> Iterator[EmbeddingRow]:
        readable = [image for _, image in pending if not image.error]
        answers = iter(self.answers(readable) if readable else [])
        for image_id, image in pending:
            answer = image.error or next(answers)
            vector, error = (None, answer) if isinstance(answer, str) else (answer, "")
            yield EmbeddingRow(image_id, vector, error, image.height, image.width, image.bits)

    @abstractmethod
    def answers(self, images: Sequence[EncodedImage]) -> list[np.ndarray | str]:
        """Return each image's vector, float32, or why the model refused it."""
