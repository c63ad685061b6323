"""The run folders of linear heads, and what the heads predict.

Needs numpy alone, so that a transfer in which nothing is trained costs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cxrfmkd.networks.layers import HeadInput, Linear
from cxrfmkd.runtime import provenance
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import write_json, write_table


def predictions(head: Linear, head_input: HeadInput, **splits: pd.DataFrame) -> pd.DataFrame:
    """Logits of every record: image_id, split (the keyword), the head's findings as float32."""
    if head.weight.shape[1] != head_input.width:
        raise InputError(
            f"{head_input.features.name}: the head takes {head.weight.shape[1]} numbers of an "
            f"image, but gets {head_input.width}. Name the features, and the projection if there "
            "is one, that the head was trained on."
        )
    tables = []
    for split, table in splits.items():
        logits = pd.DataFrame(head(head_input.take(table.image_id)), columns=list(head.findings))
        logits.insert(0, "image_id", table.image_id.to_numpy())
        logits.insert(1, "split", split)
        tables.append(logits)
    return pd.concat(tables, ignore_index=True)


def origin(features: KeyedArray) -> dict[str, str]:
    """What a head's header says of the features that it takes, as far as these say it themselves.

    `dataset`, the teacher's `variant`, the `backbone`, and the hash of its weights.
    """
    names = {"dataset": "dataset", "variant": "variant", "backbone": "backbone"}
    names |= {"backbone_weights": "weights"}
    return {name: str(features.meta[key]) for name, key in names.items() if features.meta.get(key)}


def write_run(
    folder: str | Path,
    head: Linear,
    head_input: HeadInput,
    tables: dict[str, pd.DataFrame],
    history: pd.DataFrame,
    *,
    seed: int,
    trained: bool = True,
    **facts: object,
) -> None:
    """The four files of a run whose only weights are a head; `run.json` last.

    tables: records of val and test, to be predicted; trained: whether the head is this run's own;
    facts: what else run.json holds.
    """
    folder = Path(folder)
    spec = facts.get("spec")
    about = spec if isinstance(spec, dict) else {}
    header = origin(head_input.features) | {"architecture": "linear", "seed": str(seed)}
    header |= {"model": str(about["model"])} if "model" in about else {}
    if not trained and "source" in about:
        header["dataset"] = str(about["source"])
    head.save(folder / "weights.safetensors", header)
    write_table(folder / "history.csv", history)
    predicted = predictions(head, head_input, val=tables["val"], test=tables["test"])
    write_table(folder / "predictions.parquet", predicted)
    layers = [head] if head_input.projection is None else [head, head_input.projection]
    sizes = [layer.weight.size + layer.bias.size for layer in layers]
    run = facts | {
        "seed": seed,
        "finished": provenance.now(),
        "versions": provenance.versions(),
        "parameters": {"trainable": sizes[0] if trained else 0, "total": sum(sizes)},
    }
    write_json(folder / "run.json", run)


def one_per_run(name: str, items: Sequence, runs: Sequence) -> list:
    """`items`, of which there are as many as runs, or one for all of them, once for every run."""
    if len(items) not in (1, len(runs)):
        raise InputError(
            f"{len(items)} {name} for {len(runs)} runs. Name one for all of them, or one for each, "
            "in order."
        )
    return list(items) * len(runs) if len(items) == 1 else list(items)


def check_runs(runs: Sequence, seeds: Sequence[int]) -> None:
    """Raise InputError unless there is a run folder for each seed."""
    if len(runs) != len(seeds):
        raise InputError(f"{len(runs)} run folders for {len(seeds)} seeds. Name one for each.")
