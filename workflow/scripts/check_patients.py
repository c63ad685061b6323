"""Check that no patient is in one split of a transfer's source and another of its target."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from cxrfmkd.datasets import gates
from cxrfmkd.datasets.records import read_records
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_json


def main() -> None:
    args = parse(__doc__, source=[Path], target=[Path], out=Path)
    found = []
    if args.spec["same_people"]:
        found = [gates.patients_of_both(read_records(*args.source), read_records(*args.target))]
        gates.enforce(found, f"transfer from {args.spec['source']} to {args.spec['target']}")
    write_json(args.out, [asdict(gate) for gate in found])


if __name__ == "__main__":
    run(main)
