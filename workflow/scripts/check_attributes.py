"""Check that the test images have what the study asks of their patients: sex, age, race, view.

--spec {"dataset": name, "asked": {attribute: the settings that ask for it}, "balanced": whether the
test set is resampled, "by": the attribute that gets equal shares, if not race}
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from cxrfmkd.datasets import gates
from cxrfmkd.runtime.arguments import parse, run
from cxrfmkd.runtime.files import read_json, write_json
from cxrfmkd.vocabulary.attributes import PRESETS


def main() -> None:
    args = parse(__doc__, summary=Path, out=Path)
    dataset, asked, balanced = (args.spec[name] for name in ("dataset", "asked", "balanced"))
    by = args.spec.get("by", "race")
    summary = read_json(args.summary)
    counts, declared = summary["counts"]["test"], summary.get("attributes", {})
    groups = declared.get(by) or PRESETS[by].groups
    found = [
        gates.attributes(dataset, counts, asked),
        gates.balance(dataset, counts, balanced, by, groups),
    ]
    gates.enforce(found, f"datasets.{dataset}")
    write_json(args.out, [asdict(gate) for gate in found])


if __name__ == "__main__":
    run(main)
