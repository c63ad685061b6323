"""Students: networks that reproduce the teacher's embedding of an image.

Source: thesis method, sections 2.1 and 3.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import random_split

from cxrfmkd.networks.batches import BatchLoader
from cxrfmkd.networks.devices import device_name, pick_device
from cxrfmkd.networks.network import Network, create
from cxrfmkd.runtime import provenance
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.files import read_json
from cxrfmkd.study import settings as configuration
from cxrfmkd.training.augmentation import Augmentation
from cxrfmkd.training.checkpoints import Checkpoints
from cxrfmkd.training.loop import Plan, evaluate, train
from cxrfmkd.training.losses import Objective
from cxrfmkd.training.standardisation import Standardisation

# Shares of the validation images: on the first the best epoch is chosen, the second is the
# distillation's own test.
PARTS = (0.7, 0.3)

# The fixed split by patient draws its order of patients from this seed, whatever the run's.
SPLIT_SEED = 42

# The plateau of a loss is its mean over this last share of the epochs.
PLATEAU = 0.1


@dataclass(frozen=True)
class Distilled:
    """network: the student; history: a row an epoch; run: what run.json says of it."""

    network: Network
    history: pd.DataFrame
    run: dict


def distill(
    images: KeyedArray,
    teacher: KeyedArray,
    training: pd.DataFrame,
    validation: pd.DataFrame,
    *,
    loss: str,
    seed: int,
    settings: configuration.Distillation,
    network: configuration.Network,
    scales: Mapping[str, float] | None = None,
    checkpoints: Checkpoints | None = None,
    code: str = "",
    backbone: str = "densenet169",
    events: Path | None = None,
) -> Distilled:
    """Train one student.

    images: packed images, uint8 (n, h, w); teacher: embeddings, float32 (n, d); training,
    validation: records.
    scales: plateau values for the weighted losses where the settings have none (see
    `measure_scales`).
    code: hash of the code, so that a checkpoint of other code is refused. events: as in `train`.
    """
    started = provenance.now()
    device = pick_device(network.device)
    chosen, tested = split_validation(validation, settings.split, seed)
    targets = {
        name: embeddings(teacher, part.image_id)
        for name, part in [("train", training), ("val", chosen), ("test", tested)]
    }
    standard = Standardisation.fit(targets["train"], settings.standardise_teacher)
    feeds = [
        BatchLoader(images, part.image_id, standard.apply(targets[name]), device)
        for name, part in [("train", training), ("val", chosen), ("test", tested)]
    ]
    scales = settings.loss_scales or scales
    torch.manual_seed(seed)
    student = create(backbone, network.weights, teacher.data.shape[1], None, network.input)
    objective = Objective(loss, scales, settings.relational_weight)
    plan = Plan(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        schedule="one-cycle",
        seed=seed,
        augmentation=Augmentation(settings.flip, settings.affine),
    )
    made_by = provenance.fingerprint(
        [loss, code, student.identity(), dict(scales or {})],
        [vars(settings), vars(network)],
        repr(plan),
        [feed.identity() for feed in feeds],
    )
    outcome = train(
        student, objective, feeds[0], feeds[1], plan, network, checkpoints, made_by, events
    )
    measured = [
        evaluate(student, objective, feed, settings.batch_size, network) for feed in feeds[1:]
    ]
    standard.fold(student.projection)
    run = {
        "loss": loss,
        "seed": seed,
        "started": started,
        "finished": provenance.now(),
        **outcome.facts(),
        "device": device_name(device),
        "versions": provenance.versions(),
        "images": {"train": len(feeds[0]), "val": len(feeds[1]), "test": len(feeds[2])},
        "parameters": student.parameter_counts(),
        "scales": dict(scales or {}),
        "best": outcome.best | {"test_loss": measured[1]["loss"]},
        "terms": {"val": measured[0], "test": measured[1]},
        "plateau": plateau(outcome.history),
    }
    return Distilled(student, outcome.history, run)


def split_validation(
    records: pd.DataFrame, how: str, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The distillation's own validation and test part of the validation records, 70 : 30.

    how: `patient` keeps a patient's images together and is the same for every seed; `image-by-seed`
    draws images anew for every seed, as the thesis did with `torch.utils.data.random_split`.
    """
    n = len(records)
    if how == "image-by-seed":
        parts = random_split(range(n), PARTS, torch.Generator().manual_seed(seed))
        chosen = np.isin(np.arange(n), parts[0].indices)
    else:
        patients = np.sort(records.patient_id.unique())
        drawn = pd.Series(np.random.default_rng(SPLIT_SEED).permutation(patients))
        images = drawn.map(records.patient_id.value_counts())
        part = drawn[images.cumsum() <= PARTS[0] * n]
        chosen = records.patient_id.isin(part).to_numpy()
    if chosen.all() or not chosen.any():
        raise InputError(
            f"the {n} validation records of {records.patient_id.nunique()} patients cannot be "
            "divided 70 : 30 "
            f"(distillation.split: {how}). More validation patients are needed."
        )
    return records[chosen].reset_index(drop=True), records[~chosen].reset_index(drop=True)


def embeddings(teacher: KeyedArray, image_ids: Sequence[str]) -> np.ndarray:
    """The teacher's vectors of some images, float32 (n, d); InputError where one is not finite."""
    vectors = np.asarray(teacher.take(image_ids), np.float32)
    broken = np.flatnonzero(~np.isfinite(vectors).all(1))
    if len(broken):
        rows = teacher.rows(image_ids)[broken]
        raise InputError(
            f"{teacher.name}: {len(broken)} embeddings are not finite (rows {some(rows)} of its "
            "data.npy). "
            "Make it again from sound embeddings."
        )
    return vectors


def plateau(history: pd.DataFrame) -> dict[str, float]:
    """Mean of each validation term over the last tenth of the epochs, at least one."""
    last = history.tail(max(1, round(PLATEAU * len(history))))
    terms = [column for column in history if column.startswith("val_")]
    return {name.removeprefix("val_"): float(last[name].mean()) for name in terms}


def measure_scales(mse: Sequence[str | Path], cosine: Sequence[str | Path]) -> dict[str, float]:
    """Where the two losses level off on a dataset: the mean plateau of its own mse and of its own
    cosine students.

    mse, cosine: their `run.json` files. The thesis averaged training losses; validation losses are
    used here.
    """
    scales = {}
    for loss, paths in [("mse", mse), ("cosine", cosine)]:
        levels = [_level(Path(path), loss) for path in paths]
        if not levels:
            raise InputError(
                f"the plateau of {loss} needs at least one student that was distilled with it."
            )
        scales[loss] = float(np.mean(levels))
    return scales


def _level(path: Path, loss: str) -> float:
    run = read_json(path)
    if run.get("loss") != loss:
        raise InputError(
            f"{path}: a student of loss {run.get('loss')!r}, where {loss!r} is wanted."
        )
    level = run["plateau"][loss]
    if not level > 0:
        raise InputError(
            f"{path}: the plateau of {loss} is {level}, which nothing can be divided by."
        )
    return level
