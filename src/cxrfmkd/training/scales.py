"""Where a dataset's own MSE and cosine losses level off, to balance the losses that weigh them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_json


def measure_scales(mse: Sequence[str | Path], cosine: Sequence[str | Path]) -> dict[str, float]:
    """Where MSE and cosine level off on a dataset: mean plateau of its students of each loss.

    mse, cosine: their `run.json` files. The thesis averaged training losses; validation losses are
    used here.
    """
    scales = {}
    for loss, paths in [("mse", mse), ("cosine", cosine)]:
        levels = [_plateau_of_run(Path(path), loss) for path in paths]
        if not levels:
            raise InputError(
                f"the plateau of {loss} needs at least one student that was distilled with it."
            )
        scales[loss] = float(np.mean(levels))
    return scales


def _plateau_of_run(path: Path, loss: str) -> float:
    run = read_json(path)
    if run.get("loss") != loss:
        raise InputError(f"{path}: a student of loss {run.get('loss')!r}, not of {loss!r}.")
    level = run["plateau"][loss]
    if not level > 0:
        raise InputError(f"{path}: the plateau of {loss} is {level}; it must be positive.")
    return level
