"""Linear heads: what they see, how they are kept, what they predict, and the files of a run that is
one.

Needs numpy alone, so that a transfer in which nothing is trained costs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.networks.layers import HeadInput, Linear
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import write_json, write_table
from cxrfmkd.vocabulary.findings import FINDINGS


def predictions(head: Linear, head_input: HeadInput, **splits: pd.DataFrame) -> pd.DataFrame:
    """Logits of every record: image_id, split (the keyword), then the 14 findings as float32."""
    if head.weight.shape[1] != head_input.width:
        raise InputError(
            f"{head_input.features.name}: the head takes {head.weight.shape[1]} numbers of an image, but "
            f"gets {head_input.width}. "
            "Name the features, and the projection if there is one, that the head was trained on."
        )
    tables = []
    for split, records in splits.items():
        table = pd.DataFrame(head(head_input.take(records.image_id)), columns=list(FINDINGS))
        table.insert(0, "image_id", records.image_id.to_numpy())
        table.insert(1, "split", split)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def write_run(
    folder: str | Path,
    head: Linear,
    history: pd.DataFrame,
    predicted: pd.DataFrame,
    run: dict,
    about: dict[str, str],
) -> None:
    """The four files of a run whose only weights are a head; `run.json` last."""
    folder = Path(folder)
    head.save(folder / "weights.safetensors", about)
    write_table(folder / "history.csv", history)
    write_table(folder / "predictions.parquet", predicted)
    write_json(folder / "run.json", run)


def one_each(what: str, given: Sequence, runs: Sequence) -> list:
    """`given` once for every run: as many as there are runs, or one for all of them."""
    if len(given) not in (1, len(runs)):
        raise InputError(
            f"{len(given)} {what} for {len(runs)} runs. Name one for all of them, or one for each, "
            "in order."
        )
    return list(given) * len(runs) if len(given) == 1 else list(given)
