"""What the summary of a dataset's records counts: images and patients by attribute and label."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cxrfmkd.datasets.groups import groups_of
from cxrfmkd.study.settings import Findings
from cxrfmkd.study.settings.findings import THESIS
from cxrfmkd.vocabulary.attributes import PRESETS, Attribute, Attributes, declarations
from cxrfmkd.vocabulary.datasets import SPLITS
from cxrfmkd.vocabulary.groups import AGE_BINS


def describe(records: pd.DataFrame, findings: Findings, attributes: Attributes) -> dict[str, Any]:
    """The last part of a summary: counts of each split, and what there is of the study's own.

    `absent`, the findings that the records lack, and `attributes`, the groups of the declared
    ones, are there where there are any.
    """
    of_splits = {split: records[records.split == split] for split in SPLITS}
    about: dict[str, Any] = {
        "counts": {name: counts(part, findings, attributes) for name, part in of_splits.items()}
    }
    if absent := [name for name in findings.names if name not in records]:
        about["absent"] = absent
    if declared := declarations(attributes):
        about["attributes"] = {one.name: list(one.groups) for one in declared}
    return about


def counts(
    records: pd.DataFrame, findings: Findings = THESIS, attributes: Attributes = PRESETS
) -> dict:
    """Images, patients and studies of one split; images by attribute and by label.

    Under `patients_by`, the patients with an image of each level, since small cells are counted in
    patients.
    """
    within = findings.within(records)
    return {
        "images": len(records),
        "patients": int(records.patient_id.nunique()),
        "studies": len(records[["patient_id", "study_id"]].drop_duplicates()),
        "mean_age": round(float(records.age.mean()), 2) if records.age.notna().any() else None,
        **_by_level(records, within, attributes),
        "patients_by": _by_level(records, within, attributes, of_patients=True),
    }


def _by_level(
    records: pd.DataFrame, findings: Findings, attributes: Attributes, of_patients: bool = False
) -> dict:
    """How many images, or patients with one, have each level of each attribute and each label."""

    def levels(values: pd.Series) -> dict[Any, int]:
        if of_patients:
            pairs = pd.DataFrame({"patient": records.patient_id, "level": values})
            values = values[~pairs.duplicated()]
        return values.astype("object").fillna("blank").value_counts(sort=False).to_dict()

    def sizes(column: str) -> dict[Any, int]:
        return dict(sorted(levels(records[column]).items(), key=str))

    def in_order(attribute: Attribute) -> dict[str, int]:
        counted = levels(groups_of(records, attribute))
        return {name: counted[name] for name in (*attribute.groups, "blank") if name in counted}

    diseases, age_names = sizes("disease"), dict(enumerate(AGE_BINS))
    labels = {"positive": 1, "negative": 0, "uncertain": -1, "blank": "blank"}
    by_finding = {finding: sizes(finding) for finding in findings.names}
    return {
        **{column: sizes(column) for column in ("sex", "race", "view")},
        **{one.name: in_order(one) for one in declarations(attributes)},
        "disease": {disease: diseases.get(disease, 0) for disease in findings.levels_of_disease},
        "age_bin": {age_names.get(code, code): n for code, n in sizes("age_bin").items()},
        "findings": {
            finding: {word: counted.get(label, 0) for word, label in labels.items()}
            for finding, counted in by_finding.items()
        },
    }
