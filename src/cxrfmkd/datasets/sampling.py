"""From a dataset's raw tables to its records: read, selected, split, checked and counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.datasets import adapters, gates, splits
from cxrfmkd.datasets.raw import Flow, Raw
from cxrfmkd.datasets.records import complete
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.study.settings import Dataset
from cxrfmkd.vocabulary.datasets import SPLITS
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.groups import AGE_BINS, DISEASES

# Image files that are looked for before the study begins.
PROBES = 200


@dataclass(frozen=True)
class Sample:
    """records: of all splits. excluded: image_id, reason. summary: counts alone, no ids."""

    records: pd.DataFrame
    excluded: pd.DataFrame
    summary: dict


def sample(name: str, settings: Dataset) -> Sample:
    """The records of the dataset `name`.

    Raises InputError where a table, the image folder or a gate is not in order.
    """
    root = Path(settings.images)
    if not root.is_dir():
        raise InputError(
            f"datasets.{name}.images is {root}, which is no folder. Set it to the folder that the "
            "paths of the tables begin in (see docs/data.md)."
        )
    reading = adapters.read(name, settings)
    flow, raw = reading.flow, Raw(name, settings)
    records = _limit(reading.records, settings, flow)
    drawn = "split" not in records
    if drawn:
        # Before any image is left out: two datasets of the same people (PA images, AP images) then
        # agree on their sides.
        records = records.assign(
            split=splits.draw(records.patient_id, **settings.split.model_dump())
        )
    records = _select(records, raw, flow)
    if drawn:
        records = splits.published_order(records, settings.split.seed)
    records = complete(records)
    checked = gates.check(records, reading.identities, reading.joined)
    gates.enforce(checked, f"datasets.{name}")
    summary = {
        "dataset": name,
        "adapter": settings.adapter,
        "flow": flow.steps,
        "split": {"drawn": settings.split.model_dump()} if drawn else "brought by the dataset",
        "joined": reading.joined,
        "gates": [asdict(gate) for gate in checked],
        "notes": [*reading.notes, *missing_images(name, root, records)],
        "tables": raw.facts(),
        "counts": {side: counts(records[records.split == side]) for side in SPLITS},
    }
    return Sample(records, flow.excluded(), summary)


def _limit(records: pd.DataFrame, settings: Dataset, flow: Flow) -> pd.DataFrame:
    """The patients that the study is limited to."""
    if settings.limit is None:
        return records
    drawn = splits.some_patients(records.patient_id, settings.limit, settings.split.seed)
    return flow.keep(records, drawn, "limit", f"beyond the {settings.limit} patients asked for")


def _select(records: pd.DataFrame, raw: Raw, flow: Flow) -> pd.DataFrame:
    """What the study itself leaves out: listed images, other views."""
    settings = raw.settings
    if raw.has("exclude"):
        listed = raw.table("exclude", ("image_id",)).image_id
        named = records.image_id.isin(listed)
        if not named.any():
            raise InputError(
                f"{raw.setting('exclude')} ({raw.path('exclude').name}) names none of the images. "
                "Its column image_id must hold keys of this dataset's records."
            )
        records = flow.keep(records, ~named, "exclude", "in the list of images to leave out", True)
    for column, values in settings.keep.items():
        setting = f"datasets.{raw.name}.keep.{column}"
        if column not in records:
            raise InputError(f"{setting}: records have no such column, only {some(records, 40)}.")
        present = sorted(records[column].dropna().unique())
        if absent := [value for value in values if value not in present]:
            raise InputError(
                f"{setting}: no record has {some(absent)}; there are {some(present, 20)}."
            )
        records = flow.keep(
            records, records[column].isin(values), f"keep {column}", f"not {some(values)}"
        )
    return records


def missing_images(name: str, root: Path, records: pd.DataFrame) -> list[str]:
    """A note on missing files among `PROBES` evenly spaced images; InputError if all are missing.

    Packing looks at every file, and lists and counts those that it cannot read.
    """
    paths = records.path.iloc[np.unique(np.linspace(0, len(records) - 1, PROBES).astype(int))]
    absent = [path for path in paths if not (root / path).is_file()]
    if len(absent) == len(paths):
        raise InputError(
            f"datasets.{name}.images is {root}, but none of {len(paths)} images that the tables "
            f"name lies there. Their paths are of the form {_form(paths.iloc[0])}; set it to the "
            "folder in which these begin."
        )
    if absent:
        return [f"{len(absent)} of {len(paths)} image files that were looked for do not exist."]
    return []


def _form(path: str) -> str:
    """A path without its digits, since a message must not name a patient."""
    return "".join("#" if letter.isdigit() else letter for letter in path)


def counts(records: pd.DataFrame) -> dict:
    """Images, patients and studies of one split; images by attribute and by label.

    Under `patients_by`, the patients with an image of each level, since small cells are counted in
    patients.
    """
    return {
        "images": len(records),
        "patients": int(records.patient_id.nunique()),
        "studies": len(records[["patient_id", "study_id"]].drop_duplicates()),
        "mean_age": round(float(records.age.mean()), 2) if records.age.notna().any() else None,
        **_by_level(lambda column: records[column]),
        "patients_by": _by_level(
            lambda column: records.drop_duplicates(["patient_id", column])[column]
        ),
    }


def _by_level(values: Callable[[str], pd.Series]) -> dict:
    """How often each attribute and each label has each level; values: a column by its name."""

    def by(column: str, names: tuple[str, ...] = ()) -> dict[str, int]:
        sizes = values(column).astype("object").fillna("blank").value_counts(sort=False)
        return {
            str(names[kind]) if names and kind != "blank" else str(kind): int(n)
            for kind, n in sorted(sizes.items(), key=str)
        }

    def label(finding: str) -> dict[str, int]:
        labels, words = values(finding), {"positive": 1, "negative": 0, "uncertain": -1}
        sizes = {word: int(labels.eq(value).sum()) for word, value in words.items()}
        return sizes | {"blank": int(labels.isna().sum())}

    diseases = values("disease")
    return {
        "sex": by("sex"),
        "race": by("race"),
        "view": by("view"),
        "disease": {kind: int(diseases.eq(kind).sum()) for kind in DISEASES},
        "age_bin": by("age_bin", AGE_BINS),
        "findings": {finding: label(finding) for finding in FINDINGS},
    }
