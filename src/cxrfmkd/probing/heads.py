"""Linear heads: what they are trained on, and how they were trained."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cxrfmkd.datasets import records
from cxrfmkd.networks.layers import HeadInput, Linear
from cxrfmkd.study.settings import Labels
from cxrfmkd.vocabulary.findings import FINDINGS


@dataclass(frozen=True)
class LabelledInputs:
    """What heads are trained or selected on.

    inputs: (n, F) float32; targets: (n, T), 1, 0, or NaN where ignored; patients: (n,), any type.
    findings: of the targets, T of them.
    """

    inputs: np.ndarray
    targets: np.ndarray
    patients: np.ndarray
    findings: tuple[str, ...] = FINDINGS

    @classmethod
    def of(cls, table: pd.DataFrame, head_input: HeadInput, labels: Labels) -> LabelledInputs:
        """Those of the records in `table`, joined by image_id."""
        targets = records.targets(table, labels.uncertain, labels.blank)
        inputs, patients = head_input.take(table.image_id), table.patient_id.to_numpy()
        return cls(inputs, targets, patients, records.findings_of(table))


@dataclass(frozen=True)
class TrainedHead:
    """A head on raw features, and how it was trained.

    best: epoch (None where there are none) and val_loss; notes: constant findings and the
    protocol's own facts.
    """

    seed: int
    head: Linear
    history: pd.DataFrame
    best: dict
    notes: dict = field(default_factory=dict)
