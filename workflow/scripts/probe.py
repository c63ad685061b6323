"""Train new heads on features that are kept: linear probes on a dataset or on the target of a transfer."""

from pathlib import Path

from cxrfmkd.datasets.records import read_records
from cxrfmkd.probing.runs import train_runs
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.arrays import KeyedArray


def main() -> None:
    args = parse(
        __doc__,
        features=[KeyedArray.open],
        projection=[Path],
        train=read_records,
        val=read_records,
        test=read_records,
        runs=[Path],
    )
    tables = {"train": args.train, "val": args.val, "test": args.test}
    train_runs(args.spec, args.features, args.projection, tables, args.runs)


if __name__ == "__main__":
    run(main)
