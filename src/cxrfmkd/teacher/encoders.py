"""The sources that make embeddings with an image encoder that torch or onnxruntime runs.

An encoder is a file or folder of one of five kinds, or of a user's own. Whatever its kind, its
preprocessing is its own and recorded, two different images must get different vectors, and a batch
is used only if it gives what single images give.
"""

from __future__ import annotations

import inspect
import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cxrfmkd.runtime import plugins
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Teacher, TeacherSource
from cxrfmkd.teacher.encoder import Encoder, files_fingerprint
from cxrfmkd.teacher.exported import OnnxModel, TorchProgram
from cxrfmkd.teacher.feeding import EncodedImage, Feeder, ImageSource, first_line, in_halves
from cxrfmkd.teacher.hubs import OpenClip, Timm, Transformers
from cxrfmkd.teacher.images import canary_images

log = logging.getLogger(__name__)

# What an image of a batch may differ from the same image alone by, in units of the largest number
# of a vector: float32 sums of some thousand terms, in another order.
BATCH_TOLERANCE = 1e-4

# The encoder of each source.
CLASSES: dict[str, Callable[[TeacherSource], Encoder]] = {
    "torch": TorchProgram,
    "onnx": OnnxModel,
    "transformers": Transformers,
    "timm": Timm,
    "open-clip": OpenClip,
}


def open_encoder(settings: TeacherSource) -> Encoder:
    """Load the encoder that `settings` name; raises InputError where it cannot be used."""
    return CLASSES.get(settings.source, OwnEncoder)(settings)


class OwnEncoder(Encoder):
    """An encoder that a user's file loads (`cxrfmkd.plugins.encoder`)."""

    def __init__(self, settings: TeacherSource) -> None:
        self.name = settings.source
        files = [Path(path) for path in settings.path]
        if absent := [path for path in files if not path.exists()]:
            raise InputError(f"teacher.path is {absent[0]}, which does not exist.")
        load = plugins.REGISTERED["encoder"][self.name]
        self._encode = load(settings)
        self.identity = {
            "source": self.name,
            "code": plugins.pieces(Path(inspect.getfile(load)))["encoder", self.name],
            "files": [files_fingerprint(path) for path in files],
        }

    def __call__(self, images: Sequence[Image.Image]) -> np.ndarray:
        """What the user's function gives, as float32; ValueError unless a row an image."""
        vectors = np.asarray(self._encode(list(images)), np.float32)
        if vectors.ndim != 2 or len(vectors) != len(images):
            raise ValueError(
                f"encoder {self.name} gives an array of shape {vectors.shape} for {len(images)} "
                "images, not a row an image"
            )
        return vectors


def canary_vectors(encoder: Encoder, name: str) -> list[np.ndarray]:
    """The embeddings of two different images, each from a call of its own.

    Raises InputError if the model refuses them, or gives both one embedding: then it is blind to
    what it is given. name: of the model, for messages.
    """
    try:
        vectors = [encoder([Image.fromarray(image)])[0] for image in canary_images()]
    except InputError:
        raise
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"{name}: the model refuses an image ({first_line(error)}). Does its preprocessing "
            "fit it (size, number of channels)?"
        ) from None
    if np.array_equal(*vectors):
        raise InputError(
            f"{name}: two different images have the same embedding, so the model does not see what "
            "it is given."
        )
    return vectors


def takes_batches(encoder: Encoder, canaries: Sequence[np.ndarray]) -> bool:
    """Whether two images in one call give what each gives alone, to float32 rounding.

    canaries: what `canary_vectors` returned for it.
    """
    alone = np.stack(canaries)
    try:
        together = encoder([Image.fromarray(image) for image in canary_images()])
    except (RuntimeError, ValueError):
        return False
    limit = BATCH_TOLERANCE * np.abs(alone).max()
    return together.shape == alone.shape and bool(np.abs(together - alone).max() <= limit)


class EncoderSource(ImageSource):
    """Embeddings from an image encoder on this machine."""

    def __init__(self, settings: TeacherSource, teacher: Teacher, images_root: Path) -> None:
        self.images_root = images_root
        self.path = ", ".join(settings.path) or settings.source  # for messages
        self._feeder = Feeder(teacher.workers)
        try:
            self.encoder = open_encoder(settings)
            canaries = canary_vectors(self.encoder, self.path)
            length = len(canaries[0])
            if length != teacher.dimension:
                raise InputError(
                    f"{self.path}: gives vectors of {length} numbers, but teacher.dimension is "
                    f"{teacher.dimension}. Set teacher.dimension: {length}, or another pooling."
                )
        except BaseException:
            self.close()
            raise
        self.batch = settings.batch
        if self.batch > 1 and not takes_batches(self.encoder, canaries):
            log.info("teacher: the model takes one image at a time, so batch is 1")
            self.batch = 1
        self.provenance = {
            "variant": settings.variant,
            "pooling": settings.pooling,
            "device": settings.device,
            "batch": self.batch,
            **self.encoder.identity,
        }

    def close(self) -> None:
        """End the processes that read images."""
        self._feeder.close()

    def answers(self, images: Sequence[EncodedImage]) -> list[np.ndarray | str]:
        """Return each image's vector, float32, or why the model refused it."""
        greys = [_grey(image.png) for image in images]
        return in_halves(self.encoder, greys, (RuntimeError, ValueError))


def _grey(png: bytes) -> Image.Image:
    """An 8-bit greyscale image; the 16 bits of deeper files are scaled, 65535 to 255."""
    with Image.open(io.BytesIO(png)) as image:
        pixels = np.asarray(image)
    if pixels.dtype != np.uint8:
        pixels = np.rint(pixels / 257.0).astype(np.uint8)
    return Image.fromarray(pixels)
