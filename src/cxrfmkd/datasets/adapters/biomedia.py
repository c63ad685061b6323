"""The CSV files that the notebooks of biomedia-mira/chexploration wrote.

`chexpert.sample.{train,val,test}.csv` or `mimic.sample.{train,val,test}.csv`, with the images of
`preproc_224x224/`.
"""

from __future__ import annotations

import pandas as pd

from cxrfmkd.datasets.raw import SEX_CODES, Flow, Raw, Reading
from cxrfmkd.datasets.records import disease, key
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.groups import RACES

NEEDED = ("train", "val", "test")
OPTIONAL = ()

COMMON = ("path_preproc", "sex", "age", "race", "split")
# Columns with the patient, the study (of CheXpert: the raw path that names it) and the view.
COLUMNS = {
    "chexpert": ("patient_id", "Path", "AP/PA"),
    "mimic": ("subject_id", "study_id", "ViewPosition"),
}
IDENTITIES = {
    "chexpert": {"patient_id": r"(?:^|/)(patient\d+)_"},
    "mimic": {"study_id": r"(?:^|/)s(\d+)_"},
}
SPLITS = {"train": "train", "validate": "val", "test": "test"}


def read(raw: Raw) -> Reading:
    """All rows, in the order of the files; the notebooks resized the images to 224 x 224."""
    kinds = {key: "mimic" if "subject_id" in raw.header(key) else "chexpert" for key in NEEDED}
    if len(set(kinds.values())) > 1:
        raise InputError(
            f"datasets.{raw.name}.tables: the three files are of two datasets: "
            + ", ".join(f"{key} of {kind}" for key, kind in kinds.items())
        )
    kind = kinds["train"]
    images = pd.concat([_read_file(raw, key, kind) for key in NEEDED], ignore_index=True)
    published = images.pop("published_disease")
    disagreeing = 0
    if raw.study.classes == THESIS.classes:
        disagreeing = int((published.notna() & published.ne(disease(images))).sum())
    note = (
        f"The column disease of the files says otherwise in {disagreeing} rows, whose No Finding "
        "is 0 or -1."
    )
    notes = [note] if disagreeing else []
    return Reading(images, Flow(images, "sample files"), None, IDENTITIES[kind], notes)


def _read_file(raw: Raw, table_key: str, kind: str) -> pd.DataFrame:
    needed = (*COMMON, *raw.chexpert_findings, *COLUMNS[kind])
    table = raw.table(table_key, needed, ("ethnicity", "disease"))
    raw.reject(
        table.path_preproc.duplicated(),
        table_key,
        "path_preproc",
        "repeat an image",
        remedy="A `resample` file holds each image several times; give the `sample` file, from "
        "which the study resamples itself.",
    )
    other_split = table.split.map(SPLITS).ne(table_key)
    raw.reject(other_split, table_key, "split", f"are not of the split {table_key}", table.split)
    patient, study, view = (table[column] for column in COLUMNS[kind])
    columns = {
        "image_id": key(table.path_preproc),
        "patient_id": patient,
        "study_id": study.str.extract(r"([^/]+)/[^/]+$")[0] if kind == "chexpert" else study,
        "path": table.path_preproc,
        "sex": raw.codes(table, "sex", table_key, SEX_CODES),
        "age": raw.years(table, "age", table_key),
        "race": raw.codes(table, "race", table_key, {race.lower(): race for race in RACES}),
        "view": view,
        "split": table_key,
        "published_disease": table.get("disease"),
        **table.filter(["ethnicity"]),
    }
    return pd.DataFrame(columns | raw.findings(table, table_key))
