"""NIH ChestX-ray14: the official entry table, and the official lists where they are given.

The NIH publishes no race. See docs/data.md for the reasons of the findings' table.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.datasets import splits
from cxrfmkd.datasets.raw import SEX_CODES, Flow, Raw, Reading
from cxrfmkd.datasets.records import OLDEST, key
from cxrfmkd.runtime.cells import shared
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.text_files import read_words

NEEDED = ("entries",)
OPTIONAL = ("train_list", "test_list")

# Our finding -> the NIH's names, any of which makes it 1; without any of them it is 0.
COUNTERPARTS = {
    "No Finding": ("No Finding",),
    "Cardiomegaly": ("Cardiomegaly",),
    "Lung Lesion": ("Mass", "Nodule"),
    "Edema": ("Edema",),
    "Consolidation": ("Consolidation",),
    "Pneumonia": ("Pneumonia",),
    "Atelectasis": ("Atelectasis",),
    "Pneumothorax": ("Pneumothorax",),
    "Pleural Effusion": ("Effusion",),
    "Pleural Other": ("Pleural_Thickening",),
}
# An infiltrate is a lung opacity, but so is much that the NIH calls by another name: without it,
# only an image without any finding is known to have none.
OPACITY = "Infiltration"
WITHOUT_COUNTERPART = ("Emphysema", "Fibrosis", "Hernia")
NIH_NAMES = {*chain(*COUNTERPARTS.values()), OPACITY, *WITHOUT_COUNTERPART}
# A study may also ask for the NIH's findings by their own names.
LABELS = {name: (name,) for name in sorted(NIH_NAMES)} | COUNTERPARTS

COLUMNS = (
    *("Image Index", "Finding Labels", "Follow-up #"),
    *("Patient ID", "Patient Age", "View Position"),
)

VIEWS = {"ap": "AP", "pa": "PA"}


def read(raw: Raw) -> Reading:
    """Every image of the entry table whose age is possible."""
    table, sex = _table(raw)
    image = table["Image Index"]
    path = _folders(raw, image) + image
    columns = {
        "image_id": key(path),
        "patient_id": table["Patient ID"],
        "study_id": table["Patient ID"] + "_" + table["Follow-up #"],
        "path": path,
        "sex": raw.codes(table, sex, "entries", SEX_CODES),
        "age": raw.years(table, "Patient Age", "entries"),
        "race": pd.Series(pd.NA, table.index, dtype="str"),
        "view": raw.codes(table, "View Position", "entries", VIEWS),
        "image": image,
    }
    images = pd.DataFrame(columns | _labels(raw, table["Finding Labels"]))
    flow = Flow(images, "entry table")
    possible = images.age.between(0, OLDEST) | images.age.isna()
    images = flow.keep(images, possible, "age", f"no age from 0 to {OLDEST} years", listed=True)
    if raw.has("train_list") or raw.has("test_list"):
        images = _official(raw, images, flow)
    unknown = [name for name in raw.study.names if name not in images]
    also = f", and nothing on the findings {some(unknown)}" if unknown else ""
    notes = [f"The NIH publishes no race{also}."]
    identity = {"patient_id": r"(?:^|/)0*(\d+)_\d+\.[^/]+$"}
    return Reading(images.drop(columns="image"), flow, None, identity, notes)


def _labels(raw: Raw, texts: pd.Series) -> dict[str, pd.Series]:
    """The findings of texts such as "Mass|Nodule": 1, 0, or blank where it does not tell."""
    names = texts.str.split("|").explode()
    unknown, column = ~names.isin(NIH_NAMES), "Finding Labels"
    listed = shared(names[unknown])
    problem = f"have unknown findings{listed and f' {listed}'}"
    remedy = "The 14 findings of ChestX-ray14 and No Finding are known."
    raw.reject(unknown.groupby(level=0).any(), "entries", column, problem, remedy=remedy)
    mentions = pd.get_dummies(names).groupby(level=0).any()
    mentions = mentions.reindex(columns=sorted(NIH_NAMES), fill_value=False)
    contradictory = mentions["No Finding"] & names.groupby(level=0).size().gt(1)
    raw.reject(contradictory, "entries", column, "have No Finding beside a finding")
    columns = {
        finding: mentions[list(LABELS[finding])].any(axis=1).astype(float)
        for finding in raw.study.names
        if finding in LABELS
    }
    if "Lung Opacity" in raw.study.names:
        opacity = np.select([mentions[OPACITY], mentions["No Finding"]], [1.0, 0.0], np.nan)
        columns["Lung Opacity"] = pd.Series(opacity, texts.index)
    return columns


def _table(raw: Raw) -> tuple[pd.DataFrame, str]:
    """The entry table, and its name of the sex: editions call it Patient Gender or Patient Sex."""
    sex = "Patient Sex" if "Patient Sex" in raw.header("entries") else "Patient Gender"
    table = raw.table("entries", (*COLUMNS, sex))
    for column in ("Image Index", "Finding Labels", "Patient ID", "Follow-up #"):
        raw.reject(table[column].isna(), "entries", column, "are blank")
    return raw.unique(table, ["Image Index"], "entries"), sex


def _folders(raw: Raw, names: pd.Series) -> pd.Series:
    """Folder of each image below the images root: none, or one of the twelve official archives."""
    archives = sorted(Path(raw.settings.images).glob("images_[0-9]*/images"))
    folders = {
        image.name: f"{archive.parent.name}/images/"
        for archive in archives
        for image in archive.iterdir()
    }
    return names.map(lambda name: folders.get(name, ""))


def _official(raw: Raw, images: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    """The official lists as split; `split` divides the train list's patients into train and val."""
    raw.require((*NEEDED, *OPTIONAL), ("exclude",))  # the official lists come in two
    train_list, test_list = (set(read_words(raw.path(name), raw.source(name))) for name in OPTIONAL)
    if both := train_list & test_list:
        raise InputError(
            f"{raw.setting('train_list')} and test_list: {len(both)} images are in both lists."
        )
    listed = images.image.isin(train_list | test_list)
    images = flow.keep(images, listed, "official lists", "in neither list")
    patients = images.patient_id[images.image.isin(train_list)]
    drawn = splits.draw_training(patients, raw.settings.split)
    return images.assign(split=drawn.reindex(images.index).fillna("test"))
