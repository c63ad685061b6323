"""Runs of linear probes: one model's heads for every seed, from kept features to run folders."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cxrfmkd.datasets import records
from cxrfmkd.datasets.records import read_records
from cxrfmkd.networks.devices import device_name, pick_device
from cxrfmkd.networks.layers import HeadInput, projection_of
from cxrfmkd.probing.heads import LabelledInputs
from cxrfmkd.probing.probes import train_heads
from cxrfmkd.probing.run_files import check_runs, one_per_run, write_run
from cxrfmkd.runtime import provenance
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.study.settings import Labels, Probe

log = logging.getLogger(__name__)

# What a script that trains probes is given.
ARGUMENTS: dict[str, object] = {
    "features": [KeyedArray.open],
    "projection": [Path],
    "train": read_records,
    "val": read_records,
    "test": read_records,
    "runs": [Path],
}


def train_runs(
    spec: dict,
    features: Sequence[KeyedArray],
    projection: Sequence[Path],
    tables: dict[str, pd.DataFrame],
    runs: Sequence[Path],
) -> None:
    """Train the heads of one model and write a run folder per seed.

    spec: `model`, `seeds`, `labels`, `probe`, and whatever else identifies the runs; features,
    projection: keyed arrays and files of weights (or none), one for all seeds or one for each;
    tables: records of `train`, `val` and `test`; runs: a folder per seed. Test records are not
    looked at before the heads are final.
    """
    settings, labels = Probe.from_spec(spec["probe"]), Labels.from_spec(spec["labels"])
    seeds = spec["seeds"]
    check_runs(runs, seeds)
    records.check_findings(tables)
    tables = {name: records.present(table, *features) for name, table in tables.items()}
    arrays = one_per_run("feature arrays", features, runs)
    layers = one_per_run("projections", projection or [None], runs)
    inputs = [(array.name, layer) for array, layer in zip(arrays, layers, strict=True)]
    device = pick_device()
    for distinct in dict.fromkeys(inputs):
        started = provenance.now()
        members = [number for number, other in enumerate(inputs) if other == distinct]
        array = arrays[members[0]]
        head_input = HeadInput(array, projection_of(array, distinct[1]))
        train, val = (LabelledInputs.of(tables[n], head_input, labels) for n in ("train", "val"))
        heads = train_heads(train, val, [seeds[number] for number in members], settings, device)
        for number, trained in zip(members, heads, strict=True):
            for note in ("constant", "not_converged"):
                if findings := trained.notes.get(note):
                    log.warning("seed %d, %s: %s", trained.seed, note, ", ".join(findings))
            write_run(
                runs[number],
                trained.head,
                head_input,
                tables,
                trained.history,
                spec=spec,
                seed=trained.seed,
                started=started,
                device=device_name(device),
                best=trained.best,
                **trained.notes,
            )
