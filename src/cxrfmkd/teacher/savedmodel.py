"""The source that makes embeddings: images through a SavedModel, on this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Teacher, TeacherSource
from cxrfmkd.teacher.encoder import files_fingerprint
from cxrfmkd.teacher.examples import serialize_example
from cxrfmkd.teacher.feeding import EncodedImage, Feeder, ImageSource, in_halves
from cxrfmkd.teacher.model import TOKENS, Model, model_folder
from cxrfmkd.teacher.rows import EmbeddingRow
from cxrfmkd.teacher.tensorflow_setup import choose_device, load_tensorflow

log = logging.getLogger(__name__)
PREPROCESSING = "8 bit as it is, deeper stretched to 16 bit; never resized"


class SavedModel(ImageSource):
    """Embeddings from a local SavedModel. TensorFlow is loaded when the first image comes."""

    def __init__(self, settings: TeacherSource, teacher: Teacher, images_root: Path) -> None:
        if settings.variant == "cxrfm-v1":
            raise InputError(
                "teacher.variant is cxrfm-v1, but its weights were never released, so no "
                "SavedModel gives it. ELIXR-C's vector of the same length is another embedding: "
                "set variant: elixr-c-v2-gap."
            )
        if (settings.variant in TOKENS) != bool(settings.qformer):
            raise InputError(
                f"teacher.variant is {settings.variant} and teacher.qformer is "
                f"{settings.qformer or 'not set'}: {', '.join(TOKENS)} need the Q-Former's folder "
                "(pax-elixr-b-text), and nothing else does."
            )
        if len(settings.path) != 1:
            raise InputError(f"teacher.path has {len(settings.path)} entries; a SavedModel is one.")
        self.settings, self.teacher, self.images_root = settings, teacher, images_root
        self.folder = model_folder(settings.path[0])
        self.qformer = model_folder(settings.qformer) if settings.qformer else None
        self.provenance = {
            "variant": settings.variant,
            "model": files_fingerprint(self.folder),
            "qformer": files_fingerprint(self.qformer) if self.qformer else None,
            "pooling": settings.pooling if self.qformer else "mean of the map",
            "preprocessing": PREPROCESSING,
            "device": settings.device,
            "batch": settings.batch,
            "tensorflow": metadata.version("tensorflow"),
        }
        self._model: Model | None = None

    @property
    def model(self) -> Model:
        """The loaded model, once its answers to known images are as they must be."""
        if self._model is None:
            self._feeder = Feeder(self.teacher.workers)  # before TensorFlow starts its threads
            choose_device(load_tensorflow(), self.settings.device)
            model = Model(self.folder, self.settings.variant, self.settings.pooling, self.qformer)
            length = len(model.canaries[0])
            if length != self.teacher.dimension:
                raise InputError(
                    f"{self.folder}: gives vectors of {length} numbers, but teacher.dimension is "
                    f"{self.teacher.dimension}."
                )
            self.batch = self.settings.batch
            if self.batch > 1 and not model.takes_batches:
                log.info("teacher: the model takes one image at a time, so batch is 1")
                self.batch = 1
            self._model = model
        return self._model

    def close(self) -> None:
        """End the processes that read images."""
        if self._model:
            self._feeder.close()
        self._model = None

    def rows(self, images: pd.DataFrame) -> Iterator[EmbeddingRow]:
        """Yield one row for every image, in their order."""
        _ = self.model  # loads it, and decides the batch
        yield from super().rows(images)

    def answers(self, images: Sequence[EncodedImage]) -> list[np.ndarray | str]:
        """Return a vector for each image, or why the model refused it."""
        errors = load_tensorflow().errors
        refusals = errors.InvalidArgumentError, errors.ResourceExhaustedError
        examples = [serialize_example(image.png) for image in images]
        return in_halves(self.model.vectors, examples, refusals)
