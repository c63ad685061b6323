"""Several arrays as one, their rows one below the other, none of them copied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Stacked:
    """What a keyed array asks of its data, of arrays that stay where they are.

    arrays: one or more, of one type and one shape but for the number of rows.
    """

    def __init__(self, arrays: Sequence[np.ndarray | Stacked]) -> None:
        self.arrays = list(arrays)
        self.ends = np.cumsum([len(array) for array in arrays])
        self.dtype: np.dtype = arrays[0].dtype
        self.shape: tuple[int, ...] = (int(self.ends[-1]), *arrays[0].shape[1:])

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        """One row, or a copy of several; rows: as of a numpy array's first axis."""
        positions = np.arange(len(self))[rows]
        member = np.searchsorted(self.ends, positions, side="right")
        if not positions.ndim:
            return self.arrays[member][positions - self.ends[member]]
        taken = np.empty((len(positions), *self.shape[1:]), self.dtype)
        for i, array in enumerate(self.arrays):
            here = member == i
            taken[here] = array[positions[here] - self.ends[i]]
        return taken

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)
