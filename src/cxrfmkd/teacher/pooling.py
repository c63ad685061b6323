"""From what a teacher gives for one image to the one vector that the study uses."""

from __future__ import annotations

import numpy as np

from cxrfmkd.vocabulary.teachers import variant_shape


def pool(answer: np.ndarray, variant: str, pooling: str = "mean") -> np.ndarray:
    """Reduce one image's answer to its embedding: shape (dimension,), float32.

    answer: any float, axes of length 1 anywhere (Google's endpoint nests a vector twice). A map
    (height, width, channels) becomes its mean; tokens, as a matrix or laid end to end, their mean
    or all of them (`flatten`); a vector stays. Means are taken in float64.
    """
    answer = np.squeeze(np.asarray(answer))
    shape = variant_shape(variant)
    if len(shape) == 2 and answer.size == shape[0] * shape[1]:
        tokens = answer.reshape(shape)
        answer = tokens.ravel() if pooling == "flatten" else tokens.mean(0, dtype=np.float64)
    elif answer.ndim == 3:
        answer = answer.mean((0, 1), dtype=np.float64)
    return np.atleast_1d(answer).astype(np.float32)
