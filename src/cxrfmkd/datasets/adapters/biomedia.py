"""The CSV files that the notebooks of biomedia-mira/chexploration wrote.

`chexpert.sample.{train,val,test}.csv` or `mimic.sample.{train,val,test}.csv`, with the images of
`preproc_224x224/`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.datasets.raw import Flow, Raw, Reading, header
from cxrfmkd.datasets.records import disease, key, lines
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.vocabulary.findings import FINDINGS

NEEDED = ("train", "val", "test")
OPTIONAL = ()

COMMON = ("path_preproc", "sex", "age", "race", "split", *FINDINGS)
CHEXPERT = ("patient_id", "Path", "AP/PA")
MIMIC = ("subject_id", "study_id", "ViewPosition")
SPLITS = {"train": "train", "validate": "val", "test": "test"}


def read(raw: Raw) -> Reading:
    """All rows, in the order of the files; the notebooks resized the images to 224 x 224."""
    kinds = {
        key: "mimic" if "subject_id" in header(raw.path(key)) else "chexpert" for key in NEEDED
    }
    if len(set(kinds.values())) > 1:
        raise InputError(
            f"datasets.{raw.name}.tables: the three files are of two datasets: "
            + ", ".join(f"{key} of {kind}" for key, kind in kinds.items())
        )
    columns = MIMIC if "mimic" in kinds.values() else CHEXPERT
    images = pd.concat([_read_file(raw, key, columns) for key in NEEDED], ignore_index=True)
    published = images.pop("published_disease")
    disagreeing = int((published.notna() & published.ne(disease(images))).sum())
    notes = []
    if disagreeing:
        notes.append(
            f"The column disease of the files says otherwise in {disagreeing} rows, whose No "
            "Finding is 0 or -1."
        )
    ids = (
        {"study_id": r"(?:^|/)s(\d+)_"}
        if columns is MIMIC
        else {"patient_id": r"(?:^|/)(patient\d+)_"}
    )
    return Reading(images, Flow(images, "sample files"), None, ids, notes)


def _read_file(raw: Raw, table_key: str, own_columns: tuple[str, ...]) -> pd.DataFrame:
    table = raw.table(table_key, (*COMMON, *own_columns), ("ethnicity", "disease"))
    source = f"{raw.setting(table_key)} ({raw.path(table_key).name})"
    repeated = np.flatnonzero(table.path_preproc.duplicated())
    if len(repeated):
        raise InputError(
            f"{source}: {len(repeated)} rows repeat an image ({lines(repeated)}). A `resample` "
            "file holds each image several times; give the `sample` file, from which the study "
            "resamples itself."
        )
    other_split = np.flatnonzero(table.split.map(SPLITS).ne(table_key))
    if len(other_split):
        raise InputError(
            f"{source}: {len(other_split)} rows are not of the split {table_key} "
            f"({lines(other_split)})."
        )
    mimic = own_columns is MIMIC
    study = table.study_id if mimic else table.Path.str.extract(r"([^/]+)/[^/]+$")[0]
    columns = {
        "image_id": key(table.path_preproc),
        "patient_id": table["subject_id" if mimic else "patient_id"],
        "study_id": study,
        "path": table.path_preproc,
        "sex": table.sex.where(table.sex.isin(["Male", "Female"])),
        "age": raw.numbers(table, "age", table_key),
        "race": table.race,
        "view": table["ViewPosition" if mimic else "AP/PA"],
        "split": table_key,
        "published_disease": table.get("disease"),
    }
    if "ethnicity" in table:
        columns["ethnicity"] = table.ethnicity
    return pd.DataFrame(columns | {name: raw.numbers(table, name, table_key) for name in FINDINGS})
