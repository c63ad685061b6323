"""What a dataset's `teacher` section may say, and what each teacher variant is."""

from __future__ import annotations

from dataclasses import dataclass, fields

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Teacher, setting

FILE_SUFFIXES = {  # of the sources of ready embeddings
    "dat": (".dat",),
    "npy": (".npy",),
    "npz": (".npz",),
    "tfrecord": (".tfrecord", ".tfrecords"),
    "parquet": (".parquet", ".arrow", ".feather"),
}
SOURCES = ("savedmodel", *FILE_SUFFIXES, "vertex")
KEYS = ("image-id", "path", "basename", "chexpert-flat", "mimic-dicom")


@dataclass(frozen=True)
class Variant:
    """One embedding space. Two variants may have equally long vectors and have nothing else in
    common.

    shape: of one image's output before pooling; empty where any length is right.
    licence: tag kept beside every embedding.
    """

    title: str
    shape: tuple[int, ...]
    licence: str


HAI_DEF = "Health AI Developer Foundations terms of use"
VARIANTS = {
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


@dataclass(frozen=True)
class Settings:
    """Where one dataset's embeddings come from."""

    source: str = setting("kind of source", choices=SOURCES)
    variant: str = setting("embedding space of the vectors; never guessed", choices=VARIANTS)
    path: list = setting("file or folder, or several of them", [])
    key: str = setting("how a record names its vector", "", choices=("", *KEYS))
    feature: str = setting("name of the vector inside a TFRecord, NPZ or table", "embedding")
    column: str = setting("table: column with the keys", "image_id")
    batch: int = setting("savedmodel, vertex: images per call, where the model can", 1, minimum=1)
    device: str = setting("savedmodel: `cpu` or `gpu`", "cpu", choices=("cpu", "gpu"))
    qformer: str = setting("savedmodel: folder of the Q-Former, for elixr-b-*", "")
    pooling: str = setting(
        "elixr-b-*: `mean` of the 32 tokens, or all of them", "mean", choices=("mean", "flatten")
    )
    project: str = setting("vertex: Google Cloud project", "")
    location: str = setting("vertex: region", "us-central1")
    endpoint: str = setting("vertex: endpoint number", "")
    url: str = setting("vertex: full address, in place of project, location and endpoint", "")

    @classmethod
    def read(cls, settings: dict) -> Settings:
        """Check a config section. Raises InputError for a missing, unknown or impossible setting."""
        known = {entry.name: entry for entry in fields(cls)}
        for name in settings:
            if name not in known:
                raise InputError(f"teacher.{name}: no such setting; there are {', '.join(known)}.")
        for name in ("source", "variant"):
            if not settings.get(name):
                raise InputError(
                    f"teacher.{name} is missing; it must be one of "
                    f"{', '.join(known[name].metadata['choices'])}."
                )
        values = dict(settings)
        if isinstance(values.get("path"), str):
            values["path"] = [values["path"]]
        made = cls(**values)
        for name, entry in known.items():
            choices, value = entry.metadata.get("choices"), getattr(made, name)
            if choices and value not in choices:
                raise InputError(
                    f"teacher.{name} is {value!r}; it must be one of "
                    f"{', '.join(filter(None, choices))}."
                )
        if made.source != "vertex" and not made.path:
            raise InputError(f"teacher.path is missing; source {made.source} needs it.")
        return made

    @property
    def rule(self) -> str:
        """How records and stored vectors find each other (`keys.record_key`)."""
        return self.key or ("image-id" if self.source == "parquet" else "path")

    def dimension(self) -> int | None:
        """Length of the vectors that this variant has after pooling; None where any is right."""
        shape = VARIANTS[self.variant].shape
        if not shape:
            return None
        return shape[0] * shape[1] if len(shape) == 2 and self.pooling == "flatten" else shape[-1]

    def check_dimension(self, teacher: Teacher) -> None:
        """Raises InputError unless the study's `teacher.dimension` is this variant's length."""
        expected = self.dimension()
        if expected and expected != teacher.dimension:
            raise InputError(
                f"teacher.dimension is {teacher.dimension}, but a vector of {self.variant} "
                f"(pooling {self.pooling}) has {expected} numbers. Set teacher.dimension: "
                f"{expected}."
            )
