"""NIH ChestX-ray14: the official entry table, and the official lists where they are given.

The NIH publishes no race. See docs/data.md for the reasons of the findings' table.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.datasets import splits
from cxrfmkd.datasets.raw import Flow, Raw, Reading, header
from cxrfmkd.datasets.records import OLDEST, key, lines
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.vocabulary.findings import FINDINGS

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
KNOWN = {name for names in COUNTERPARTS.values() for name in names} | {
    OPACITY,
    *WITHOUT_COUNTERPART,
}

COLUMNS = tuple(
    ["Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "View Position"]
)

PER_YEAR = {"Y": 1, "M": 12, "D": 365.25}


def read(raw: Raw) -> Reading:
    """Every image of the entry table whose age is possible."""
    table = _table(raw)
    listed = table["Finding Labels"].str.split("|")
    _check_names(raw, listed)
    image = table["Image Index"]
    path = image.map(_folders(raw, image)) + image
    columns = {
        "image_id": key(path),
        "patient_id": table["Patient ID"],
        "study_id": table["Patient ID"] + "_" + table["Follow-up #"],
        "path": path,
        "sex": table["Patient Gender"].map({"M": "Male", "F": "Female"}),
        "age": _years(raw, table["Patient Age"]),
        "race": pd.Series(pd.NA, table.index, dtype="str"),
        "view": table["View Position"],
        "image": image,
    }
    images = pd.DataFrame(columns | labels(listed))
    flow = Flow(images, "entry table")
    possible = images.age.between(0, OLDEST) | images.age.isna()
    images = flow.keep(images, possible, "age", f"no age from 0 to {OLDEST} years", listed=True)
    if raw.has("train_list") or raw.has("test_list"):
        images = _official(raw, images, flow)
    notes = ["The NIH publishes no race, and nothing on the findings " + some(_blank()) + "."]
    identity = {"patient_id": r"(?:^|/)0*(\d+)_\d+\.[^/]+$"}
    return Reading(images.drop(columns="image"), flow, None, identity, notes)


def labels(listed: pd.Series) -> dict[str, pd.Series]:
    """The 14 findings of lists of NIH names: 1, 0, or blank where the NIH's names do not tell."""
    dummies = pd.get_dummies(listed.explode()).groupby(level=0).any()
    dummies = dummies.reindex(listed.index).reindex(columns=sorted(KNOWN), fill_value=False)
    columns = {
        finding: dummies[list(names)].any(axis=1).astype(float)
        for finding, names in COUNTERPARTS.items()
    }
    opacity = np.select([dummies[OPACITY], dummies["No Finding"]], [1.0, 0.0], np.nan)
    columns["Lung Opacity"] = pd.Series(opacity, listed.index)
    blank = pd.Series(np.nan, listed.index)
    return {finding: columns.get(finding, blank) for finding in FINDINGS}


def _blank() -> list[str]:
    return [name for name in FINDINGS if name not in COUNTERPARTS and name != "Lung Opacity"]


def _table(raw: Raw) -> pd.DataFrame:
    """The entry table; its editions call the sex Patient Gender or Patient Sex."""
    names = header(raw.path("entries"))
    sex = "Patient Sex" if "Patient Sex" in names else "Patient Gender"
    table = raw.table("entries", (*COLUMNS, sex)).rename(columns={sex: "Patient Gender"})
    for column in ("Image Index", "Finding Labels", "Patient ID"):
        blank = np.flatnonzero(table[column].isna())
        if len(blank):
            raise InputError(
                f"{raw.setting('entries')}: column {column} is blank ({lines(blank)})."
            )
    return raw.unique(table, ["Image Index"], "entries")


def _check_names(raw: Raw, listed: pd.Series) -> None:
    column = f"{raw.setting('entries')}, column Finding Labels"
    unknown = sorted(set(listed.explode()) - KNOWN)
    if unknown:
        rows = np.flatnonzero(listed.map(lambda names: not KNOWN.issuperset(names)))
        raise InputError(
            f"{column}: unknown findings {some(unknown)} ({lines(rows)}). The 14 findings of "
            "ChestX-ray14 and No Finding are known."
        )
    rows = np.flatnonzero(listed.map(lambda names: "No Finding" in names and len(names) > 1))
    if len(rows):
        raise InputError(f"{column}: No Finding beside a finding ({lines(rows)}).")


def _years(raw: Raw, ages: pd.Series) -> pd.Series:
    """Ages in years, of "058Y", "011M", "013D" (first edition) or plain numbers (2020 edition)."""
    parts = ages.str.extract(r"^\s*(\d+(?:\.\d+)?)\s*([YMD]?)\s*$")
    rows = np.flatnonzero(parts[0].isna() & ages.notna())
    if len(rows):
        raise InputError(
            f"{raw.setting('entries')}, column Patient Age: {some(ages.iloc[rows].unique())} is "
            f"neither a number of years nor of the form 058Y ({lines(rows)})."
        )
    return parts[0].astype(float) / parts[1].replace("", "Y").map(PER_YEAR)


def _folders(raw: Raw, names: pd.Series) -> dict[str, str]:
    """Folder of each image below the images root: none, or one of the twelve official archives."""
    root = Path(raw.settings.images)
    archives = sorted(root.glob("images_[0-9]*/images")) if root.is_dir() else []
    folders = {
        image.name: f"{archive.parent.name}/images/"
        for archive in archives
        for image in archive.iterdir()
    }
    return {name: folders.get(name, "") for name in names}


def _official(raw: Raw, images: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    """The official lists as split; `split` divides the train list's patients into train and val."""
    lists = {}
    for name in ("train_list", "test_list"):
        if not raw.has(name):
            raise InputError(
                f"{raw.setting(name)} is not set; the official lists come in two, train and test."
            )
        lists[name] = set(raw.path(name).read_text().split())
    if both := lists["train_list"] & lists["test_list"]:
        raise InputError(
            f"{raw.setting('train_list')} and test_list: {len(both)} images are in both lists."
        )
    in_train, in_test = (images.image.isin(lists[name]) for name in ("train_list", "test_list"))
    images = flow.keep(images, in_train | in_test, "official lists", "in neither list")
    training = images.image.isin(lists["train_list"])
    split = raw.settings.split
    total = split.train + split.val
    drawn = splits.draw(
        images.patient_id[training], split.train / total, split.val / total, split.seed
    )
    return images.assign(split=drawn.reindex(images.index).fillna("test"))
