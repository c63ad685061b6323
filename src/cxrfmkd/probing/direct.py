"""Direct transfer: a source's classifier meets a target dataset as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cxrfmkd.datasets import records
from cxrfmkd.networks.layers import HeadInput, Linear
from cxrfmkd.probing.heads import one_each, predictions, write_run
from cxrfmkd.runtime import provenance
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError


def transfer(
    spec: dict,
    features: Sequence[KeyedArray],
    projection: Sequence[Path],
    heads: Sequence[Path],
    tables: dict[str, pd.DataFrame],
    runs: Sequence[Path],
) -> None:
    """Write a run folder per seed with the source's head and its logits on the target's records.

    spec: `model`, `seeds` and what identifies the transfer; features: the target through the
    source's backbone;
    projection: weights of the student whose projection the head stands on, or none; heads: the
    source's weights (or its `selected.json`); each of these once, or once per run. tables: records
    of val and test.
    """
    seeds = spec["seeds"]
    if len(runs) != len(seeds):
        raise InputError(f"{len(runs)} run folders for {len(seeds)} seeds. Name one for each.")
    tables = {name: records.present(table, *features) for name, table in tables.items()}
    features = one_each("feature arrays", features, runs)
    projection = one_each("projections", projection or [None], runs)
    heads = one_each("heads", heads, runs)
    for seed, array, layer, source, folder in zip(
        seeds, features, projection, heads, runs, strict=True
    ):
        started = provenance.now()
        fixed = Linear.load(layer, "projection") if layer else None
        head = Linear.load(source)
        head_input = HeadInput(array, fixed)
        size = sum(part.weight.size + part.bias.size for part in (head, fixed) if part)
        run = {
            "spec": spec,
            "seed": seed,
            "started": started,
            "finished": provenance.now(),
            "device": "cpu",
            "versions": provenance.versions(),
            "best": {"epoch": None, "val_loss": None},
            "parameters": {"trainable": 0, "total": size},
            "source": str(source),
        }
        history = pd.DataFrame(columns=["epoch", "train_loss", "val_loss"])
        about = {"architecture": "linear", "seed": str(seed)}
        write_run(folder, head, history, predictions(head, head_input, **tables), run, about)
