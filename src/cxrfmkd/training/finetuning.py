"""Classifiers whose image network runs in training: full fine-tunes, and the thesis's probes.

The thesis's linear probes trained a head alone, but with batch norm in training mode, so that its
statistics drifted. Source: thesis method, sections 1.2, 1.3 and 5.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cxrfmkd.datasets.records import check_findings, present, read_records, targets
from cxrfmkd.networks.batches import BatchLoader
from cxrfmkd.networks.devices import pick_device
from cxrfmkd.networks.inference import predict
from cxrfmkd.networks.network import (
    Network,
    create,
    frozen_backbone,
    holds_network,
    load,
    load_student,
)
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import write_table
from cxrfmkd.study.settings import Finetuning, Labels, Probe
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.training import jobs
from cxrfmkd.training.jobs import Job, Plan, RunResult, open_job, write_training
from cxrfmkd.training.loop import train
from cxrfmkd.training.losses import BinaryCrossEntropy
from cxrfmkd.vocabulary.datasets import SPLITS
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.models import MODELS, Model, network_of, split_model

# What every script that trains a classifier through its network is given.
ARGUMENTS = jobs.ARGUMENTS | {"test": read_records, "predictions": Path, "embeddings": Path}


@dataclass(frozen=True)
class FinetuningResult(RunResult):
    """predictions: image_id, split, a logit for each finding.

    embeddings: what the head got, by image_id.
    """

    predictions: pd.DataFrame
    embeddings: KeyedArray


def initial_network(
    model: str,
    seed: int,
    compute: Compute,
    student: str | Path | None = None,
    findings: Sequence[str] = FINDINGS,
) -> Network:
    """The network of `model` before its training on a dataset, with a new head.

    model: a name of `vocabulary.models.MODELS`, with or without its loss. student: weights or
    `selected.json`, for models that have one; the others start from initial weights. findings: of
    the head.
    """
    zoo_model = _model_with_backbone(model)
    if zoo_model.student != (student is not None):
        raise InputError(
            f"{model} starts from {'a student' if zoo_model.student else 'initial weights'}, but "
            f"{'none' if student is None else student} is given as its student."
        )
    torch.manual_seed(seed)
    if student is not None:
        return load_student(student, expected=_of_student(model, compute)).with_head(
            findings, zoo_model.projection
        )
    return create(network_of(model), compute.weights, None, findings, compute.input)


def transferred_network(
    model: str,
    seed: int,
    compute: Compute,
    transfer: Mapping[str, str],
    source: str | Path,
    student: str | Path | None = None,
    findings: Sequence[str] = FINDINGS,
) -> Network:
    """The network of `model` before its training on a transfer's target, with a new head.

    transfer: `projection` (keep or discard) and `probed_source` (finetune or head-only). source:
    weights or `selected.json` of the source's run. student: the backbone of a probed source, where
    its run holds the head alone; without one it had initial weights. A probed source whose run
    holds the whole network was trained with batch norm in training mode, so where only its head is
    trained, its statistics drift on. findings: of the head, those of the target.
    """
    zoo_model = _model_with_backbone(model)
    source_has_network = holds_network(source)
    if zoo_model.finetuned and not source_has_network:
        raise InputError(f"{source}: a head alone, but {model} is a network. Train it again.")
    torch.manual_seed(seed)
    if source_has_network:
        network = load(source, {"model": model, "input": compute.input})
    elif student is not None:
        network = load_student(student, expected=_of_student(model, compute))
    else:
        network = frozen_backbone(network_of(model), compute.weights, compute.input)
    network.with_head(findings, zoo_model.projection and transfer["projection"] == "keep")
    if not zoo_model.finetuned and transfer["probed_source"] == "head-only":
        network.freeze("drifting" if source_has_network else "frozen")
    return network


def as_thesis_probe(probe: Probe, finetuning: Finetuning) -> Finetuning:
    """Settings of a probe through a live network: its own length and rate, else the fine-tune's."""
    rates = {name: getattr(probe, name) for name in ("epochs", "batch_size", "learning_rate")}
    return finetuning.model_copy(update=rates | {"schedule": "constant", "patience": None})


def finetune(
    network: Network,
    images: KeyedArray,
    records: Mapping[str, pd.DataFrame],
    *,
    labels: Labels,
    settings: Finetuning,
    job: Job,
) -> FinetuningResult:
    """Train the trainable weights of `network` on the findings; predict validation and test images.

    network: from `initial_network` or `transferred_network`, for the records' findings. images:
    packed, uint8 (n, h, w). records: those of `train`, `val` and `test`.
    """
    device = pick_device()
    loaders = {"test": BatchLoader(images, records["test"].image_id, None, device)}
    for split in ("train", "val"):
        split_targets = targets(records[split], labels.uncertain, labels.blank)
        if np.isnan(split_targets).all():
            raise InputError(f"the {split} records have no known label, so nothing can be learnt.")
        loaders[split] = BatchLoader(images, records[split].image_id, split_targets, device)
    objective = BinaryCrossEntropy(settings.bce)
    result = train(network, objective, loaders["train"], loaders["val"], Plan.of(settings), job)
    predictions, embeddings = _predict(network, loaders, records, settings.batch_size)
    run = result.run(job, network, {split: loaders[split] for split in records})
    return FinetuningResult(network, result.history, run, predictions, embeddings)


def finetune_run(args: Namespace, network: Network, settings: Finetuning) -> None:
    """Train `network` and write predictions, embeddings, weights, history and, last, run.json.

    args: `ARGUMENTS`, parsed, with `spec` (model, seed, labels, network) and `code`.
    """
    spec = args.spec
    records = {split: present(getattr(args, split), args.images) for split in SPLITS}
    check_findings(records)
    with open_job(args) as job:
        labels = Labels.from_spec(spec["labels"])
        result = finetune(network, args.images, records, labels=labels, settings=settings, job=job)
        about = {"model": spec["model"], "seed": str(spec["seed"])}
        write_table(args.predictions, result.predictions)
        meta = result.embeddings.meta | about | {"excluded": args.images.meta.get("excluded", [])}
        replace(result.embeddings, meta=meta).save(args.embeddings)
        write_training(args, result, about | jobs.origin(args.images))


def _predict(
    network: Network,
    loaders: Mapping[str, BatchLoader],
    records: Mapping[str, pd.DataFrame],
    batch_size: int,
) -> tuple[pd.DataFrame, KeyedArray]:
    """Logits and embeddings of the validation and test images, by key."""

    def embed_and_classify(images: Tensor) -> tuple[Tensor, Tensor]:
        embedded = network.embed(images)
        return embedded, network.classify(embedded)

    splits = ("val", "test")
    outputs = [predict(network, embed_and_classify, loaders[s], batch_size) for s in splits]
    embedded, logits = (np.concatenate(arrays) for arrays in zip(*outputs, strict=True))
    index = pd.concat([records[s][["image_id"]].assign(split=s) for s in splits], ignore_index=True)
    predictions = pd.concat([index, pd.DataFrame(logits, columns=list(network.findings))], axis=1)
    meta = {"what": "embeddings before the head", "dimension": embedded.shape[1]}
    return predictions, KeyedArray(embedded, index, meta, "embeddings")


def _of_student(model: str, compute: Compute) -> dict[str, str]:
    """What the header of a model's student must say: its loss, and how images are put in."""
    loss = split_model(model)[1]
    return {"input": compute.input} | ({"loss": loss} if loss else {})


def _model_with_backbone(model: str) -> Model:
    zoo_model = MODELS[split_model(model)[0]]
    if zoo_model.backbone == "teacher":
        raise InputError(f"{model} has no image network: the teacher cannot be fine-tuned.")
    return zoo_model
