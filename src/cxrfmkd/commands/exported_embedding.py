"""What an exported model makes of raw images: a student's embeddings, a classifier's findings."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cxrfmkd.datasets.decoding import UnreadableError, decode
from cxrfmkd.networks.devices import pick_device
from cxrfmkd.networks.exported import PREPROCESSOR, WEIGHTS, load_exported
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_json
from cxrfmkd.runtime.processes import read_ahead
from cxrfmkd.runtime.progress import Progress
from cxrfmkd.runtime.seals import sha256

BATCH = 32


def embed_exported(
    folder: Path, records: pd.DataFrame, root: Path, workers: int
) -> tuple[KeyedArray, pd.DataFrame, list[str]]:
    """The outputs of the model in `folder` for every readable image, by key.

    records: image_id, and path below `root`. Returns the outputs, float32 (n, d), of a classifier
    as probabilities; the images that cannot be read (image_id, reason); and the names of a
    classifier's findings. Raises InputError where none can be read.
    """
    network, config = load_exported(folder)
    settings = read_json(folder / PREPROCESSOR)
    device = pick_device()
    network.to_device(device)
    read = partial(_read, root, settings["size"]["height"], settings["aspect"])
    outputs, kept, excluded = [], [], []
    progress = Progress("embedding images", len(records))
    with ThreadPoolExecutor(workers) as pool, torch.no_grad():
        images = read_ahead(pool, read, records.path, 2 * BATCH)
        for batch in _batches(zip(records.image_id, images, strict=True)):
            squares = [square for _, square in batch if isinstance(square, np.ndarray)]
            kept += [image for image, square in batch if isinstance(square, np.ndarray)]
            excluded += [(image, square) for image, square in batch if isinstance(square, str)]
            if squares:
                found = network(torch.from_numpy(np.stack(squares)).to(device))
                if config["what"] == "classifier":
                    found = found.sigmoid()
                outputs.append(found.float().cpu().numpy())
            for _ in batch:
                progress.step()
    progress.close()
    listed = pd.DataFrame(excluded, columns=["image_id", "reason"])
    if not outputs:
        raise InputError(
            f"none of {len(records)} images below {root} can be read: {listed.reason.iloc[0]}."
        )
    index = pd.DataFrame({"image_id": kept})
    meta = {
        "what": f"outputs of an exported {config['what']}",
        "variant": "exported",
        "model": sha256(folder / WEIGHTS),
        "excluded": listed.image_id.tolist(),
    }
    array = KeyedArray(np.concatenate(outputs), index, meta, "outputs")
    return array, listed, list(config.get("id2label", {}).values())


def _read(root: Path, size: int, aspect: str, path: str) -> np.ndarray | str:
    """The network's input, or why there is none."""
    try:
        return decode(root / path, size, aspect).pixels
    except UnreadableError as error:
        return str(error)


def _batches(items: Iterator[tuple]) -> Iterator[list[tuple]]:
    batch: list[tuple] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
