"""Check that no patient and no image is in two splits, and count images of hardly any contrast."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from cxrfmkd.datasets import gates
from cxrfmkd.datasets.records import present, read_records
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.files import write_json, write_table


def main() -> None:
    args = parse(
        __doc__, train=Path, val=Path, test=Path, images=KeyedArray.open, out=Path, pairs=Path
    )
    records = present(read_records(args.train, args.val, args.test), args.images)
    twins = gates.identical(records, args.images.index)
    write_table(args.pairs, twins)
    found = [gates.patients(records), gates.splits(records), gates.pixels(twins)]
    found.append(gates.faint(args.images.meta.get("faint", 0), len(args.images)))
    gates.enforce(found, f"datasets.{args.spec.get('dataset')}, images listed in {args.pairs}")
    write_json(args.out, [asdict(gate) for gate in found])


if __name__ == "__main__":
    run(main)
