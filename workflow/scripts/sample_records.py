"""Read a dataset's raw tables into records, split and checked.

--spec {"name": the dataset's name, "dataset": its section of the configuration, "findings": those
of the study, where they are not the 14, "attributes": those that the study declares, if any}
"""

from __future__ import annotations

import logging
from pathlib import Path

from cxrfmkd.datasets.record_files import hashes
from cxrfmkd.datasets.records import write_records
from cxrfmkd.datasets.sampling import sample
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_json, write_table
from cxrfmkd.study.settings import Dataset, Findings
from cxrfmkd.vocabulary.attributes import declared
from cxrfmkd.vocabulary.datasets import SPLITS


def main() -> None:
    outputs = dict.fromkeys((*SPLITS, "summary"), Path)
    args = parse(__doc__, **outputs, excluded=(Path, None))
    made = sample(
        args.spec["name"],
        Dataset.from_section(args.spec["dataset"]),
        Findings.of_spec(args.spec),
        declared(args.spec.get("attributes", [])),
    )
    for split in SPLITS:
        records = made.records[made.records.split == split]
        write_records(getattr(args, split), records, made.summary.get("attributes", {}))
        patients = records.patient_id.nunique()
        logging.info("%s: %d images of %d patients", split, len(records), patients)
    write_table(args.excluded or args.summary.with_name("excluded.csv"), made.excluded)
    tables = [getattr(args, split) for split in SPLITS]
    write_json(args.summary, made.summary | {"files": hashes(tables)})


if __name__ == "__main__":
    run(main)
