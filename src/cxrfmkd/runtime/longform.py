"""Arrays as tidy tables, one row a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd


def long(axes: Mapping[str, Sequence], **columns: np.ndarray) -> pd.DataFrame:
    """One row per combination of the axes' names, in order, with one column per array.

    axes: name of each axis -> names along it; tuples make as many columns, named by the axis's
    comma-separated parts. columns: arrays whose shapes broadcast to the axes.
    """
    shape = tuple(map(len, axes.values()))
    filled: dict[str, np.ndarray] = {}
    for k, (name, values) in enumerate(axes.items()):
        parts = name.split(",")
        for part, one in zip(
            parts, zip(*values, strict=True) if len(parts) > 1 else [values], strict=True
        ):
            along = np.asarray(one).reshape(-1, *[1] * (len(shape) - k - 1))
            filled[part] = np.broadcast_to(along, shape).ravel()
    filled |= {name: np.broadcast_to(values, shape).ravel() for name, values in columns.items()}
    return pd.DataFrame(filled)
