"""Adapters of public datasets whose labels need reading.

PadChest, VinDr-CXR, RSNA Pneumonia and the Shenzhen set.

Named in `plugins` by the recipes beside this file. A finding on which a dataset says nothing has no
column, so that it takes no part.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxrfmkd.datasets import splits
from cxrfmkd.datasets.raw import Flow, Raw, Reading
from cxrfmkd.datasets.records import key, years
from cxrfmkd.plugins import adapter
from cxrfmkd.runtime.errors import InputError

# Our finding -> PadChest's labels, any of which makes it 1 (Bustos et al. 2020, Medical Image
# Analysis 66:101797, whose labels form a tree: what stands below a label counts with it).
PADCHEST = {
    "No Finding": {"normal"},
    "Enlarged Cardiomediastinum": {"mediastinal enlargement", "superior mediastinal enlargement"},
    "Cardiomegaly": {"cardiomegaly"},
    "Lung Lesion": {"nodule", "multiple nodules", "mass", "pulmonary mass", "lung metastasis"},
    "Edema": {"pulmonary edema"},
    "Consolidation": {"consolidation"},
    "Pneumonia": {"pneumonia", "atypical pneumonia"},
    "Atelectasis": {
        *("atelectasis", "laminar atelectasis", "lobar atelectasis", "round atelectasis"),
        *("segmental atelectasis", "total atelectasis", "atelectasis basal"),
    },
    "Pneumothorax": {"pneumothorax", "hydropneumothorax"},
    "Pleural Effusion": {"pleural effusion", "loculated pleural effusion", "hydropneumothorax"},
    "Pleural Other": {
        *("pleural thickening", "apical pleural thickening", "calcified pleural thickening"),
        *("pleural plaques", "calcified pleural plaques"),
    },
    "Fracture": {"fracture", "rib fracture", "vertebral fracture", "clavicle fracture"}
    | {"humeral fracture"},
    "Support Devices": {
        *("endotracheal tube", "tracheostomy tube", "NSG tube", "chest drain tube", "pacemaker"),
        *("central venous catheter", "central venous catheter via jugular vein"),
        *("central venous catheter via subclavian vein", "reservoir central venous catheter"),
        *("single chamber device", "dual chamber device", "electrical device"),
        *("dai", "artificial heart valve", "ventriculoperitoneal drain tube", "catheter"),
    },
}
# As for the NIH's infiltration: other labels are opacities too, so only a normal image has none.
OPACITIES = {"infiltrates", "alveolar pattern", "consolidation", "ground glass pattern"}
UNUSABLE = {"exclude", "suboptimal study"}
PROJECTIONS = {
    "pa": "PA",
    "ap": "AP",
    "ap_horizontal": "AP",
    **dict.fromkeys(("l", "costal", "exclude", "unk"), "other"),
}
SEXES = {"m": "Male", "f": "Female", "o": None, "none": None}


@adapter("padchest", tables=["labels"])
def padchest(raw: Raw) -> pd.DataFrame:
    """Every row of PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.

    Age is the year of the study less that of birth. An image whose report is absent, or that is
    marked as unusable, has no label at all.
    """
    columns = ("ImageID", "ImageDir", "StudyID", "PatientID", "PatientBirth", "PatientSex_DICOM")
    table = raw.table("labels", (*columns, "StudyDate_DICOM", "Projection", "Labels"))
    table = raw.unique(table, ["ImageID"], "labels")
    birth, day = (raw.numbers(table, c, "labels") for c in ("PatientBirth", "StudyDate_DICOM"))
    path = table.ImageDir + "/" + table.ImageID
    frame = pd.DataFrame(
        {
            "image_id": key(path),
            "patient_id": table.PatientID,
            "study_id": table.StudyID,
            "path": path,
            "sex": raw.codes(table, "PatientSex_DICOM", "labels", SEXES),
            "age": day // 10_000 - birth,
            "race": None,
            "view": raw.codes(table, "Projection", "labels", PROJECTIONS),
        }
    )
    texts = table.Labels.fillna("").str.findall("'([^']*)'")
    reports = [{text.strip() for text in listed} - {""} for listed in texts]
    usable = np.array([bool(labels) and not labels & UNUSABLE for labels in reports])
    for finding, names in PADCHEST.items():
        frame[finding] = np.where(usable, [bool(labels & names) for labels in reports], np.nan)
    opacity = np.array([bool(labels & OPACITIES) for labels in reports])
    normal = frame["No Finding"].eq(1)
    frame["Lung Opacity"] = np.where(usable & opacity, 1.0, np.where(normal, 0.0, np.nan))
    return frame


# Our finding -> VinDr-CXR's labels, any of which makes it 1.
VINDR = {
    "No Finding": ("No finding",),
    "Cardiomegaly": ("Cardiomegaly",),
    "Lung Opacity": ("Lung Opacity",),
    "Lung Lesion": ("Nodule/Mass", "Lung tumor"),
    "Edema": ("Edema",),
    "Consolidation": ("Consolidation",),
    "Pneumonia": ("Pneumonia",),
    "Atelectasis": ("Atelectasis",),
    "Pneumothorax": ("Pneumothorax",),
    "Pleural Effusion": ("Pleural effusion",),
    "Pleural Other": ("Pleural thickening",),
    "Fracture": ("Clavicle fracture", "Rib fracture"),
}


@adapter("vindr-cxr", tables=["train", "test"])
def vindr(raw: Raw) -> pd.DataFrame:
    """Every image of image_labels_train.csv (majority of its three readers) and of the test file.

    The test set is the official one (a consensus of five readers); `split` divides the others into
    train and val by image, since VinDr-CXR names no patients: each image is one of its own. Sex and
    age stand in the DICOM files alone.
    """
    names = sorted({name for labels in VINDR.values() for name in labels})
    parts = []
    for side in ("train", "test"):
        table = raw.table(side, ("image_id", *names))
        raw.reject(table.image_id.isna(), side, "image_id", "are blank")
        votes = pd.DataFrame({name: raw.labels(table, name, side) for name in names})
        labels = votes.groupby(table.image_id, sort=False).mean().gt(0.5)
        columns = {finding: labels[list(VINDR[finding])].any(axis=1) for finding in VINDR}
        frame = pd.DataFrame(columns, dtype=float).rename_axis("name")
        parts.append(frame.reset_index().assign(side=side))
    images = pd.concat(parts, ignore_index=True)
    drawn = splits.draw_training(images.name[images.side == "train"], raw.settings.split)
    images["split"] = drawn.reindex(images.index).fillna("test")
    images["path"] = images.side + "/" + images.name + ".dicom"
    images["image_id"] = images["patient_id"] = images["study_id"] = key(images.path)
    unknown = dict.fromkeys(("sex", "race"))
    return images.drop(columns=["name", "side"]).assign(**unknown, age=np.nan, view="PA")


@adapter("rsna-pneumonia", tables=["labels", "classes"])
def rsna(raw: Raw) -> pd.DataFrame:
    """Every image of stage_2_train_labels.csv, by the class of stage_2_detailed_class_info.csv.

    `Lung Opacity` is an opacity suspicious of pneumonia, and both findings here; `Normal` is No
    Finding; of the third class it is known that there is neither. Each image is a patient of its
    own. Sex, age and view stand in the DICOM files alone.
    """
    boxes = raw.table("labels", ("patientId", "Target"))
    target = raw.labels(boxes, "Target", "labels").groupby(boxes.patientId, sort=False).max()
    classes = raw.table("classes", ("patientId", "class"))
    meaning = {"lung opacity": "opacity", "normal": "normal", "no lung opacity / not normal": "not"}
    classes["class"] = raw.codes(classes, "class", "classes", meaning)
    kind = (
        classes.drop_duplicates("patientId").set_index("patientId")["class"].reindex(target.index)
    )
    contradictory = target.eq(1) != kind.eq("opacity")
    affected = boxes.patientId.map(contradictory)
    raw.reject(affected, "labels", "Target", "contradict the table of classes")
    frame = pd.DataFrame({"Lung Opacity": target, "Pneumonia": target})
    frame["No Finding"] = kind.eq("normal").astype(float)
    frame = frame.rename_axis("image_id").reset_index()
    frame["patient_id"] = frame["study_id"] = frame.image_id
    unknown = dict.fromkeys(("sex", "race", "view"))
    return frame.assign(path=frame.image_id + ".dcm", age=np.nan, **unknown)


# The first line of a reading, such as `male 45yrs`, `Female, 24yrs` or `male 9month`.
SEX = r"(?i)^\s*(f|m)"
AGE = r"(?i)(\d+)\s*(y|m|w|d)"


@adapter("shenzhen", tables=["readings"])
def shenzhen(raw: Raw) -> Reading:
    """Every reading of the folder ClinicalReadings, whose name is that of its image.

    A name ends in 0, a normal image, or in 1, one with manifestations of tuberculosis. Each image
    is a patient of its own.
    """
    texts = raw.texts("readings")
    named = texts.index.str.extract(r"^CHNCXR_\d{4}_([01])$")[0]
    if strange := int(named.isna().sum()):
        raise InputError(
            f"{raw.source('readings')}: {strange} files are not called as CHNCXR_0001_0.txt. Name "
            "the folder ClinicalReadings of the Shenzhen set."
        )
    lines = texts.str.strip().str.split("\n", n=1)
    first, finding = lines.str[0], lines.str[1].fillna("").str.strip()
    ages = first.str.extract(AGE)
    frame = pd.DataFrame(
        {
            "image_id": texts.index,
            "patient_id": texts.index,
            "study_id": texts.index,
            "path": texts.index + ".png",
            "sex": first.str.extract(SEX)[0].str.lower().map(SEXES),
            "age": years((ages[0] + ages[1]).rename("age"), raw.source("readings")),
            "race": None,
            "view": "PA",
            "Tuberculosis": named.to_numpy(float),
        }
    ).reset_index(drop=True)
    frame["No Finding"] = 1 - frame.Tuberculosis
    unread = {name: int(frame[name].isna().sum()) for name in ("sex", "age")}
    notes = [f"{n} readings tell no {name}; it is blank." for name, n in unread.items() if n]
    says_normal = finding.str.lower().str.startswith("normal").to_numpy()
    if apart := int((says_normal != frame["No Finding"].eq(1)).sum()):
        notes.append(f"{apart} readings say otherwise than their names, which are taken.")
    return Reading(frame, Flow(frame, "readings"), notes=notes)
