"""Several datasets as one: their records one below the other, checked.

--spec {"dataset": the pool's name, "people": {member: the name its patients are told apart by}}
"""

from __future__ import annotations

from pathlib import Path

from cxrfmkd.datasets.pooling import pool_records
from cxrfmkd.datasets.record_files import hashes
from cxrfmkd.datasets.records import read_records, write_records
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_json, write_table
from cxrfmkd.vocabulary.datasets import SPLITS


def main() -> None:
    outputs = dict.fromkeys((*SPLITS, "summary", "excluded"), Path)
    args = parse(__doc__, records=[Path], **outputs)
    people = args.spec["people"]
    files = {name: [p for p in args.records if p.parts[-3] == name] for name in people}
    members = {name: read_records(*paths) for name, paths in files.items()}
    made = pool_records(args.spec["dataset"], members, people)
    for split in SPLITS:
        write_records(getattr(args, split), made.records[made.records.split == split])
    write_table(args.excluded, made.excluded)
    tables = [getattr(args, split) for split in SPLITS]
    write_json(args.summary, made.summary | {"files": hashes(tables)})


if __name__ == "__main__":
    run(main)
