"""Settings of the teacher: what all its embeddings have in common, and where one dataset's are."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings.base import Settings, Texts
from cxrfmkd.vocabulary.teachers import VARIANTS, KeyRule, SourceName, VariantName


class Teacher(Settings):
    """What every dataset's embeddings have in common."""

    name: str = "CXR-FM"
    """name of the teacher, for tables and metadata"""
    dimension: int = Field(1376, ge=1)
    """length of one embedding"""
    workers: int = Field(4, ge=1)
    """processes that feed a SavedModel"""
    shard: int = Field(2000, ge=1)
    """images per resumable shard"""
    failed: float = Field(0.001, ge=0, le=1)
    """share of images without an embedding above which the study stops"""


class TeacherSource(Settings):
    """Where one dataset's embeddings come from."""

    source: SourceName
    """kind of source"""
    variant: VariantName
    """embedding space of the vectors; never guessed"""
    path: Texts = []
    """file or folder, or several of them"""
    key: KeyRule | Literal[""] = ""
    """how a record names its vector"""
    feature: str = "embedding"
    """name of the vector inside a TFRecord, NPZ or table"""
    column: str = "image_id"
    """table: column with the keys"""
    batch: int = Field(1, ge=1)
    """savedmodel, vertex: images per call, where the model can"""
    device: Literal["cpu", "gpu"] = "cpu"
    """savedmodel: `cpu` or `gpu`"""
    qformer: str = ""
    """savedmodel: folder of the Q-Former, for elixr-b-*"""
    pooling: Literal["mean", "flatten"] = "mean"
    """elixr-b-*: `mean` of the 32 tokens, or all of them"""
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
        if self.source != "vertex" and not self.path:
            raise ValueError(f"`path` is missing; source {self.source} needs it.")
        return self

    def check_dimension(self, teacher: Teacher) -> None:
        """Raises InputError unless the study's `teacher.dimension` is this variant's length."""
        expected = VARIANTS[self.variant].dimension(self.pooling)
        if expected and expected != teacher.dimension:
            raise InputError(
                f"teacher.dimension is {teacher.dimension}, but a vector of {self.variant} "
                f"(pooling {self.pooling}) has {expected} numbers. Set teacher.dimension: "
                f"{expected}."
            )


def _is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
