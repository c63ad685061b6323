"""Files of weights, and what names them."""

from __future__ import annotations

from pathlib import Path

from cxrfmkd.runtime.files import read_json


def selected_weights(path: str | Path) -> Path:
    """`path` itself, or, for a `selected.json`, the weights that it names."""
    path = Path(path)
    return path.parent / read_json(path)["weights"] if path.suffix == ".json" else path
