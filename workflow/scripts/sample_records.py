"""Read a dataset's raw tables into records, split and checked.

--spec {"name": the dataset's name, "dataset": its section of the configuration, "findings": those
of the study, where they are not the 14, "attributes": those that the study declares, if any}
"""

from __future__ import annotations

from pathlib import Path

from cxrfmkd.datasets.records import write_splits
from cxrfmkd.datasets.sampling import sample
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_table
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
        declared(args.spec),
    )
    write_table(args.excluded or args.summary.with_name("excluded.csv"), made.excluded)
    write_splits(vars(args), made.records, made.summary)


if __name__ == "__main__":
    run(main)
