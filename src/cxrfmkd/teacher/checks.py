"""What makes a vector impossible, and a table of them suspect.

Each of these has happened to users of CXR Foundation without an error: zero vectors for failed
images, embeddings cast to integers, files read in the wrong number format, one vector for all
images, two variants in one table.
Source: teacher extraction notes, sections 3, 4 and 6.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from cxrfmkd.runtime.errors import InputError, some

LARGEST = 65504.0  # of a float16; CXR-FM's own values stay within 15 of zero
REPEATED = 0.01  # share of rows that may equal an earlier row: the same image under two names
BLOCK = 256  # rows in memory at a time


def fault(vector: np.ndarray, dimension: int) -> str:
    """Why `vector` cannot be an embedding; empty if it can.

    vector: shape (n,), any float. dimension: the length that it must have.
    """
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


def check_faults(
    reasons: dict[str, str], total: int, failed: float, where: str, listed: Path
) -> None:
    """Raises InputError if more than the share `failed` of `total` images have a reason to have no
    vector.

    reasons: image_id -> why it has none. listed: the file in which a user finds them.
    """
    if len(reasons) > failed * total or len(reasons) >= total:
        counts = ", ".join(
            f"{n} x {reason}" for reason, n in Counter(reasons.values()).most_common(3)
        )
        raise InputError(
            f"{where}: {len(reasons)} of {total} images have no usable embedding, more than "
            f"teacher.failed ({failed:g}) "
            f"allows: {counts}. {listed} lists them. Correct teacher.path, key or variant, repair "
            "the "
            "source, or raise teacher.failed."
        )


def repeats(data: np.ndarray, image_ids: Iterable[str]) -> list[tuple[str, str]]:
    """Images whose vector an earlier image has too, bit for bit: (image, earlier image)."""
    seen: dict[bytes, str] = {}
    found = []
    for vector, image_id in zip(data, image_ids, strict=True):
        first = seen.setdefault(
            hashlib.blake2b(vector.tobytes(), digest_size=16).digest(), image_id
        )
        if first != image_id:
            found.append((image_id, first))
    return found


def check_repeats(found: list[tuple[str, str]], total: int, where: str, listed: Path) -> None:
    """Raises InputError if more vectors repeat than images can be in a dataset twice; `listed` names them."""
    if len(found) > max(1, REPEATED * total):
        raise InputError(
            f"{where}: {len(found)} of {total} vectors equal another image's, bit for bit "
            f"({listed} lists them). Either "
            "many images were saved under one name, or the teacher did not see its images (black "
            "images?)."
        )


def summary(data: np.ndarray) -> dict:
    """Facts about all vectors: range, norms, and channels that never vary. data: shape (n, dimension), float32."""
    low = np.full(data.shape[1], np.inf)
    high = np.full(data.shape[1], -np.inf)
    norms = []
    for start in range(0, len(data), BLOCK):
        block = np.asarray(data[start : start + BLOCK], np.float64)
        low = np.minimum(low, block.min(0))
        high = np.maximum(high, block.max(0))
        norms.append(np.linalg.norm(block, axis=1))
    return {
        "smallest": float(low.min()),
        "largest": float(high.max()),
        "median_norm": float(np.median(np.concatenate(norms))),
        "constant_channels": int((low == high).sum()) if len(data) > 1 else 0,
    }


def check_variants(claims: dict[str, str], variant: str) -> None:
    """Raises InputError if a file says that it holds another variant than the config does.

    claims: file -> the variant that its own metadata names.
    """
    if len(set(claims.values())) > 1:
        raise InputError(
            "two teacher variants in one table: "
            f"{some([f'{file} says {v}' for file, v in claims.items()])}. "
            "They are different embedding spaces even where their vectors are equally long; keep "
            "them apart."
        )
    for file, claimed in claims.items():
        if claimed != variant:
            raise InputError(
                f"{file}: holds embeddings of {claimed}, but teacher.variant is {variant}. Correct "
                "one of them."
            )
