"""What `torch.multinomial(weights, size, replacement=False)` draws from a seeded generator, without
torch.

torch draws an exponential variate for every row and takes the rows with the largest weight /
variate; a variate is
-log1p(-u) of 53 bits from the Mersenne twister. A simulation needs some 40,000 of them a sample but
only the smallest thousands, so rows that cannot be among them are passed over before their
logarithm is taken.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cxrfmkd.runtime.threads import parallel_for

WORDS, SHIFT = 624, 397  # of MT19937 (Matsumoto and Nishimura 1998)
HIGH = 21  # bits of a uniform that come from the first of its two words; the other 32 are from the second


def multinomial(weights: list[np.ndarray], size: int, seeds: list[int]) -> np.ndarray:
    """Positions drawn without replacement in each group of weights, one group after the other from
    one generator.

    weights: positive float64, one array a group, none shorter than `size`. Returns int64 (seeds,
    groups, size), in torch's order. The result for a seed equals torch's after
    `torch.manual_seed(seed)`, for float64 weights.
    """
    flat = np.concatenate(weights).astype(np.float64)
    ends = np.cumsum([len(w) for w in weights])
    limits = np.array([_limit(w, size) for w in weights])
    most = np.concatenate([_bounds(w, limit) for w, limit in zip(weights, limits, strict=True)])
    everything = np.full(len(flat), 1 << HIGH, np.uint32)
    result = np.empty((len(seeds), len(weights), size), np.int64)

    def work(start: int, stop: int) -> None:
        for place in range(start, stop):
            seed = np.uint32(seeds[place] & 0xFFFFFFFF)
            if not _draw(_candidates(seed, most), flat, ends, limits, result[place]):
                nothing_passed = np.full(len(limits), np.inf)
                _draw(_candidates(seed, everything), flat, ends, nothing_passed, result[place])

    parallel_for(work, len(seeds), 16)
    return result


def _draw(
    candidates: tuple, flat: np.ndarray, ends: np.ndarray, limits: np.ndarray, drawn: np.ndarray
) -> bool:
    """Fill `drawn` (groups, size) with the smallest variate / weight of each group; whether they are below `limits`."""
    rows, uniforms = candidates
    with np.errstate(divide="ignore"):
        keys = flat[rows] / np.log1p(-uniforms)  # -weight / variate
    start = first = 0
    size = drawn.shape[1]
    for group, (end, last) in enumerate(zip(ends, np.searchsorted(rows, ends), strict=True)):
        own = keys[first:last]
        order = np.argsort(own)[:size]
        if len(order) < size or own[order[-1]] * limits[group] > -1:
            return False
        drawn[group] = rows[first:last][order] - start
        start, first = end, last
    return True


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


def _bounds(weights: np.ndarray, limit: float) -> np.ndarray:
    """What the first bits of a uniform must be below for its variate / weight to be below the limit."""
    return (-np.expm1(-limit * weights) * 2.0**HIGH).astype(np.uint32) + 1


@njit(cache=True, nogil=True)
def _candidates(seed, most):
    """Rows whose uniform's first bits are below `most`, and their uniforms.

    The generator makes WORDS words at a time; a uniform is two of them, and is put together only
    for candidates.
    """
    state, words = np.empty(WORDS, np.uint32), np.empty(WORDS, np.uint32)
    value = np.uint64(seed)
    state[0] = value
    for i in range(1, WORDS):
        value = np.uint64(1812433253) * (value ^ (value >> np.uint64(30))) + np.uint64(i)
        value &= np.uint64(0xFFFFFFFF)
        state[i] = value
    rows, uniforms = np.empty(len(most), np.int64), np.empty(len(most))
    chosen, low_bits = np.empty(WORDS // 2 + 1, np.int64), np.uint32((1 << HIGH) - 1)
    found = 0
    for start in range(0, len(most), WORDS // 2):
        _renew(state, words)
        few = 0
        for i in range(
            min(WORDS // 2, len(most) - start)
        ):  # without a branch, which nobody could foretell
            chosen[few] = i
            few += words[2 * i] & low_bits < most[start + i]
        for i in chosen[:few]:
            bits = (np.int64(words[2 * i] & low_bits) << 32) | np.int64(words[2 * i + 1])
            rows[found], uniforms[found] = start + i, bits * 2.0**-53
            found += 1
    return rows[:found], uniforms[:found]


@njit(cache=True, nogil=True)
def _renew(state, words):
    """The next WORDS words of the generator."""
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


@njit(inline="always")
def _next(here, following, other):
    mixed = (here & np.uint32(0x80000000)) | (following & np.uint32(0x7FFFFFFF))
    odd = np.uint32(0x9908B0DF) * (mixed & np.uint32(1))
    return np.uint32(other ^ (mixed >> np.uint32(1)) ^ odd)
