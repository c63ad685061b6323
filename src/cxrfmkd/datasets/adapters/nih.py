"""NIH ChestX-ray14: the official entry table, and the official train and test lists where they are
given.

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

PER_YEAR = {"Y": 1, "M": 12, "D": 365.25}


def read(raw: Raw) -> Reading:
    """Every image of the entry table whose age is possible."""
    table = _table(raw)
    said = table["Finding Labels"].str.split("|")
    _check_names(raw, said)
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
    images = pd.DataFrame(columns | labels(said))
    flow = Flow(images, "entry table")
    possible = images.age.between(0, OLDEST) | images.age.isna()
    images = flow.keep(images, possible, "age", f"no age from 0 to {OLDEST} years", listed=True)
    if raw.has("train_list") or raw.has("test_list"):
        images = _official(raw, images, flow)
    notes = ["The NIH publishes no race, and nothing on the findings " + some(_blank()) + "."]
    identity = {"patient_id": r"(?:^|/)0*(\d+)_\d+\.[^/]+$"}
    return Reading(images.drop(columns="image"), flow, None, identity, notes)


def labels(said: pd.Series) -> dict[str, pd.Series]:
    """The 14 findings of lists of NIH names: 1, 0, or blank where the NIH's names do not tell."""
    dummies = pd.get_dummies(said.explode()).groupby(level=0).any()
    dummies = dummies.reindex(said.index).reindex(columns=sorted(KNOWN), fill_value=False)
    found = {
        finding: dummies[list(names)].any(axis=1).astype(float)
        for finding, names in COUNTERPARTS.items()
    }
    opacity = np.select([dummies[OPACITY], dummies["No Finding"]], [1.0, 0.0], np.nan)
    found["Lung Opacity"] = pd.Series(opacity, said.index)
    return {finding: found.get(finding, pd.Series(np.nan, said.index)) for finding in FINDINGS}


def _blank() -> list[str]:
    return [name for name in FINDINGS if name not in COUNTERPARTS and name != "Lung Opacity"]


def _table(raw: Raw) -> pd.DataFrame:
    """The entry table; the 2020 edition and its copies call the sex Patient Gender or Patient Sex."""
    columns = (
        "Image Index",
        "Finding Labels",
        "Follow-up #",
        "Patient ID",
        "Patient Age",
        "View Position",
    )
    names = header(raw.path("entries"))
    sex = "Patient Sex" if "Patient Sex" in names else "Patient Gender"
    table = raw.table("entries", (*columns, sex)).rename(columns={sex: "Patient Gender"})
    for column in ("Image Index", "Finding Labels", "Patient ID"):
        blank = np.flatnonzero(table[column].isna())
        if len(blank):
            raise InputError(
                f"{raw.setting('entries')}: column {column} is blank ({lines(blank)})."
            )
    return raw.unique(table, ["Image Index"], "entries")


def _check_names(raw: Raw, said: pd.Series) -> None:
    names = said.explode()
    unknown = sorted(set(names) - KNOWN)
    if unknown:
        wrong = np.flatnonzero(said.map(lambda found: not KNOWN.issuperset(found)))
        raise InputError(
            f"{raw.setting('entries')}, column Finding Labels: unknown findings {some(unknown)} "
            f"({lines(wrong)}). "
            "The 14 findings of ChestX-ray14 and No Finding are known."
        )
    both = np.flatnonzero(said.map(lambda found: "No Finding" in found and len(found) > 1))
    if len(both):
        raise InputError(
            f"{raw.setting('entries')}, column Finding Labels: No Finding beside a finding "
            f"({lines(both)})."
        )


def _years(raw: Raw, ages: pd.Series) -> pd.Series:
    """Ages in years, from "058Y", "011M", "013D" (first edition) or plain numbers (2020 edition)."""
    parts = ages.str.extract(r"^\s*(\d+(?:\.\d+)?)\s*([YMD]?)\s*$")
    wrong = np.flatnonzero(parts[0].isna() & ages.notna())
    if len(wrong):
        raise InputError(
            f"{raw.setting('entries')}, column Patient Age: {some(ages.iloc[wrong].unique())} is "
            "neither a number of "
            f"years nor of the form 058Y ({lines(wrong)})."
        )
    return parts[0].astype(float) / parts[1].replace("", "Y").map(PER_YEAR)


def _folders(raw: Raw, names: pd.Series) -> dict[str, str]:
    """Folder of each image within the images root: none, or that of the official twelve archives."""
    root = Path(raw.settings.images)
    parts = sorted(root.glob("images_[0-9]*/images")) if root.is_dir() else []
    found = {
        image.name: f"{part.parent.name}/images/" for part in parts for image in part.iterdir()
    }
    return {image: found.get(image, "") for image in names}


def _official(raw: Raw, images: pd.DataFrame, flow: Flow) -> pd.DataFrame:
    """The official lists as split; the train list's patients are divided into train and val by `split`."""
    lists = {}
    for name in ("train_list", "test_list"):
        if not raw.has(name):
            raise InputError(
                f"{raw.setting(name)} is not set; the official lists come in two, train and test."
            )
        lists[name] = set(raw.path(name).read_text().split())
    if both := lists["train_list"] & lists["test_list"]:
        raise InputError(
            f"{raw.setting('train_list')} and test_list: {len(both)} images stand in both lists."
        )
    in_train, in_test = (images.image.isin(lists[name]) for name in ("train_list", "test_list"))
    images = flow.keep(images, in_train | in_test, "official lists", "in neither list")
    training = images.image.isin(lists["train_list"])
    share = {"test": 0.0, **raw.settings.split}
    known = share["train"] + share["val"]
    drawn = splits.draw(
        images.patient_id[training], share["train"] / known, share["val"] / known, share["seed"]
    )
    return images.assign(split=drawn.reindex(images.index).fillna("test"))
