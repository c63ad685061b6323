"""Teachers that know nothing: what a student learns from them, distillation did not give.

A student of a control is trained like any other, with the same loss, images and cost; only the
vectors that it reproduces are others. What it gains over the same network without distillation is
therefore not owed to what the teacher knows of an image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch

from cxrfmkd.datasets.records import targets
from cxrfmkd.networks.batches import BatchLoader
from cxrfmkd.networks.devices import pick_device
from cxrfmkd.networks.inference import predict
from cxrfmkd.networks.network import create
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError

SEED = 42  # of every control, so that its teacher is one and the same for all students
BATCH = 256

Vectors = dict[str, np.ndarray]  # by split, float32 (n, d)


def control_vectors(
    control: str,
    vectors: Mapping[str, np.ndarray],
    records: Mapping[str, pd.DataFrame],
    images: KeyedArray,
    backbone: str,
    input: str,
) -> Vectors:
    """What the students of a control reproduce, with the teacher's mean and SD per dimension.

    control: `shuffled`, the teacher's vector of another patient of the same split; `random`, the
    outputs of a network of random weights; `labels`, a fixed random linear map of the findings'
    labels. vectors: the teacher's; records: of the same images; images: packed.
    """
    if control == "shuffled":
        return {
            split: of_other_patients(values, records[split].patient_id)
            for split, values in vectors.items()
        }
    dimension = vectors["train"].shape[1]
    makers: dict[str, Callable[[pd.DataFrame], np.ndarray]] = {
        "random": _random_outputs(images, backbone, input, dimension),
        "labels": _mapped_labels(dimension),
    }
    made = {split: makers[control](table) for split, table in records.items()}
    return _scaled_like(made, vectors["train"])


def of_other_patients(vectors: np.ndarray, patients: pd.Series) -> np.ndarray:
    """`vectors`, (n, d), dealt out anew so that none stays with its own patient."""
    codes, labels = pd.factorize(patients)
    most = np.bincount(codes).max()
    if len(codes) < 2 * most:
        raise InputError(
            "the control `shuffled` needs other patients: one has more than half of the "
            f"{len(codes)} images of a split."
        )
    place = np.random.default_rng(SEED).permutation(len(labels))
    order = np.argsort(place[codes], kind="stable")
    dealt = np.empty_like(vectors)
    dealt[order] = vectors[np.roll(order, most)]
    return dealt


def _random_outputs(
    images: KeyedArray, backbone: str, input: str, dimension: int
) -> Callable[[pd.DataFrame], np.ndarray]:
    def outputs(table: pd.DataFrame) -> np.ndarray:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            network = create(backbone, "none", dimension, None, input)
        loader = BatchLoader(images, table.image_id, None, pick_device())
        return predict(network, lambda batch: (network(batch),), loader, BATCH)[0]

    return outputs


def _mapped_labels(dimension: int) -> Callable[[pd.DataFrame], np.ndarray]:
    def mapped(table: pd.DataFrame) -> np.ndarray:
        labels = targets(table)
        rng = np.random.default_rng(SEED)
        return labels @ rng.normal(size=(labels.shape[1], dimension)).astype(np.float32)

    return mapped


def _scaled_like(made: Vectors, teacher: np.ndarray) -> Vectors:
    """`made` with the teacher's mean and SD of every dimension on the training images."""
    mean, deviation = made["train"].mean(0), made["train"].std(0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    return {
        split: ((values - mean) / deviation * teacher.std(0) + teacher.mean(0)).astype(np.float32)
        for split, values in made.items()
    }
