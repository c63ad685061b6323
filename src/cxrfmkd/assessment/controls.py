"""Students and their controls, measured against the teacher on validation records.

The controls say what a number is worth: the constant mean vector of the teacher; a student's own
embeddings given to the wrong images; the same network before distillation, with a random
projection; and the best linear map from that undistilled network's features to the teacher, which
distillation must beat to have been needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.assessment.measures import measure
from cxrfmkd.datasets import records
from cxrfmkd.evaluation.metrics import metrics_of
from cxrfmkd.networks.layers import HeadInput, Linear, projection_of
from cxrfmkd.networks.projections import layer_of
from cxrfmkd.probing.heads import LabelledInputs
from cxrfmkd.probing.probes import train_heads
from cxrfmkd.runtime import provenance
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_json
from cxrfmkd.statistics.ridge import ridge_slopes
from cxrfmkd.study.settings import Labels, Probe
from cxrfmkd.vocabulary.metrics import METRICS

Pair = tuple[np.ndarray, np.ndarray]  # embeddings of training and of validation images
PENALTIES = np.array([1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0])
SEED = 0


def assess(
    spec: dict,
    features: Sequence[KeyedArray],
    weights: Sequence[Path],
    control: KeyedArray,
    teacher: KeyedArray,
    train: pd.DataFrame,
    val: pd.DataFrame,
    further: Sequence[KeyedArray] = (),
) -> dict:
    """The contents of `quality.json`: measures of students and controls on validation records.

    spec: `loss`, `labels` and `seeds`, those of the students, none for the selected one alone;
    features: each student's, before its projection, which is in `weights`; control: those of the
    undistilled network; train, val: records; further: the embeddings of the teachers that the
    spec's `teachers` names. Test records are not asked for. `student` is the mean over `students`;
    the shuffled control is made of the first student. What is said of the first teacher at the top
    is said of each other below `teachers`.
    """
    arrays = *features, control, teacher, *further
    train, val = (records.present(table, *arrays) for table in (train, val))
    labels = Labels.from_spec(spec["labels"])
    targets = [records.targets(table, labels.uncertain, labels.blank) for table in (train, val)]

    def agreement(with_teacher: KeyedArray, layer: str) -> dict:
        inputs = [
            HeadInput(array, _projection(array, path, with_teacher, layer))
            for array, path in zip(features, weights, strict=True)
        ]
        control_input, teacher_input = HeadInput(control), HeadInput(with_teacher)
        said = _agreement(inputs, control_input, teacher_input, (train, val), targets)
        seeds = spec["seeds"] or [read_json(weights[0])["seed"]]
        students = zip(seeds, said["students"], strict=True)
        said["students"] = [{"seed": seed} | measures for seed, measures in students]
        return {"name": with_teacher.meta.get("name", "")} | said

    quality = {
        "spec": spec,
        "versions": provenance.versions(),
        "images": {"train": len(train), "val": len(val)},
        **agreement(teacher, layer_of()),
    }
    names = spec.get("teachers", [])
    others = {
        name: agreement(array, layer_of(name)) for name, array in zip(names, further, strict=True)
    }
    return quality | ({"teachers": others} if others else {})


def _agreement(
    inputs: Sequence[HeadInput],
    control: HeadInput,
    teacher: HeadInput,
    tables: tuple[pd.DataFrame, pd.DataFrame],
    targets: Sequence[np.ndarray],
) -> dict:
    """Measures of students and controls against one teacher.

    inputs: each student's embeddings of it; control: the undistilled features; tables, targets:
    records and labels of training and validation images.
    """
    train, val = tables
    patients, val_patients = (table.patient_id.to_numpy() for table in tables)
    findings = records.findings_of(train)

    def embeddings(head_input: HeadInput) -> Pair:
        return head_input.take(train.image_id), head_input.take(val.image_id)

    def probe(pair: Pair) -> Linear:
        data = LabelledInputs(pair[0], targets[0], patients, findings)
        val_data = LabelledInputs(pair[1], targets[1], val_patients, findings)
        return train_heads(data, val_data, [SEED], Probe())[0].head

    reference, truth = of_teacher = embeddings(teacher)
    teacher_probe = probe(of_teacher)

    def measured(pair: Pair) -> dict:
        return measure(pair[1], truth, reference, SEED) | {
            "probe_auc": macro_auc(targets[1], probe(pair)(pair[1])),
            "teacher_probe_auc": macro_auc(targets[1], teacher_probe(pair[1])),
        }

    students = [measured(embeddings(head_input)) for head_input in inputs]
    controls = control_embeddings(reference, embeddings(inputs[0]), embeddings(control))
    return {
        "teacher": {"probe_auc": macro_auc(targets[1], teacher_probe(truth))},
        "student": mean_measures(students),
        "students": students,
        "controls": {name: measured(pair) for name, pair in controls.items()},
    }


def _projection(features: KeyedArray, weights: Path, teacher: KeyedArray, layer: str) -> Linear:
    """The projection of the student with these features, into the teacher's dimension."""
    projection = projection_of(features, weights, layer)
    assert projection is not None
    if len(projection.weight) != teacher.data.shape[1]:
        raise InputError(
            f"{weights}: the student's embeddings have {len(projection.weight)} numbers, those of "
            f"{teacher.name} {teacher.data.shape[1]}. They are of different teachers."
        )
    return projection


def mean_measures(measures: Sequence[dict]) -> dict:
    """The mean of each measure over students; None where one of them has none."""
    means: dict = {}
    for name, first in measures[0].items():
        values = [of[name] for of in measures]
        if isinstance(first, dict):
            means[name] = mean_measures(values)
        elif all(value == first for value in values):
            means[name] = first  # such as a number of images
        else:
            means[name] = None if None in values else float(np.mean(values))
    return means


def control_embeddings(teacher: np.ndarray, student: Pair, untrained: Pair) -> dict[str, Pair]:
    """A student's controls as embeddings in the teacher's dimension.

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
