"""Predictions of a run, matched with records by key."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from cxrfmkd.datasets.exclusions import measured_images
from cxrfmkd.datasets.records import findings_of, targets
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_table
from cxrfmkd.study.settings import Labels
from cxrfmkd.vocabulary.findings import FINDINGS


class LabelledImages(NamedTuple):
    """The images of a split that models are measured on.

    image_ids: shape (n,); targets: float64 of shape (n, f); excluded: image_ids of the split that
    models may have predictions of, and that no model is measured on. findings: names of the f.
    """

    image_ids: pd.Series
    targets: np.ndarray
    excluded: pd.Series | tuple = ()
    findings: tuple[str, ...] = FINDINGS


def labelled_images(table: pd.DataFrame, labels: Labels, excluded: pd.Series) -> LabelledImages:
    """The records of a split with the dataset's own labels, less the images that are `excluded`."""
    unmeasured = table.image_id[table.image_id.isin(excluded.index)]
    table = measured_images(table, excluded)
    truth = targets(table, labels.uncertain, labels.blank).astype(float)
    return LabelledImages(table.image_id, truth, unmeasured, findings_of(table))


def read_logits(path: Path, split: str, images: LabelledImages, shared: bool = False) -> np.ndarray:
    """The logits of the images of one split, in their order.

    path: predictions.parquet (image_id, split, one column per finding). Returns float32 of shape
    (n, f). shared: findings of which the file says nothing are NaN, as of a model from a dataset
    that lacks them. Raises InputError unless the split has each of the images exactly once, no
    other but those that are excluded, and finite logits of the findings.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; the run that writes it has not finished.")
    table = read_table(path)
    findings = [name for name in images.findings if name in table or not shared]
    if missing := [c for c in ("image_id", "split", *findings) if c not in table]:
        raise InputError(f"{path}: columns {', '.join(missing)} are missing.")
    table = table[table.split == split].set_index("image_id")
    image_ids = images.image_ids
    table = table[~table.index.isin(images.excluded)]
    misfits = {
        "have duplicate rows": table.index.duplicated().sum(),
        "are missing": (~image_ids.isin(table.index)).sum(),
        "are not among the records": (~table.index.isin(image_ids)).sum(),
    }
    if any(misfits.values()):
        listed = ", ".join(f"{number} {what}" for what, number in misfits.items() if number)
        raise InputError(
            f"{path}: of the {len(image_ids)} {split} images {listed}. The run was made from other "
            "records, or an excluded image was not declared; make it again."
        )
    logits = table.loc[image_ids, findings].to_numpy(np.float32)
    if bad := int((~np.isfinite(logits)).any(axis=1).sum()):
        raise InputError(
            f"{path}: {bad} {split} images have a logit that is not finite. The training diverged; "
            "run it again with a smaller learning rate."
        )
    named = pd.DataFrame(logits, columns=findings)
    return named.reindex(columns=list(images.findings)).to_numpy(np.float32)
