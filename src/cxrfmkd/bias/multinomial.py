"""What `torch.multinomial(weights, size, replacement=False)` draws from a seeded generator, without torch.

torch draws an exponential variate for every row and takes the rows with the largest weight / variate; a variate is
-log1p(-u) of 53 bits from the Mersenne twister. A simulation needs some 40,000 of them a sample but only the
smallest thousands, so rows that cannot be among them are passed over before their logarithm is taken.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cxrfmkd.threads import share

WORDS, SHIFT = 624, 397  # of MT19937 (Matsumoto and Nishimura 1998)


def multinomial(weights: list[np.ndarray], size: int, seeds: list[int]) -> np.ndarray:
    """Positions drawn without replacement in each group of weights, one group after the other from one generator.

    weights: positive float64, one array a group, none shorter than `size`. Returns int64 (seeds, groups, size), in
    torch's order. The result for a seed equals torch's after `torch.manual_seed(seed)`, for float64 weights.
    """
    ends = np.cumsum([len(w) for w in weights])
    flat = np.concatenate(weights).astype(np.float64)
    limits = np.array([_limit(w, size) for w in weights])
    result = np.empty((len(seeds), len(weights), size), np.int64)

    def work(start: int, stop: int) -> None:
        rows, keys = np.empty(len(flat), np.int64), np.empty(len(flat))
        counts = np.empty(len(ends), np.int64)
        for place in range(start, stop):
            _candidates(seeds[place] & 0xFFFFFFFF, flat, ends, limits, size, rows, keys, counts)
            first = 0
            for group, end in enumerate(ends):
                found = slice(first, first + counts[group])
                result[place, group] = rows[found][np.argsort(keys[found])[:size]]
                first = end

    share(work, len(seeds), 16)
    return result


def _limit(weights: np.ndarray, size: int) -> float:
    """A value of variate / weight that, almost always, more than `size` rows fall below."""
    enough = size + 6 * size**0.5 + 10
    if enough >= len(weights):
        return np.inf
    low, high = 0.0, 1.0 / weights.min()
    while -np.expm1(-high * weights).sum() < enough:
        high *= 2
    for _ in range(40):
        middle = (low + high) / 2
        below = -np.expm1(-middle * weights).sum()
        low, high = (middle, high) if below < enough else (low, middle)
    return high


@njit(cache=True, nogil=True)
def _candidates(seed, weights, ends, limits, size, rows, keys, counts):
    """Rows of each group that may be drawn, and -weight / variate, from the group's own place in `rows` on."""
    state = np.empty(WORDS, np.uint32)
    value = np.uint64(seed)
    state[0] = value
    for i in range(1, WORDS):
        value = np.uint64(1812433253) * (value ^ (value >> np.uint64(30))) + np.uint64(i)
        value &= np.uint64(0xFFFFFFFF)
        state[i] = value
    uniforms = np.empty(len(weights))
    _fill(state, uniforms)
    start = 0
    for group in range(len(ends)):
        limit, end = limits[group], ends[group]
        while True:
            found = below = 0
            for row in range(start, end):
                # A variate is never below its uniform.
                if uniforms[row] < limit * weights[row]:
                    variate = -np.log1p(-uniforms[row])
                    rows[start + found] = row - start
                    keys[start + found] = -weights[row] / variate if variate > 0 else -np.inf
                    below += variate < limit * weights[row]
                    found += 1
            if below >= size or limit == np.inf:
                break
            limit = np.inf
        counts[group] = found
        start = end


@njit(cache=True, nogil=True)
def _fill(state, uniforms):
    """Uniforms of 53 bits, each from two words of the generator, the high one first."""
    words = np.empty(WORDS, np.uint32)
    for start in range(0, len(uniforms), WORDS // 2):
        for i in range(WORDS - SHIFT):
            state[i] = _next(state[i], state[i + 1], state[i + SHIFT])
        for i in range(WORDS - SHIFT, WORDS - 1):
            state[i] = _next(state[i], state[i + 1], state[i + SHIFT - WORDS])
        state[WORDS - 1] = _next(state[WORDS - 1], state[0], state[SHIFT - 1])
        for i in range(WORDS):
            y = state[i]
            y ^= y >> np.uint32(11)
            y ^= (y << np.uint32(7)) & np.uint32(0x9D2C5680)
            y ^= (y << np.uint32(15)) & np.uint32(0xEFC60000)
            words[i] = y ^ (y >> np.uint32(18))
        for i in range(min(WORDS // 2, len(uniforms) - start)):
            high = np.int64(words[2 * i] & np.uint32(0x1FFFFF))
            uniforms[start + i] = ((high << 32) | np.int64(words[2 * i + 1])) * 2.0**-53


@njit(inline="always")
def _next(here, following, other):
    mixed = (here & np.uint32(0x80000000)) | (following & np.uint32(0x7FFFFFFF))
    odd = np.uint32(0x9908B0DF) * (mixed & np.uint32(1))
    return np.uint32(other ^ (mixed >> np.uint32(1)) ^ odd)
