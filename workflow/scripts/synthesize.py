"""Write a synthetic site's raw tables and images, and the truth that is planted in them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_json
from cxrfmkd.synthetic import chexpert, mimic
from cxrfmkd.synthetic.truth import planted

WRITERS = {"chexpert": chexpert.write, "mimic": mimic.write}


def main() -> None:
    args = parse(__doc__, out=Path, truth=Path, workers=(int, 2))
    spec = dict(args.spec)
    site, patients, seed = spec.pop("site"), spec.pop("patients"), spec.pop("seed")
    truth = planted(site, **spec)
    counts = WRITERS[site](args.out, truth, patients, seed, args.workers)
    write_json(
        args.truth,
        {
            "note": "Synthetic data: no patient is real. The traces of sex, age and race are made-up signals.",
            "patients": patients,
            "seed": seed,
            "counts": counts,
            "best possible AUC from the traces": truth.ceilings(),
            "planted": dataclasses.asdict(truth),
        },
    )


if __name__ == "__main__":
    run(main)
