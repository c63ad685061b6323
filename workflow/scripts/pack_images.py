"""Decode and resize every image of a dataset once, into one packed array."""

from __future__ import annotations

from pathlib import Path

from cxrfmkd.datasets.images import pack
from cxrfmkd.datasets.records import read_records
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.study.settings import Images


def main() -> None:
    args = parse(__doc__, train=Path, val=Path, test=Path, out=Path, shards=Path, workers=(int, 4))
    records = read_records(args.train, args.val, args.test)
    settings = Images.from_spec(args.spec["images"])
    root, dataset = args.spec["root"], args.spec["dataset"]
    pack(records, settings, root, dataset, args.out, args.shards, args.workers)


if __name__ == "__main__":
    run(main)
