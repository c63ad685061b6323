"""Runs of linear probes: one model's heads for every seed, from kept features to run folders."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cxrfmkd.datasets import records
from cxrfmkd.datasets.records import read_records
from cxrfmkd.networks.devices import device_name, pick_device
from cxrfmkd.networks.layers import HeadInput, Linear
from cxrfmkd.probing.heads import one_each, predictions, write_run
from cxrfmkd.probing.probes import Probed, Sample, train_heads
from cxrfmkd.runtime import provenance
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
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
    tables: records of `train`,
    `val` and `test`; runs: a folder per seed. The test records are looked at when every head is
    final.
    """
    settings, labels, seeds = (
        Probe.from_spec(spec["probe"]),
        Labels.from_spec(spec["labels"]),
        spec["seeds"],
    )
    if len(runs) != len(seeds):
        raise InputError(f"{len(runs)} run folders for {len(seeds)} seeds. Name one for each.")
    tables = {name: records.present(table, *features) for name, table in tables.items()}
    arrays = one_each("feature arrays", features, runs)
    layers = one_each("projections", projection or [None], runs)
    pairs = [(array.name, layer) for array, layer in zip(arrays, layers, strict=True)]
    device = pick_device()
    for pair in dict.fromkeys(pairs):
        started = provenance.now()
        members = [number for number, other in enumerate(pairs) if other == pair]
        layer = Linear.load(pair[1], "projection") if pair[1] else None
        head_input = HeadInput(arrays[members[0]], layer)
        samples = [Sample.of(tables[name], head_input, labels) for name in ("train", "val")]
        heads = train_heads(*samples, [seeds[number] for number in members], settings, device)
        for number, probed in zip(members, heads, strict=True):
            facts = {"spec": spec, "started": started, "device": device_name(device)}
            _write(runs[number], probed, head_input, tables, facts)


def _write(
    folder: Path,
    probed: Probed,
    head_input: HeadInput,
    tables: dict[str, pd.DataFrame],
    facts: dict,
) -> None:
    for note in ("constant", "not_converged"):
        if probed.notes.get(note):
            log.warning("seed %d, %s: %s", probed.seed, note, ", ".join(probed.notes[note]))
    trained = probed.head.weight.size + probed.head.bias.size
    layer = head_input.projection
    fixed = layer.weight.size + layer.bias.size if layer else 0
    run = facts | {
        "seed": probed.seed,
        "finished": provenance.now(),
        "versions": provenance.versions(),
        "best": probed.best,
        "parameters": {"trainable": trained, "total": trained + fixed},
        **probed.notes,
    }
    predicted = predictions(probed.head, head_input, val=tables["val"], test=tables["test"])
    about = {"architecture": "linear", "seed": str(probed.seed)}
    write_run(folder, probed.head, probed.history, predicted, run, about)
