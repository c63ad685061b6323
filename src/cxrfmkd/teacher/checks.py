"""What makes a vector unusable, and a table of them suspect.

Each of these has happened to users of CXR Foundation without an error: zero vectors for failed
images, embeddings cast to integers, files read in the wrong number format, one vector for all
images, two variants in one table.
Source: teacher extraction notes, sections 3, 4 and 6.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.files import write_table
from cxrfmkd.teacher.rows import EmbeddingRow

LARGEST = 65504.0  # of a float16; CXR-FM's own values stay within 15 of zero
REPEATED = 0.01  # share of rows that may equal an earlier row: the same image under two names
BLOCK = 256  # rows in memory at a time


def unusable_reason(row: EmbeddingRow, dimension: int) -> str:
    """Why a row has no embedding of `dimension` numbers; empty if it has."""
    vector = row.vector
    if row.error or vector is None:
        return row.error or "no vector"
    if vector.shape != (dimension,):
        return f"a vector of {' x '.join(map(str, vector.shape)) or 'one'} numbers, not {dimension}"
    if not np.isfinite(vector).all():
        return "a vector with NaN or infinity"
    largest = np.abs(vector).max()
    if largest == 0:
        return "a vector of zeros"
    if largest > LARGEST:
        return f"a vector with a value of {largest:.3g}: its number format was misread"
    if (vector == np.rint(vector)).all():
        return "a vector of integers: embeddings were cast by Google's client of June 2023"
    return ""


@dataclass
class Exclusions:
    """The images without a usable vector, with the reason of each.

    total: number of all images. allowed: share of them that may have none. location: of the source.
    listing: the CSV file in which a user finds them. No message names an image, since messages end
    in logs, which may leave the house.
    """

    total: int
    allowed: float
    location: str
    listing: Path
    reasons: dict[str, str] = field(default_factory=dict)

    def check(self) -> list[str]:
        """Write the listing and return its image_ids; raises InputError if they are too many."""
        table = pd.DataFrame(sorted(self.reasons.items()), columns=["image_id", "reason"])
        write_table(self.listing, table)
        if len(table) > self.allowed * self.total or len(table) >= self.total:
            common = Counter(self.reasons.values()).most_common(3)
            raise InputError(
                f"{self.location}: {len(table)} of {self.total} images have no usable embedding, "
                f"more than teacher.failed ({self.allowed:g}) allows: "
                f"{', '.join(f'{n} x {reason}' for reason, n in common)}. {self.listing} lists "
                "them. Correct teacher.path, key or variant, repair the source, or raise "
                "teacher.failed."
            )
        return list(table.image_id)


def check_repeats(data: np.ndarray, image_ids: Iterable[str], location: str, listing: Path) -> int:
    """List the images whose vector an earlier image has too, bit for bit; return their number.

    data: shape (n, dimension). listing: CSV file to write. Raises InputError if more vectors repeat
    than images can be in a dataset twice.
    """
    first_images: dict[bytes, str] = {}
    repeats = []
    for vector, image_id in zip(data, image_ids, strict=True):
        digest = hashlib.blake2b(vector.tobytes(), digest_size=16).digest()
        earlier = first_images.setdefault(digest, image_id)
        if earlier != image_id:
            repeats.append((image_id, earlier))
    write_table(listing, pd.DataFrame(repeats, columns=["image_id", "equals"]))
    if len(repeats) > max(1, REPEATED * len(data)):
        raise InputError(
            f"{location}: {len(repeats)} of {len(data)} vectors equal another image's, bit for bit "
            f"({listing} lists them). Either many images were saved under one name, or the teacher "
            "did not see its images (black images?)."
        )
    return len(repeats)


def summary(data: np.ndarray) -> dict:
    """Range, norm and constant channels of all vectors. data: shape (n, dimension), float32."""
    low, high = data.min(0), data.max(0)
    blocks = (data[start : start + BLOCK] for start in range(0, len(data), BLOCK))
    norms = [np.linalg.norm(np.asarray(block, np.float64), axis=1) for block in blocks]
    return {
        "smallest": float(low.min()),
        "largest": float(high.max()),
        "median_norm": float(np.median(np.concatenate(norms))),
        "constant_channels": int((low == high).sum()) if len(data) > 1 else 0,
    }


def check_variants(variants: dict[str, str], variant: str) -> None:
    """Raises InputError if a file says that it holds another variant than the config does.

    variants: file -> the variant that its own metadata names.
    """
    if len(set(variants.values())) > 1:
        raise InputError(
            "two teacher variants in one table: "
            f"{some([f'{file} says {named}' for file, named in variants.items()])}. They are "
            "different embedding spaces even where their vectors are equally long; keep them apart."
        )
    for file, named in variants.items():
        if named != variant:
            raise InputError(
                f"{file}: holds embeddings of {named}, but teacher.variant is {variant}. Correct "
                "one of them."
            )
