"""What the heads of a model's linear probes get, and the heads, seed by seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from cxrfmkd.bias.erasure import Inputs, Splits
from cxrfmkd.networks.layers import HeadInput, Linear, projection_of
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError


def read_heads(paths: Sequence[Path], seeds: Sequence[int], dataset: str) -> list[Linear]:
    """The head of each seed, or one alone where all are the same."""
    if len(paths) != len(seeds):
        raise InputError(
            f"{len(paths)} files of weights for {len(seeds)} seeds. Name one for each."
        )
    heads = [
        Linear.load(path, expected={"dataset": dataset, "seed": seed})
        for path, seed in zip(paths, seeds, strict=True)
    ]
    alike = all(
        np.array_equal(head.weight, heads[0].weight) and np.array_equal(head.bias, heads[0].bias)
        for head in heads
    )
    return heads[:1] if alike else heads


def read_inputs(
    heads: Sequence[Linear],
    features: Sequence[KeyedArray],
    projections: Sequence[Path],
    splits: Splits,
    elsewhere: Mapping[str, Sequence[KeyedArray]],
) -> Iterator[Inputs]:
    """The inputs of every seed, one at a time.

    features: one array for all seeds or one for each; projections: weights of layers that these
    have not passed yet, as many, or none; elsewhere: arrays of other datasets, as many, by name.
    One head for several arrays counts with each of them.
    """
    arrays = _for_each(features, max(len(heads), len(features)))
    layers: list[Path | None] = _for_each(projections or [None], len(arrays))
    heads = _for_each(heads, len(arrays))
    elsewhere = {name: _for_each(of_name, len(arrays)) for name, of_name in elsewhere.items()}
    former: tuple | None = None
    for number, (array, layer) in enumerate(zip(arrays, layers, strict=True)):
        if former != (array.name, layer):
            own = HeadInput(array, projection_of(array, layer))
            train, val, test = (
                own.take(table.image_id) for table in (splits.train, splits.val, splits.test)
            )
            others = {}
            for name, of_name in elsewhere.items():
                other = of_name[number]
                head_input = HeadInput(other, projection_of(other, layer))
                others[name] = head_input.take(splits.elsewhere[name].image_id)
            former = (array.name, layer)
        yield Inputs(train, val, test, others, heads[number])


def _for_each(items: Sequence, count: int) -> list:
    """One item for each of `count`, where there are as many, or one for all."""
    if len(items) not in (1, count):
        raise InputError(f"{len(items)} files where there should be one, or {count}.")
    return list(items) * (count if len(items) == 1 else 1)
