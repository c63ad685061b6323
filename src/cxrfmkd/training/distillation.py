"""Students: networks that reproduce the teacher's embedding of an image.

Source: thesis method, sections 2.1 and 3.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import cast

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset, Subset, random_split

from cxrfmkd.networks.batches import BatchLoader
from cxrfmkd.networks.devices import pick_device
from cxrfmkd.networks.network import create
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study.settings import Distillation
from cxrfmkd.training.controls import control_vectors
from cxrfmkd.training.jobs import Job, Plan, RunResult
from cxrfmkd.training.loop import evaluate, train
from cxrfmkd.training.losses import Objective
from cxrfmkd.training.teachers import Targets, described, embeddings_of
from cxrfmkd.vocabulary.backbones import STUDENT
from cxrfmkd.vocabulary.losses import split_control
from cxrfmkd.vocabulary.teachers import TEACHER

# Shares of the validation images: on the first the best epoch is chosen, the second is the
# distillation's own test.
SHARES = (0.7, 0.3)

# The fixed split by patient draws its order of patients from this seed, whatever the run's.
SPLIT_SEED = 42

# The plateau of a loss is its mean over this last share of the epochs.
PLATEAU = 0.1


def distill(
    images: KeyedArray,
    teacher: KeyedArray,
    training: pd.DataFrame,
    validation: pd.DataFrame,
    *,
    loss: str,
    settings: Distillation,
    job: Job,
    scales: Mapping[str, float] | None = None,
    backbone: str = STUDENT,
    further: Mapping[str, KeyedArray] | None = None,
) -> RunResult:
    """Train one student.

    images: packed images, uint8 (n, h, w); teacher: embeddings, float32 (n, d); further: those of
    other teachers, by name, of which the student reproduces each too; training, validation:
    records, of images that all of them have. scales: plateau values for the weighted losses where
    the settings have none (see `measure_scales`). loss: of the vocabulary, with a control's name or
    without.
    """
    device = pick_device()
    val_records, test_records = split_validation(validation, settings.split, job.seed)
    records = {"train": training, "val": val_records, "test": test_records}
    teachers = {TEACHER: teacher, **(further or {})}
    vectors = embeddings_of(teachers, records)
    loss_itself, control = split_control(loss)
    if control:
        vectors = {
            name: control_vectors(control, known, records, images, backbone, job.compute.input)
            for name, known in vectors.items()
        }
    targets = Targets.of(vectors, settings.standardise_teacher)
    loaders = {
        split: BatchLoader(images, part.image_id, targets.vectors[split], device)
        for split, part in records.items()
    }
    torch.manual_seed(job.seed)
    student = create(backbone, job.compute.weights, targets.width, None, job.compute.input)
    scales = dict(settings.loss_scales or scales or {})
    objective = targets.objective(
        partial(Objective, loss_itself, scales, settings.relational_weight)
    )
    result = train(student, objective, loaders["train"], loaders["val"], Plan.of(settings), job)
    terms = {
        split: evaluate(student, objective, loaders[split], settings.batch_size, job.compute)
        for split in ("val", "test")
    }
    assert student.projection is not None
    targets.fold(student.projection)
    run = {"loss": loss} | result.run(job, student, loaders)
    if further:
        student.teachers = described(teachers)
        run["teachers"] = student.teachers
    run["best"] = result.best | {"test_loss": terms["test"]["loss"]}
    run |= {"scales": scales, "terms": terms, "plateau": plateau(result.history)}
    return RunResult(student, result.history, run)


def split_validation(
    records: pd.DataFrame, how: str, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The distillation's own validation and test part of the validation records, 70 : 30.

    how: `patient` keeps a patient's images together and is the same for every seed; `image-by-seed`
    draws images anew for every seed, as the thesis did with `torch.utils.data.random_split`.
    """
    n = len(records)
    if how == "image-by-seed":
        rows = cast(Dataset, range(n))  # torch asks for its length alone
        first: Subset = random_split(rows, SHARES, torch.Generator().manual_seed(seed))[0]
        in_validation = np.isin(np.arange(n), first.indices)
    else:
        patients = np.sort(records.patient_id.unique())
        shuffled = pd.Series(np.random.default_rng(SPLIT_SEED).permutation(patients))
        images = shuffled.map(records.patient_id.value_counts())
        val_patients = shuffled[images.cumsum() <= SHARES[0] * n]
        in_validation = records.patient_id.isin(val_patients).to_numpy()
    if in_validation.all() or not in_validation.any():
        raise InputError(
            f"the {n} validation records of {records.patient_id.nunique()} patients cannot be "
            f"divided 70 : 30 (distillation.split: {how}). More validation patients are needed."
        )
    val, test = records[in_validation], records[~in_validation]
    return val.reset_index(drop=True), test.reset_index(drop=True)


def plateau(history: pd.DataFrame) -> dict[str, float]:
    """Mean of each validation term over the last tenth of the epochs, at least one."""
    last = history.tail(max(1, round(PLATEAU * len(history))))
    terms = [column for column in history if column.startswith("val_")]
    return {name.removeprefix("val_"): float(last[name].mean()) for name in terms}
