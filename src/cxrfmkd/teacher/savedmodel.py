"""The source that makes embeddings: images through a SavedModel, on this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.provenance import fingerprint, sha256
from cxrfmkd.study.settings import Teacher
from cxrfmkd.study.teachers import Settings
from cxrfmkd.teacher import runtime
from cxrfmkd.teacher.feeding import Feeder, Image
from cxrfmkd.teacher.model import TOKENS, Model, model_folder
from cxrfmkd.teacher.rows import Row

log = logging.getLogger(__name__)
PREPROCESSING = "8 bit as it is, deeper stretched to 16 bit; never resized"


def folder_fingerprint(folder: Path) -> str:
    """Short hash of every file of a SavedModel but `fingerprint.pb`, which changes with each saving."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return fingerprint(
        {
            str(path.relative_to(folder)): sha256(path)
            for path in files
            if path.name != "fingerprint.pb"
        }
    )


class SavedModel:
    """Embeddings from a local SavedModel. TensorFlow is loaded when the first image comes."""

    keys = None

    def __init__(self, settings: Settings, teacher: Teacher, images_root: Path) -> None:
        if settings.variant == "cxrfm-v1":
            raise InputError(
                "teacher.variant is cxrfm-v1, but its weights were never released, so no "
                "SavedModel gives it. "
                "ELIXR-C's vector of the same length is another embedding: set variant: "
                "elixr-c-v2-gap."
            )
        if (settings.variant in TOKENS) != bool(settings.qformer):
            raise InputError(
                f"teacher.variant is {settings.variant} and teacher.qformer is "
                f"{settings.qformer or 'not set'}: "
                f"{', '.join(TOKENS)} need the Q-Former's folder (pax-elixr-b-text), and nothing "
                "else does."
            )
        if len(settings.path) != 1:
            raise InputError(f"teacher.path has {len(settings.path)} entries; a SavedModel is one.")
        self.settings = settings
        self.dimension = teacher.dimension
        self.workers = teacher.workers
        self.images_root = images_root
        self.folder = model_folder(settings.path[0])
        self.qformer = model_folder(settings.qformer) if settings.qformer else None
        self.facts = {
            "variant": settings.variant,
            "model": folder_fingerprint(self.folder),
            "qformer": folder_fingerprint(self.qformer) if self.qformer else None,
            "pooling": settings.pooling if self.qformer else "mean of the map",
            "preprocessing": PREPROCESSING,
            "device": settings.device,
            "batch": settings.batch,
            "tensorflow": metadata.version("tensorflow"),
        }
        self._feeder: Feeder | None = None
        self._model: Model | None = None
        self._batch = 1

    def _open(self) -> tuple[Feeder, Model]:
        if self._feeder is None or self._model is None:
            self._feeder = Feeder(self.workers)
            tf = runtime.tensorflow()
            runtime.choose_device(tf, self.settings.device)
            pooling = self.settings.pooling
            self._model = Model(tf, self.folder, self.settings.variant, pooling, self.qformer)
            length = len(self._model.canaries[0])
            if length != self.dimension:
                raise InputError(
                    f"{self.folder}: gives vectors of {length} numbers, but teacher.dimension is "
                    f"{self.dimension}."
                )
            self._batch = self.settings.batch
            if self._batch > 1 and not self._model.batches:
                log.info("teacher: the model takes one image at a time, so batch is 1")
                self._batch = 1
        return self._feeder, self._model

    def close(self) -> None:
        if self._feeder:
            self._feeder.close()
        self._feeder = self._model = None

    def rows(self, images: pd.DataFrame) -> Iterator[Row]:
        """A row for every image, in their order."""
        feeder, model = self._open()
        names = iter(images.image_id)
        waiting: list[tuple[str, Image]] = []
        for image in feeder.images([self.images_root / path for path in images.path]):
            waiting.append((next(names), image))
            if len(waiting) >= self._batch:
                yield from self._embed(model, waiting)
                waiting = []
        yield from self._embed(model, waiting)

    def _embed(self, model: Model, images: list[tuple[str, Image]]) -> Iterator[Row]:
        """The rows of one batch; images that could not be read pass by with their reason."""
        good = [image.example for _, image in images if not image.error]
        answers = iter(self._answers(model, good))
        for image_id, image in images:
            answer = image.error or next(answers)
            facts = {"height": image.height, "width": image.width, "bits": image.bits}
            if isinstance(answer, str):
                yield Row(image_id, None, answer, **facts)
            else:
                yield Row(image_id, answer, **facts)

    def _answers(self, model: Model, examples: Sequence[bytes]) -> list[np.ndarray | str]:
        """A vector for each example, or why the model refused it. A batch that fails is tried in halves."""
        if not examples:
            return []
        errors = model.tf.errors
        try:
            return list(model.vectors(examples))
        except (errors.InvalidArgumentError, errors.ResourceExhaustedError) as error:
            if len(examples) == 1:
                reason = str(error.message).splitlines()[0]
                return [f"refused by the model: {type(error).__name__}: {reason}"]
            middle = len(examples) // 2
            return self._answers(model, examples[:middle]) + self._answers(model, examples[middle:])
