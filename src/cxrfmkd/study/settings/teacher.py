"""Settings of the teacher: what all its embeddings have in common, and where one dataset's are."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from cxrfmkd.runtime.errors import InputError, did_you_mean
from cxrfmkd.study.settings.base import Choice, Settings, Texts
from cxrfmkd.vocabulary.teachers import (
    ENCODERS,
    SOURCES,
    TEACHER,
    VARIANTS,
    KeyRule,
    Pooling,
    Variant,
)

# Of a source that has others than `mean` and `flatten`; timm and open-clip pool by themselves.
POOLINGS: dict[str, tuple[Pooling, ...]] = {
    "torch": ("mean", "flatten", "cls"),
    "onnx": ("mean", "flatten", "cls"),
    "transformers": ("mean", "flatten", "cls", "pooler", "attention"),
    "timm": ("mean",),
    "open-clip": ("mean",),
}


def _variant_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise ValueError(f"{name!r}: a name has small letters, digits, dots and hyphens alone.")
    return name


VariantName = Annotated[str, AfterValidator(_variant_name)]


def _teacher_name(name: str) -> str:
    if name == TEACHER or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError(
            f"a teacher's name has small letters, digits and single hyphens alone, and is not "
            f"`{TEACHER}`."
        )
    return name


TeacherName = Annotated[str, AfterValidator(_teacher_name)]


class Teacher(Settings):
    """What every dataset's embeddings have in common."""

    name: str = "CXR-FM"
    """name of the teacher, for tables and metadata"""
    title: str = ""
    """a teacher of your own: what it is, in a few words; the named variants have theirs"""
    licence: str = ""
    """a teacher of your own: the terms under which its weights and vectors may be used"""
    dimension: int = Field(1376, ge=1)
    """length of one embedding"""
    workers: int = Field(4, ge=1)
    """processes that read images for a model"""
    shard: int = Field(2000, ge=1)
    """images per resumable shard"""
    failed: float = Field(0.001, ge=0, le=1)
    """share of images without an embedding above which the study stops"""

    def variant(self, name: str, section: str = "teacher") -> Variant:
        """A known embedding space, or the one that this teacher declares with title and licence.

        section: of the configuration, that declares the teacher. Raises InputError for a name that
        is neither.
        """
        if name in VARIANTS:
            if self.title or self.licence:
                raise InputError(
                    f"{section}.title and {section}.licence describe a teacher of your own, but "
                    f"the variant {name} has its own. Remove them, or name another variant."
                )
            return VARIANTS[name]
        if self.title and self.licence:
            return Variant(self.title, (), self.licence)
        raise InputError(
            f"{section}.variant: {name!r} is none of {', '.join(VARIANTS)}."
            f"{did_you_mean(name, VARIANTS, mark='')} A teacher of your own is declared by "
            f"{section}.title and {section}.licence."
        )


class TeacherSource(Settings):
    """Where one dataset's embeddings come from."""

    source: Annotated[str, Choice("encoder", "source", SOURCES)]
    """kind of source"""
    variant: VariantName
    """embedding space of the vectors; never guessed. A named one of docs/teacher.md, or a name of
    your own, with `teacher.title` and `teacher.licence`"""
    path: Texts = []
    """file or folder, or several of them"""
    key: KeyRule | Literal[""] = ""
    """how a record names its vector"""
    feature: str = "embedding"
    """name of the vector inside a TFRecord, NPZ or table"""
    column: str = "image_id"
    """table: column with the keys"""
    batch: int = Field(1, ge=1)
    """a model: images per call, where it can"""
    device: Literal["cpu", "gpu"] = "cpu"
    """a model on this machine: `cpu` or `gpu`"""
    model: str = ""
    """timm, open-clip: name of the architecture, such as `vit_base_patch14_dinov2`"""
    preprocessing: str = ""
    """torch, onnx: the model's preprocessor_config.json; empty for the one beside it"""
    qformer: str = ""
    """savedmodel: folder of the Q-Former, for elixr-b-*"""
    pooling: Pooling = "mean"
    """from a model's output to one vector: `mean` over tokens or map, `flatten` for all of them;
    transformers also `cls` (first token), `pooler` (the model's own) and `attention` (tokens
    weighted by the last layer's attention of the first)"""
    project: str = ""
    """vertex: Google Cloud project"""
    location: str = "us-central1"
    """vertex: region"""
    endpoint: str = ""
    """vertex: endpoint number"""
    url: str = ""
    """vertex: full address, in place of project, location and endpoint"""

    @field_validator("url")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        """No message repeats the address: what is refused here may hold a secret."""
        if not url:
            return url
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or url != "".join(url.split()):
            raise ValueError("this is no address such as https://host/path.")
        if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
            raise ValueError(
                "the address must start with https://: images and the access token are sent there."
            )
        if "@" in parts.netloc or "?" in url or "#" in url:
            raise ValueError(
                "the address has a user name, a password, or something after ? or #. It is written "
                "to results and logs, so it must hold no secret: remove them, and set "
                "CXRFMKD_VERTEX_TOKEN to an access token."
            )
        return url

    @model_validator(mode="after")
    def _has_path(self) -> Self:
        if self.source != "vertex" and self.source in SOURCES and not self.path:
            raise ValueError(f"`path` is missing; source {self.source} needs it.")
        if self.source in ("timm", "open-clip") and not self.model:
            raise ValueError(f"`model` is missing; source {self.source} needs its name.")
        own = self.source in ENCODERS or self.source not in SOURCES
        if own and self.variant in VARIANTS:
            raise ValueError(
                f"source {self.source} gives vectors of a model of your own, not {self.variant}. "
                "Give `variant` a name of its own."
            )
        poolings = POOLINGS.get(self.source, ("mean", "flatten"))
        if self.pooling not in poolings:
            raise ValueError(
                f"`pooling` is {self.pooling}; source {self.source} has {', '.join(poolings)}."
            )
        return self

    @property
    def on_hub(self) -> bool:
        """Whether `path` is a name on a hub, such as microsoft/rad-dino, and no folder."""
        path = self.path[0]
        return not path.startswith((".", "/", "~")) and path.count("/") == 1

    def check_dimension(self, teacher: Teacher, section: str = "teacher") -> None:
        """Raises InputError unless the study's `dimension` is this variant's length.

        section: of the configuration, that declares the teacher.
        """
        expected = teacher.variant(self.variant, section).dimension(self.pooling)
        if expected and expected != teacher.dimension:
            raise InputError(
                f"{section}.dimension is {teacher.dimension}, but a vector of {self.variant} "
                f"(pooling {self.pooling}) has {expected} numbers. Set {section}.dimension: "
                f"{expected}."
            )


def _is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
