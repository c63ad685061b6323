"""Several datasets as one: their records one below the other, checked.

--spec {"dataset": the pool's name, "people": {member: the name its patients are told apart by},
"findings", "attributes": as of sample_records}
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cxrfmkd.datasets.pooled_records import pool_records
from cxrfmkd.datasets.records import read_records, write_splits
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_table
from cxrfmkd.study.settings import Findings
from cxrfmkd.vocabulary.attributes import declared
from cxrfmkd.vocabulary.datasets import SPLITS


def main() -> None:
    outputs = dict.fromkeys((*SPLITS, "summary", "excluded"), Path)
    args = parse(__doc__, records=[Path], **outputs)
    spec = args.spec
    files = {name: [p for p in args.records if p.parts[-3] == name] for name in spec["people"]}
    made = pool_records(
        spec["dataset"],
        {name: read_records(*paths) for name, paths in files.items()},
        spec["people"],
        Findings.of_spec(spec),
        declared(spec),
    )
    write_table(args.excluded, pd.DataFrame({"image_id": [], "reason": [], "where": []}))
    write_splits(vars(args), made.records, made.summary)


if __name__ == "__main__":
    run(main)
