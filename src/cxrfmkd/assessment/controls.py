"""A student and its controls, measured against the teacher on validation records.

The controls say what a number is worth: the constant mean vector of the teacher; the student's own
embeddings given to the wrong images; the same network before distillation, with a random
projection; and the best linear map from that undistilled network's features to the teacher, which
distillation must beat to have been needed.
"""

from __future__ import annotations

from collections.abc import Callable
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
from cxrfmkd.statistics.ridge import ridge_slopes
from cxrfmkd.study.settings import Labels, Probe
from cxrfmkd.vocabulary.metrics import METRICS

Pair = tuple[np.ndarray, np.ndarray]  # embeddings of training and of validation images
PENALTIES = np.array([1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0])
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
    """The contents of `quality.json`: measures of a student and its controls on validation records.

    spec: `loss` and `labels`; features: the student's, before its projection, which is in
    `weights`; control: those of the undistilled network; train, val: records. Test records are not
    asked for.
    """
    train, val = (records.present(table, features, control, teacher) for table in (train, val))
    projection = Linear.load(weights, "projection")
    if len(projection.weight) != teacher.data.shape[1]:
        raise InputError(
            f"{weights}: the student's embeddings have {len(projection.weight)} numbers, those of "
            f"{teacher.name} {teacher.data.shape[1]}. They are of different teachers."
        )
    labels = Labels.from_spec(spec["labels"])
    targets, val_targets = (records.targets(table, labels.uncertain) for table in (train, val))
    patients, val_patients = (table.patient_id.to_numpy() for table in (train, val))

    def embeddings(head_input: HeadInput) -> Pair:
        return head_input.take(train.image_id), head_input.take(val.image_id)

    def probe(pair: Pair) -> Linear:
        data = LabelledInputs(pair[0], targets, patients)
        val_data = LabelledInputs(pair[1], val_targets, val_patients)
        return train_heads(data, val_data, [SEED], Probe())[0].head

    reference, truth = of_teacher = embeddings(HeadInput(teacher))
    teacher_probe = probe(of_teacher)
    predictors = predict_teacher(
        reference, embeddings(HeadInput(features, projection)), embeddings(HeadInput(control))
    )
    measures = {
        name: measure(pair[1], truth, reference, SEED)
        | {
            "probe_auc": macro_auc(val_targets, probe(pair)(pair[1])),
            "teacher_probe_auc": macro_auc(val_targets, teacher_probe(pair[1])),
        }
        for name, pair in predictors.items()
    }
    return {
        "spec": spec,
        "versions": provenance.versions(),
        "images": {"train": len(train), "val": len(val)},
        "teacher": {"probe_auc": macro_auc(val_targets, teacher_probe(truth))},
        "student": measures.pop("student"),
        "controls": measures,
    }


def predict_teacher(teacher: np.ndarray, student: Pair, untrained: Pair) -> dict[str, Pair]:
    """The student and its controls as embeddings in the teacher's dimension.

    teacher: (n, D), of training images; student: (n, D) and (m, D), of training and validation
    images; untrained: (n, F) and (m, F), the features of the undistilled network.
    """
    random = np.random.default_rng(SEED)
    width, dimension = untrained[0].shape[1], teacher.shape[1]
    bound = width**-0.5
    projection = random.uniform(-bound, bound, (width, dimension)).astype(np.float32)
    linear = best_linear_map(untrained[0], teacher)
    mean = teacher.mean(0, dtype=np.float64).astype(np.float32)

    def apply(function: Callable[[np.ndarray], np.ndarray], pair: Pair) -> Pair:
        return function(pair[0]), function(pair[1])

    return {
        "student": student,
        "mean_vector": apply(lambda rows: np.full(rows.shape, mean), student),
        "shuffled": apply(lambda rows: rows[random.permutation(len(rows))], student),
        "untrained": apply(lambda rows: rows @ projection, untrained),
        "untrained_linear": apply(linear, untrained),
    }


def best_linear_map(inputs: np.ndarray, outputs: np.ndarray) -> Linear:
    """The ridge regression of outputs (n, D) on standardised inputs (n, F), one penalty for all.

    The penalty, one of PENALTIES per image, is chosen by generalised cross-validation. A feature
    that does not vary is not used.
    """
    centre, deviation = inputs.mean(0, dtype=np.float64), inputs.std(0, dtype=np.float64)
    scale = np.divide(1, deviation, where=deviation > 0, out=np.zeros_like(deviation))
    x = ((inputs - centre) * scale).astype(np.float32)
    mean = outputs.mean(0, dtype=np.float64)
    y = (outputs - mean).astype(np.float32)
    gram, products = (x.T @ x / len(x)).astype(np.float64), x.T @ y / len(x)
    squares = np.square(y, dtype=np.float64).mean(0)
    slopes = ridge_slopes(gram, products, squares, len(x), PENALTIES, shared=True)
    weight = slopes.T * scale
    return Linear(weight.astype(np.float32), (mean - weight @ centre).astype(np.float32))


def macro_auc(targets: np.ndarray, logits: np.ndarray) -> float | None:
    """Mean AUC-ROC of the findings that have both classes; None where none has."""
    areas = metrics_of(targets, logits)[:, METRICS.index("auc_roc")]
    return float(np.nanmean(areas)) if np.isfinite(areas).any() else None
