"""Apply a source's classifiers to a target dataset; nothing is trained."""

from pathlib import Path

from cxrfmkd.datasets.records import read_records
from cxrfmkd.probing.direct import transfer
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.arrays import KeyedArray


def main() -> None:
    args = parse(
        __doc__,
        features=[KeyedArray.open],
        projection=[Path],
        heads=[Path],
        val=read_records,
        test=read_records,
        runs=[Path],
    )
    tables = {"val": args.val, "test": args.test}
    transfer(args.spec, args.features, args.projection, args.heads, tables, args.runs)


if __name__ == "__main__":
    run(main)
