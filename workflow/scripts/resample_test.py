"""Weight the test images so that races have equal shares, prevalence and ages."""

from __future__ import annotations

from pathlib import Path

from cxrfmkd.datasets.records import read_records
from cxrfmkd.datasets.resampling import resample
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_table
from cxrfmkd.study.settings import Resampling
from cxrfmkd.vocabulary.attributes import declared


def main() -> None:
    args = parse(__doc__, records=Path, out=Path, balance=Path)
    settings = Resampling.from_spec({"by": "race"} | args.spec["resampling"])
    weights, balance = resample(
        read_records(args.records),
        settings,
        args.spec["dataset"],
        args.spec["minimum_cell"],
        declared(args.spec),
    )
    write_table(args.balance, balance)
    write_table(args.out, weights)


if __name__ == "__main__":
    run(main)
