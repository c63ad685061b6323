"""Arrays as tidy tables, one row a number."""

from __future__ import annotations

import numpy as np
import pandas as pd


def long(axes: dict[str, list], **columns: np.ndarray) -> pd.DataFrame:
    """One row per combination of the axes' names, in order, with one column per array.

    axes: name of each axis -> names along it. columns: arrays whose shapes broadcast to the axes.
    """
    shape = tuple(map(len, axes.values()))
    places = np.indices(shape).reshape(len(shape), -1)
    named = {
        name: np.asarray(values, dtype=object)[place]
        for (name, values), place in zip(axes.items(), places, strict=True)
    }
    filled = {name: np.broadcast_to(values, shape).ravel() for name, values in columns.items()}
    return pd.DataFrame(named | filled)


def stamped(table: pd.DataFrame, **constants: object) -> pd.DataFrame:
    """`table` with leading columns that have one value each."""
    return pd.concat([pd.DataFrame(constants, index=table.index), table], axis=1)
