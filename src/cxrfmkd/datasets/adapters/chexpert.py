"""CheXpert: Stanford's train.csv, the demographic spreadsheet, and the split by row number.

Rules: chexpert.sample notebook of biomedia-mira/chexploration (eBioMedicine 2023;89:104467), joined
by key.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.datasets.raw import SEX_CODES, Flow, Raw, Reading
from cxrfmkd.datasets.records import key
from cxrfmkd.runtime.errors import InputError

NEEDED = ("train",)
OPTIONAL = ("demographics", "split")

SIDES = {"frontal": "Frontal", "lateral": "Lateral"}
VIEWS = {"ap": "AP", "pa": "PA", "ll": "LL", "rl": "RL"}
SPLITS = {"train": "train", "validate": "val", "val": "val", "test": "test"}
ETHNICITIES = ("Non-Hispanic/Non-Latino", "Not Hispanic")


def read(raw: Raw) -> Reading:
    """Frontal images of Asian, Black and White patients of known non-Hispanic ethnicity.

    Without the spreadsheet, frontal images of all patients. Rows come in the order of the patients
    in the spreadsheet, then of train.csv: the order in which the published resampling draws.
    """
    images = _images(raw)
    flow = Flow(images, "train.csv")
    notes = []
    if raw.has("split"):
        images["split"] = _split(raw, images)
        images = flow.keep(images, images.split.notna(), "split", "not in the split file")
    joined, selected = None, len(images)
    if raw.has("demographics"):
        images, joined, selected = _with_race(raw, images, flow)
    else:
        images["race"] = pd.Series(pd.NA, images.index, dtype="str")
        notes.append("No table of demographics: race is blank, and no patient is excluded by it.")
    images = flow.keep(images, images.pop("frontal"), "view", "not frontal")
    if raw.has("split") and len(images) < selected:
        notes.append(
            "The published split names only images that pass every filter, yet "
            f"{selected - len(images)} of this split file's were filtered out. Unless the split is "
            "your own, train.csv is in another row order."
        )
    return Reading(images, flow, joined, {"patient_id": r"/(patient\d+)/"}, notes)


def _with_race(raw: Raw, images: pd.DataFrame, flow: Flow) -> tuple[pd.DataFrame, float, int]:
    """Images of the study's races; share of images with a row in the spreadsheet; images before."""
    people, contradictory = _people(raw)
    rank = images.patient_id.map(pd.Series(np.arange(len(people)), people.index))
    joined = float(rank.notna().mean())
    images = flow.keep(images, rank.notna(), "demographics", "patient not in the spreadsheet")
    images = images.iloc[rank.dropna().argsort(kind="stable")]
    images["race"] = images.patient_id.map(race(people.PRIMARY_RACE))
    images["ethnicity"] = images.patient_id.map(people.ETHNICITY)
    consistent = ~images.patient_id.isin(contradictory)
    reason = "contradictory rows in the spreadsheet"
    images = flow.keep(images, consistent, "one patient, one row", reason, listed=True)
    selected = len(images)
    images = flow.keep(images, images.race.notna(), "race", "not Asian, Black or White")
    non_hispanic = images.ethnicity.isin(ETHNICITIES)
    images = flow.keep(images, non_hispanic, "ethnicity", "Hispanic or unknown")
    return images, joined, selected


def race(primary: pd.Series) -> pd.Series:
    """White, Asian or Black by substring; of several Asian wins, then White; else blank."""
    text = primary.fillna("")
    names = ("Asian", "White", "Black")
    races = np.select([text.str.contains(name, regex=False) for name in names], names, "")
    return pd.Series(races, primary.index, dtype="str").where(races != "")


def _images(raw: Raw) -> pd.DataFrame:
    """Every row of train.csv, in its order, as records without race."""
    table = raw.table(
        "train", ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *raw.chexpert_findings)
    )
    parts = table.Path.str.extract(
        r"^(?P<folder>[^/]+/[^/]+/)(?P<rest>(?P<patient>[^/]+)/(?P<study>[^/]+)/[^/]+)$"
    )
    form = "CheXpert-v1.0/train/<patient>/<study>/<view>.jpg"
    raw.reject(parts.patient.isna(), "train", "Path", f"are not of the form {form}")
    columns = {
        "image_id": key(table.Path),
        "patient_id": parts.patient,
        "study_id": parts.study,
        "path": _unpacked(raw, parts),
        "sex": raw.codes(table, "Sex", "train", SEX_CODES),
        "age": raw.years(table, "Age", "train"),
        "view": raw.codes(table, "AP/PA", "train", VIEWS),
        "frontal": raw.codes(table, "Frontal/Lateral", "train", SIDES).eq("Frontal"),
    }
    images = pd.DataFrame(columns | raw.findings(table, "train"))
    return raw.unique(images, ["image_id"], "train")


def _unpacked(raw: Raw, parts: pd.DataFrame) -> list[str]:
    """Paths of images below `images`, in train.csv's folder or the one that holds their patient.

    Stanford AIMI distributes the full-size images in `CheXpert-v1.0 batch 2 (train 1)` and so on,
    which train.csv does not name. parts: folder, patient and rest of its paths.
    """
    folders = {
        patient.name: f"{batch.name}/"
        for batch in sorted(Path(raw.settings.images).glob("CheXpert-v1.0 batch *"))
        if batch.is_dir()
        for patient in batch.iterdir()
    }
    columns = zip(parts.folder, parts.patient, parts.rest, strict=True)
    return [folders.get(patient, folder) + rest for folder, patient, rest in columns]


def _people(raw: Raw) -> tuple[pd.DataFrame, pd.Index]:
    """PRIMARY_RACE and ETHNICITY by patient in the spreadsheet's order; contradictory patients.

    A patient with two rows would double every image; equal rows count once.
    """
    people = raw.table("demographics", ("PATIENT", "PRIMARY_RACE", "ETHNICITY")).drop_duplicates()
    people = people[people.PATIENT.notna()]
    duplicate = people.PATIENT.duplicated(keep=False)
    contradictory = pd.Index(people.PATIENT[duplicate].unique())
    return people.drop_duplicates("PATIENT").set_index("PATIENT"), contradictory


def _split(raw: Raw, images: pd.DataFrame) -> pd.Series:
    """The split of each image, blank where the split file does not name its row.

    The file names rows of train.csv, counted from 0; they become keys here, after a check that the
    file can belong to this train.csv.
    """
    table = raw.table("split", ("index", "split"))
    rows = raw.numbers(table, "index", "split")
    train = raw.path("train").name
    remedy = (
        f"Set {raw.setting('split')} to the file that came with this {train}, or remove it to draw "
        "a new patient split."
    )
    invalid = (rows % 1).ne(0) | rows.lt(0) | rows.duplicated()
    problem = "are not whole row numbers from 0, each once"
    raw.reject(invalid, "split", "index", problem, table["index"], remedy)
    if rows.max() >= len(images):
        raise InputError(
            f"{raw.name}: {train} has {len(images):,} rows, the split file speaks of row "
            f"{int(rows.max()) + 1:,}. They belong to different releases.\n{remedy}"
        )
    unknown = ~table.split.isin(SPLITS)
    raw.reject(unknown, "split", "split", f"are none of {', '.join(SPLITS)}", table.split)
    by_key = pd.Series(table.split.map(SPLITS).array, images.image_id.iloc[rows.astype(int)])
    split = images.image_id.map(by_key)
    splits = split.groupby(images.patient_id).nunique()
    if (splits > 1).any():
        raise InputError(
            f"{raw.name}: by the split file, {(splits > 1).sum():,} of {(splits > 0).sum():,} "
            f"patients would be in more than one split. It names rows, so {train} is in another "
            f"row order than the one it was made for.\n{remedy}"
        )
    return split
