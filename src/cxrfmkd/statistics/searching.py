"""Binary search in compiled loops; numba takes seconds to compile NumPy's."""

from __future__ import annotations

from numba import njit


@njit(nogil=True, cache=True)
def count_below(ranked, value, ties):
    """How many of `ranked`, which rise, are below `value`; ties: those that equal it count too."""
    low, high = 0, len(ranked)
    while low < high:
        middle = (low + high) // 2
        if ranked[middle] < value or (ties and ranked[middle] == value):
            low = middle + 1
        else:
            high = middle
    return low
