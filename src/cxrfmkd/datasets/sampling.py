"""From a dataset's raw tables to its records: read, selected, split, checked and counted."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrfmkd.datasets import adapters, gates, splits
from cxrfmkd.datasets.counting import describe
from cxrfmkd.datasets.groups import groups_of
from cxrfmkd.datasets.raw import Flow, Raw
from cxrfmkd.datasets.record_files import reject_outside
from cxrfmkd.datasets.records import KEYS, OLDEST, complete
from cxrfmkd.runtime.cells import shared
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.study.settings import Dataset, Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.attributes import PRESETS, Attributes, declarations

# Image files that are looked for before the study begins.
PROBES = 200


@dataclass(frozen=True)
class Sample:
    """records: of all splits. excluded: image_id, reason. summary: counts alone, no ids."""

    records: pd.DataFrame
    excluded: pd.DataFrame
    summary: dict


def sample(
    name: str,
    settings: Dataset,
    findings: Findings = THESIS,
    attributes: Attributes = PRESETS,
) -> Sample:
    """The records of the dataset `name`, with those of `findings` that it knows of.

    And with a column for each attribute that the study declares.

    Raises InputError where a table, the image folder or a gate is not in order.
    """
    root = Path(settings.images)
    if not root.is_dir():
        raise InputError(
            f"datasets.{name}.images is {root}, which is no folder. Set it to the folder that the "
            "paths of the tables begin in (see docs/data.md)."
        )
    reading = adapters.read(name, settings, findings, attributes)
    flow, raw = reading.flow, Raw(name, settings, findings, attributes)
    records = _usable(reading.records, flow)
    if settings.limit is not None:
        within = splits.some_patients(records.patient_id, settings.limit, settings.split.seed)
        reason = f"beyond the {settings.limit} patients asked for"
        records = flow.keep(records, within, "limit", reason)
    drawn = "split" not in records
    if drawn:
        # Before any image is left out: two datasets of the same people (PA images, AP images) then
        # agree on their sides.
        side = splits.draw(records.patient_id, **settings.split.model_dump())
        records = records.assign(split=side)
    records = _select(records, raw, flow)
    if drawn:
        records = splits.published_order(records, settings.split.seed)
    records = complete(records, findings).set_axis(records.index)  # of lines, for messages
    reject_outside(records.path, f"datasets.{name}")
    checked = gates.check(records, reading.identities, reading.joined, findings, attributes)
    if settings.adapter in gates.PUBLISHED and findings.is_thesis:
        checked.append(gates.published(records, settings.adapter))
    gates.enforce(checked, f"datasets.{name}")
    summary: dict[str, Any] = {
        "dataset": name,
        "adapter": settings.adapter,
        "flow": flow.steps,
        "split": {"drawn": settings.split.model_dump()} if drawn else "brought by the dataset",
        "joined": reading.joined,
        "gates": [asdict(gate) for gate in checked],
        "notes": [*reading.notes, *missing_images(name, root, records)],
        "tables": raw.facts(),
        **describe(records, findings, attributes),
    }
    return Sample(records.reset_index(drop=True), flow.excluded(), summary)


def _usable(records: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    """Images whose age is possible or blank, and which have a split where the dataset brings it."""
    possible = records.age.isna() | records.age.between(0, OLDEST)
    if not possible.all():
        reason = f"no age from 0 to {OLDEST} years"
        records = flow.keep(records, possible, "age", reason, listed=True)
    if "split" in records and records.split.isna().any():
        records = flow.keep(records, records.split.notna(), "split", "no split", listed=True)
    return records


def _select(records: pd.DataFrame, raw: Raw, flow: Flow) -> pd.DataFrame:
    """What the study itself leaves out: listed images, other views."""
    settings = raw.settings
    if raw.has("exclude"):
        listed = raw.table("exclude", ("image_id",)).image_id
        unknown = ~listed.isin(flow.image_ids)
        remedy = "They must be keys of this dataset's images: paths without suffix, unless mapped."
        raw.reject(unknown, "exclude", "image_id", "name no image of the tables", remedy=remedy)
        named = records.image_id.isin(listed)
        records = flow.keep(records, ~named, "exclude", "in the list of images to leave out", True)
    for column, values in settings.keep.items():
        setting = f"datasets.{raw.name}.keep.{column}"
        if column not in records:
            raise InputError(f"{setting}: records have no such column, only {some(records, 40)}.")
        values_of = _kept_by(records, column, raw.attributes)
        present = sorted(values_of.dropna().unique())
        if not present:
            raise InputError(f"{setting}: no record has a {column}, so none would be kept.")
        if absent := [value for value in values if value not in present]:
            listed = shared(values_of.sort_values()) if column not in KEYS else ""
            raise InputError(
                f"{setting}: no record has {_named(column, absent)}"
                + (f"; there are {listed}." if listed else ".")
            )
        matching = values_of.isin(values)
        reason = f"not {_named(column, values)}"
        records = flow.keep(records, matching, f"keep {column}", reason)
    return records


def _kept_by(records: pd.DataFrame, column: str, attributes: Attributes) -> pd.Series:
    """What `keep` chooses among: a column's values, or the groups of a declared number."""
    numbers = [one.name for one in declarations(attributes) if one.edges and one.name != "age"]
    return groups_of(records, attributes[column]) if column in numbers else records[column]


def _named(column: str, values: list) -> str:
    """Values of a setting for messages and tables; those of a key, which name people, counted."""
    return f"{len(values)} of the values that are listed" if column in KEYS else some(values)


def missing_images(name: str, root: Path, records: pd.DataFrame) -> list[str]:
    """A note on missing files among `PROBES` evenly spaced images; InputError if all are missing.

    Packing looks at every file, and lists and counts those that it cannot read.
    """
    paths = records.path.iloc[np.unique(np.linspace(0, len(records) - 1, PROBES).astype(int))]
    absent = [path for path in paths if not (root / path).is_file()]
    if len(absent) == len(paths):
        form = re.sub(r"\d", "#", paths.iloc[0])  # a message must not name a patient
        raise InputError(
            f"datasets.{name}.images is {root}, but none of {len(paths)} images that the tables "
            f"name lies there. Their paths are of the form {form}; set it to the folder in which "
            "these begin."
        )
    if absent:
        return [f"{len(absent)} of {len(paths)} image files that were looked for do not exist."]
    return []
