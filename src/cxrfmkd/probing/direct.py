"""Direct transfer: a source's classifier applied to a target dataset as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cxrfmkd.datasets import records
from cxrfmkd.networks.layers import HeadInput, Linear, projection_of
from cxrfmkd.probing.run_files import check_runs, one_per_run, origin, write_run
from cxrfmkd.runtime import provenance
from cxrfmkd.runtime.arrays import KeyedArray


def transfer(
    spec: dict,
    features: Sequence[KeyedArray],
    projection: Sequence[Path],
    heads: Sequence[Path],
    tables: dict[str, pd.DataFrame],
    runs: Sequence[Path],
) -> None:
    """Write a run folder per seed with the source's head and its logits on the target's records.

    Of the head, those outputs are kept whose findings the target has, matched by name.

    spec: `model`, `seeds` and what identifies the transfer; features: the target's, by the source's
    backbone; projection: weights of the student whose projection the head is trained on, or none;
    heads: the source's weights (or its `selected.json`); each of these once, or once per run.
    tables: records of val and test.
    """
    check_runs(runs, spec["seeds"])
    tables = {name: records.present(table, *features) for name, table in tables.items()}
    findings = records.findings_of(tables["val"])
    arrays = one_per_run("feature arrays", features, runs)
    projections = one_per_run("projections", projection or [None], runs)
    sources = one_per_run("heads", heads, runs)
    for seed, array, layer, source, folder in zip(
        spec["seeds"], arrays, projections, sources, runs, strict=True
    ):
        started = provenance.now()
        head_input = HeadInput(array, projection_of(array, layer))
        expected = origin(array) | {"model": spec["model"]}
        expected |= {"seed": seed} if len(heads) == len(runs) else {}
        expected |= {"dataset": spec["source"]} if "source" in spec else {}
        write_run(
            folder,
            Linear.load(source, expected=expected).of(findings, source),
            head_input,
            tables,
            pd.DataFrame(columns=["epoch", "train_loss", "val_loss"]),
            spec=spec,
            seed=seed,
            started=started,
            device="cpu",
            best={"epoch": None, "val_loss": None},
            trained=False,
            source=str(source),
        )
