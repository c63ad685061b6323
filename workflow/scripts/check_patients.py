"""Check that no patient is in one split of a transfer's source and another of its target.

--spec {"source": …, "target": …, "same_people": whether equal ids can mean one person, "people":
{the one that is no pool: what its patients are told apart by in a pool}}
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from cxrfmkd.datasets import gates
from cxrfmkd.datasets.records import member_key, read_records
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import write_json


def main() -> None:
    args = parse(__doc__, source=[Path], target=[Path], out=Path)
    found = []
    if args.spec["same_people"]:
        both = {name: read_records(*getattr(args, name)) for name in ("source", "target")}
        for name, records in both.items():
            if people := args.spec.get("people", {}).get(args.spec[name]):
                records["patient_id"] = member_key(people, records.patient_id)
        found = [gates.patients_of_both(*both.values())]
        gates.enforce(found, f"transfer from {args.spec['source']} to {args.spec['target']}")
    write_json(args.out, [asdict(gate) for gate in found])


if __name__ == "__main__":
    run(main)
