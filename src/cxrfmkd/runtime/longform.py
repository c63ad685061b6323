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
    positions = np.indices([len(values) for values in axes.values()])
    table: dict[str, np.ndarray] = {}
    for (names, values), along in zip(axes.items(), positions, strict=True):
        parts = zip(*values, strict=True) if "," in names else [values]
        for name, part in zip(names.split(","), parts, strict=True):
            table[name] = np.asarray(part)[along.ravel()]
    shape = positions.shape[1:]
    table |= {name: np.broadcast_to(values, shape).ravel() for name, values in columns.items()}
    return pd.DataFrame(table)
