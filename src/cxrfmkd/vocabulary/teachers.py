"""Where a teacher's embeddings may come from, and what each embedding space is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Sources of image encoders that torch or onnxruntime runs.
ENCODERS = ("torch", "onnx", "transformers", "timm", "open-clip")
SOURCES = ("savedmodel", "dat", "npy", "npz", "tfrecord", "parquet", "vertex", *ENCODERS)

# From an encoder's outputs, or the tokens of elixr-b-*, to one vector.
Pooling = Literal["mean", "flatten", "cls", "pooler", "attention"]
# Of the sources of ready embeddings.
FILE_SUFFIXES: dict[str, tuple[str, ...]] = {
    "dat": (".dat",),
    "npy": (".npy",),
    "npz": (".npz",),
    "tfrecord": (".tfrecord", ".tfrecords"),
    "parquet": (".parquet", ".arrow", ".feather"),
}

# The teacher of every dataset; further ones have names of the user's.
TEACHER = "teacher"


def teacher_folder(name: str) -> str:
    """Folder of a teacher's embeddings below that of the dataset."""
    return TEACHER if name == TEACHER else f"teachers/{name}"


def teacher_setting(name: str) -> str:
    """Where the configuration declares a teacher, and a dataset its source of embeddings."""
    return TEACHER if name == TEACHER else f"teachers.{name}"


# How a record names its vector.
KeyRule = Literal["image-id", "path", "basename", "chexpert-flat", "mimic-dicom"]


@dataclass(frozen=True)
class Variant:
    """One embedding space; two may have equally long vectors and have nothing else in common.

    shape: of one image's output before pooling; empty where any length is right.
    licence: tag kept beside every embedding.
    """

    title: str
    shape: tuple[int, ...]
    licence: str

    def dimension(self, pooling: str) -> int | None:
        """Length of a vector after `pooling` (mean or flatten); None where any is right."""
        if not self.shape:
            return None
        flat = len(self.shape) == 2 and pooling == "flatten"
        return self.shape[0] * self.shape[1] if flat else self.shape[-1]


HAI_DEF = "Health AI Developer Foundations terms of use"
# The embedding spaces that are known; a study may declare one of its own.
VARIANTS: dict[str, Variant] = {
    "cxrfm-v1": Variant(
        "CXR Foundation 1.0 (2022), supervised contrastive",
        (1376,),
        "Google APIs terms and CXR Foundation additional terms (2022); from PhysioNet: "
        "credentialed health data licence",
    ),
    "elixr-c-v2-gap": Variant("ELIXR-C v2, mean of the 8 x 8 map", (1376,), HAI_DEF),
    "elixr-b-img": Variant("ELIXR-B image tokens (general)", (32, 768), HAI_DEF),
    "elixr-b-contrastive": Variant("ELIXR-B image tokens (contrastive)", (32, 128), HAI_DEF),
    "demo": Variant(
        "stand-in with fixed filters, for demonstration alone", (), "none: no model of anybody"
    ),
}


def variant_shape(name: str) -> tuple[int, ...]:
    """Shape of one image's output before pooling; empty for a space of which nothing is known."""
    return VARIANTS[name].shape if name in VARIANTS else ()
