"""Read a dataset's raw tables into records, split and checked."""

from __future__ import annotations

import logging
from pathlib import Path

from cxrfmkd.datasets.records import write_records
from cxrfmkd.datasets.sampling import sample
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_json, write_table
from cxrfmkd.study.settings import Dataset
from cxrfmkd.vocabulary.datasets import SPLITS


def main() -> None:
    args = parse(__doc__, train=Path, val=Path, test=Path, summary=Path, excluded=(Path, None))
    made = sample(args.spec["name"], Dataset.from_spec(args.spec["dataset"]))
    for split in SPLITS:
        part = made.records[made.records.split == split]
        write_records(getattr(args, split), part)
        logging.info("%s: %d images of %d patients", split, len(part), part.patient_id.nunique())
    write_table(args.excluded or args.summary.with_name("excluded.csv"), made.excluded)
    write_json(args.summary, made.summary)


if __name__ == "__main__":
    run(main)
