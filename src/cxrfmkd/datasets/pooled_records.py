"""Several datasets as one: their records one below the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from cxrfmkd.datasets import gates
from cxrfmkd.datasets.counting import describe
from cxrfmkd.datasets.raw import Flow
from cxrfmkd.datasets.records import KEYS, complete, findings_of, member_key
from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.attributes import PRESETS, Attributes
from cxrfmkd.vocabulary.datasets import POOL, SITE


@dataclass(frozen=True)
class Pooled:
    """records: of all splits. summary: counts alone, no ids."""

    records: pd.DataFrame
    summary: dict


def pool_records(
    pool: str,
    members: Mapping[str, pd.DataFrame],
    people: Mapping[str, str],
    findings: Findings = THESIS,
    attributes: Attributes = PRESETS,
) -> Pooled:
    """The records of a pool: those of its members, in order, each in the split that it has there.

    members: records of all splits, by member. people: member -> the name that its patients are told
    apart by; members with the same people have the same. `image_id`, `study_id` and `path` begin
    with the member, `patient_id` with its people; the column `site` is the member. A finding that
    a member knows nothing of is left out, since its blanks would be that site's mark.
    Raises InputError where a gate is not passed, such as a patient in two splits.
    """
    parts, notes = [], []
    shared = set.intersection(*(set(findings_of(records)) for records in members.values()))
    for member, records in members.items():
        if SITE in records:
            notes.append(f"The column {SITE} that {member} has itself is left out.")
        if unshared := [name for name in findings_of(records) if name not in shared]:
            notes.append(f"{', '.join(unshared)} of {member}: not known of every member, left out.")
        named = dict.fromkeys(KEYS, member) | {"patient_id": people[member]}
        keys = {name: member_key(named[name], records[name]) for name in KEYS}
        parts.append(records.drop(columns=unshared).assign(**keys, **{SITE: member}))
    records = complete(pd.concat(parts, ignore_index=True), findings)
    checked = gates.check(records, {}, None, findings, attributes)
    gates.enforce(checked, f"datasets.{pool}")
    summary: dict[str, Any] = {
        "dataset": pool,
        "adapter": POOL,
        "pool": list(members),
        "flow": Flow(records, f"images of {', '.join(members)}").steps,
        "split": "as the members are divided",
        "joined": None,
        "gates": [asdict(gate) for gate in checked],
        "notes": notes,
        "tables": {},
        **describe(records, findings, attributes),
    }
    return Pooled(records, summary)
