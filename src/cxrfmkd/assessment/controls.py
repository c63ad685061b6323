"""A student and its controls, measured against the teacher on validation records.

The controls say what a number is worth: the constant mean vector of the teacher; the student's own
embeddings given to the wrong images; the same network before distillation, with a random
projection; and the best linear map from that undistilled network's features to the teacher, which
distillation must beat to have been needed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.assessment.measures import measure
from cxrfmkd.datasets import records
from cxrfmkd.evaluation.metrics import metrics_of
from cxrfmkd.networks.layers import HeadInput, Linear
from cxrfmkd.probing.heads import LabelledInputs
from cxrfmkd.probing.probes import train_heads
from cxrfmkd.runtime import provenance
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Labels, Probe
from cxrfmkd.vocabulary.metrics import METRICS

Pair = tuple[np.ndarray, np.ndarray]  # embeddings of training and of validation images
RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
SEED = 0


def assess(
    spec: dict,
    features: KeyedArray,
    weights: Path,
    control: KeyedArray,
    teacher: KeyedArray,
    train: pd.DataFrame,
    val: pd.DataFrame,
) -> dict:
    """Everything of `quality.json`: the student's measures and those of its controls, on validation
    records.

    spec: `loss` and `labels`; features: the student's, before its projection, which is in
    `weights`; control: those of the undistilled network; train, val: records. Test records are not
    asked for.
    """
    train, val = (records.present(table, features, control, teacher) for table in (train, val))
    projection = Linear.load(weights, "projection")
    if len(projection.weight) != teacher.data.shape[1]:
        raise InputError(
            f"{weights}: the student's embeddings have {len(projection.weight)} numbers, those of "
            f"{teacher.name} "
            f"{teacher.data.shape[1]}. They are of different teachers."
        )

    def both(head_input: HeadInput) -> Pair:
        return head_input.take(train.image_id), head_input.take(val.image_id)

    truth, student, untrained = (
        both(HeadInput(teacher)),
        both(HeadInput(features, projection)),
        both(HeadInput(control)),
    )
    known = predictors(truth[0], student, untrained)
    labels = Labels.from_spec(spec["labels"])
    targets = [records.targets(table, labels.uncertain) for table in (train, val)]
    patients = [table.patient_id.to_numpy() for table in (train, val)]

    def probe(pair: Pair) -> Linear:
        samples = [LabelledInputs(*sample) for sample in zip(pair, targets, patients, strict=True)]
        return train_heads(*samples, [SEED], Probe())[0].head

    teachers_head = probe(truth)
    report = {
        name: measure(pair[1], truth[1], truth[0], SEED)
        | {
            "probe_auc": macro_auc(targets[1], probe(pair)(pair[1])),
            "teacher_probe_auc": macro_auc(targets[1], teachers_head(pair[1])),
        }
        for name, pair in known.items()
    }
    return {
        "spec": spec,
        "versions": provenance.versions(),
        "images": {"train": len(train), "val": len(val)},
        "teacher": {"probe_auc": macro_auc(targets[1], teachers_head(truth[1]))},
        "student": report.pop("student"),
        "controls": report,
    }


def predictors(teacher: np.ndarray, student: Pair, untrained: Pair) -> dict[str, Pair]:
    """The student and its controls as embeddings of (training, validation) images, in the teacher's
    dimension.

    teacher: (n, D), of training images; student: (n, D) and (m, D); untrained: (n, F) and (m, F),
    the features of the undistilled network.
    """
    random = np.random.default_rng(SEED)
    width, dimension = untrained[0].shape[1], teacher.shape[1]
    bound = width**-0.5
    first = random.uniform(-bound, bound, (width, dimension)).astype(np.float32)
    linear = ridge(untrained[0], teacher)
    mean = teacher.mean(0, dtype=np.float64).astype(np.float32)
    return {
        "student": student,
        "mean_vector": tuple(np.full(rows.shape, mean) for rows in student),
        "shuffled": tuple(rows[random.permutation(len(rows))] for rows in student),
        "untrained": tuple(rows @ first for rows in untrained),
        "untrained_linear": tuple(linear(rows) for rows in untrained),
    }


def ridge(inputs: np.ndarray, outputs: np.ndarray) -> Linear:
    """The linear map with the least squared error on standardised inputs, penalty by generalised
    cross-validation.

    inputs: (n, F); outputs: (n, D); penalties from `RIDGES`, per image. A feature that does not
    vary is not used.
    Source: Golub, Heath & Wahba 1979.
    """
    centre, deviation = inputs.mean(0, dtype=np.float64), inputs.std(0, dtype=np.float64)
    scale = np.divide(1, deviation, where=deviation > 0, out=np.zeros_like(deviation))
    x = ((inputs - centre) * scale).astype(np.float32)
    middle = outputs.mean(0, dtype=np.float64)
    y = (outputs - middle).astype(np.float32)
    spectrum, axes = np.linalg.eigh((x.T @ x / len(x)).astype(np.float64))
    spectrum = spectrum.clip(min=0)
    shared = axes.T @ (x.T @ y / len(x))
    strength = np.square(shared).sum(1)

    def score(penalty: float) -> float:
        kept = 1 / (spectrum + penalty)
        residual = np.square(y, dtype=np.float64).sum() / len(x) - strength @ (
            kept * (2 - spectrum * kept)
        )
        return residual / max(1 - spectrum @ kept / len(x), 1e-12) ** 2

    penalty = min(RIDGES, key=score)
    weight = (axes @ (shared / (spectrum + penalty)[:, None])).T * scale
    return Linear(weight.astype(np.float32), (middle - weight @ centre).astype(np.float32))


def macro_auc(targets: np.ndarray, logits: np.ndarray) -> float | None:
    """Mean AUC-ROC of the findings that have both classes; None where none has."""
    areas = metrics_of(targets, logits)[:, METRICS.index("auc_roc")]
    return float(np.nanmean(areas)) if np.isfinite(areas).any() else None
