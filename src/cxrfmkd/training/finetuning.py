"""Classifiers whose image network runs in training: full fine-tunes, and probes with drifting
statistics.

Source: thesis method, sections 1.2, 1.3 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cxrfmkd.datasets.records import targets
from cxrfmkd.networks.batches import BatchLoader
from cxrfmkd.networks.devices import device_name, pick_device
from cxrfmkd.networks.inference import predict
from cxrfmkd.networks.network import (
    Network,
    create,
    frozen_backbone,
    holds_network,
    load,
    load_student,
)
from cxrfmkd.runtime import provenance
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.study import settings as configuration
from cxrfmkd.training.augmentation import Augmentation
from cxrfmkd.training.checkpoints import Checkpoints
from cxrfmkd.training.loop import Plan, train
from cxrfmkd.training.losses import BinaryCrossEntropy
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.models import MODELS, Model, split_model


@dataclass(frozen=True)
class Finetuned:
    """predictions: image_id, split, 14 logits; embeddings: what the head saw; run: what run.json says."""

    network: Network
    history: pd.DataFrame
    predictions: pd.DataFrame
    embeddings: KeyedArray
    run: dict


def start(
    model: str, seed: int, network: configuration.Network, student: str | Path | None = None
) -> Network:
    """The network of `model` before its training on a dataset: initial weights or a student's, and
    a new head.

    model: a name of the zoo, with or without its loss. student: weights or `selected.json`, for
    models that have one.
    """
    kind = _with_backbone(model)
    if kind.student != (student is not None):
        raise InputError(
            f"{model} starts from {'a student' if kind.student else 'initial weights'}, but "
            f"{'none' if student is None else student} is given as its student."
        )
    torch.manual_seed(seed)
    if student is not None:
        return load_student(student).with_head(len(FINDINGS), kind.projection)
    return create(kind.backbone, network.weights, None, len(FINDINGS), network.input)


def start_transfer(
    model: str,
    seed: int,
    network: configuration.Network,
    transfer: Mapping[str, str],
    source: str | Path,
    student: str | Path | None = None,
) -> Network:
    """The network of `model` before its training on the target of a transfer: the source's backbone
    and a new head.

    transfer: `projection` (keep or discard) and `probed_source` (finetune or head-only). source:
    weights or
    `selected.json` of the source's run. student: what a probed source looked through, where its run
    holds the head alone; without one it looked through initial weights. A probed source whose run
    holds the network was trained with drifting statistics, so if only its head is trained on, they
    drift on.
    """
    kind = _with_backbone(model)
    whole = holds_network(source)
    if kind.finetuned and not whole:
        raise InputError(f"{source}: a head alone, but {model} is a network. Train it again.")
    torch.manual_seed(seed)
    if whole:
        started = load(source)
    elif student is not None:
        started = load_student(student)
    else:
        started = frozen_backbone(kind.backbone, network.weights, network.input)
    started.with_head(len(FINDINGS), kind.projection and transfer["projection"] == "keep")
    if not kind.finetuned and transfer["probed_source"] == "head-only":
        started.freeze("drifting" if whole else "frozen")
    return started


def as_thesis_probe(
    probe: configuration.Probe, finetuning: configuration.Finetuning
) -> configuration.Finetuning:
    """Settings of a probe through a live network: the probe's length and rate, the fine-tune's loss and augmentation."""
    return replace(
        finetuning,
        epochs=probe.epochs,
        batch_size=probe.batch_size,
        learning_rate=probe.learning_rate,
        schedule="constant",
        patience=None,
    )


def finetune(
    network: Network,
    images: KeyedArray,
    tables: Mapping[str, pd.DataFrame],
    *,
    seed: int,
    labels: configuration.Labels,
    settings: configuration.Finetuning,
    compute: configuration.Network,
    checkpoints: Checkpoints | None = None,
    code: str = "",
    events: Path | None = None,
) -> Finetuned:
    """Train every trainable weight of `network` on the findings, then predict validation and test
    images.

    network: from `start` or `start_transfer`. images: packed images, uint8 (n, h, w). tables:
    records of `train`,
    `val` and `test`. code: hash of the code, so that a checkpoint of other code is refused. events:
    as in `train`.
    """
    started = provenance.now()
    device = pick_device(compute.device)
    feeds = {}
    for part, table in tables.items():
        truth = targets(table, labels.uncertain)
        if part != "test" and np.isnan(truth).all():
            raise InputError(f"the {part} records have no known label, so nothing can be learnt.")
        feeds[part] = BatchLoader(images, table.image_id, truth if part != "test" else None, device)
    plan = Plan(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        schedule=settings.schedule,
        seed=seed,
        patience=settings.patience,
        augmentation=Augmentation(settings.flip, settings.affine),
    )
    made_by = provenance.fingerprint(
        [code, network.identity(), settings.bce, labels.uncertain],
        [repr(plan), vars(compute), network.parameter_counts()],
        [feeds[part].identity() for part in ("train", "val")],
    )
    outcome = train(
        network,
        BinaryCrossEntropy(settings.bce),
        feeds["train"],
        feeds["val"],
        plan,
        compute,
        checkpoints,
        made_by,
        events,
    )
    predictions, embeddings = _read(network, feeds, tables, settings.batch_size)
    run = {
        "seed": seed,
        "started": started,
        "finished": provenance.now(),
        **outcome.facts(),
        "device": device_name(device),
        "versions": provenance.versions(),
        "images": {part: len(feed) for part, feed in feeds.items()},
        "parameters": network.parameter_counts(),
        "best": outcome.best,
    }
    return Finetuned(network, outcome.history, predictions, embeddings, run)


def _read(
    network: Network,
    feeds: Mapping[str, BatchLoader],
    tables: Mapping[str, pd.DataFrame],
    batch_size: int,
) -> tuple[pd.DataFrame, KeyedArray]:
    """Logits and embeddings of the validation and test images, by key."""

    def both(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        embedded = network.embed(batch)
        return embedded, network.classify(embedded)

    read = [predict(network, both, feeds[part], batch_size) for part in ("val", "test")]
    index = pd.concat(
        [
            pd.DataFrame({"image_id": tables[part].image_id.to_numpy(), "split": part})
            for part in ("val", "test")
        ],
        ignore_index=True,
    )
    embedded, logits = (np.concatenate(parts) for parts in zip(*read, strict=True))
    predictions = pd.concat([index, pd.DataFrame(logits, columns=list(FINDINGS))], axis=1)
    meta = {"what": "embeddings before the head", "dimension": embedded.shape[1]}
    return predictions, KeyedArray(embedded, index, meta, "embeddings")


def _with_backbone(model: str) -> Model:
    kind = MODELS[split_model(model)[0]]
    if kind.backbone == "teacher":
        raise InputError(f"{model} has no image network: the teacher cannot be fine-tuned.")
    return kind
