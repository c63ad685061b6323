"""One synthetic site: its raw files, and the truth that was planted in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from cxrfmkd.synthetic.truth import Truth, planted

NOTE = "Synthetic data: no patient is real. The traces of sex, age and race are made-up signals."
Writer = Callable[[Path, Truth, int, int, int], dict]


def synthesize(write: Writer, folder: Path, settings: dict, workers: int) -> dict:
    """Write a site's raw files into `folder` and return the content of `truth.json`.

    write: of the module of a layout; settings: `site`, `patients`, `seed` and changes of the
    site's truth (see `truth.planted`).
    """
    changes = dict(settings)
    site, patients, seed = (changes.pop(name) for name in ("site", "patients", "seed"))
    truth = planted(site, **changes)
    return {
        "note": NOTE,
        "patients": patients,
        "seed": seed,
        "counts": write(folder, truth, patients, seed, workers),
        "best possible AUC from the traces": truth.ceilings(),
        "planted": dataclasses.asdict(truth),
    }
