"""TensorFlow, imported only where it is used, quiet, and on the device that was asked for."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import os
from types import ModuleType

from cxrfmkd.runtime.cards import claim
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.vocabulary.teachers import FILE_SUFFIXES


@functools.cache
def load_tensorflow() -> ModuleType:
    """Import TensorFlow with its start-up messages off.

    `tensorflow_text` is imported beside it where it is installed: CXR Foundation's models name its
    operations, and fail to load without them.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        tf = importlib.import_module("tensorflow")
    except ImportError as error:
        ready = ", ".join(source for source in FILE_SUFFIXES if source != "tfrecord")
        raise InputError(
            f"TensorFlow cannot be imported ({error}). This teacher.source needs it: "
            f"pip install tensorflow, or use ready embeddings ({ready})."
        ) from error
    if importlib.util.find_spec("tensorflow_text"):
        importlib.import_module("tensorflow_text")
    return tf


def choose_device(tf: ModuleType, device: str) -> None:
    """Make `tf` use the CPU alone ("cpu") or a GPU ("gpu"), whose memory it takes only as needed.

    Raises InputError if a GPU is asked for and TensorFlow sees none: it would otherwise use the
    CPU without a word, a hundred times slower.
    """
    if device != "cpu":
        claim()  # before TensorFlow looks for a card
    gpus = tf.config.list_physical_devices("GPU")
    if device == "cpu":
        if tf.config.get_visible_devices("GPU"):
            tf.config.set_visible_devices([], "GPU")
        return
    if not gpus:
        raise InputError(
            "teacher.device is gpu, but TensorFlow sees no GPU. Run it on a GPU node, in an "
            "environment whose CUDA libraries TensorFlow can load (PyTorch's may be in the way), "
            "or set device: cpu."
        )
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
