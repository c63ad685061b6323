"""Runs of classifiers that are trained through their network: from a script's arguments to a run folder."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from cxrfmkd.datasets.records import present, read_records
from cxrfmkd.networks.network import Network
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.files import write_json, write_table
from cxrfmkd.study.settings import Finetuning, Labels
from cxrfmkd.study.settings import Network as Compute
from cxrfmkd.training.checkpoints import Checkpoints
from cxrfmkd.training.events import events_folder
from cxrfmkd.training.finetuning import finetune

# What every such script is given.
ARGUMENTS = {
    "images": KeyedArray.open,
    "train": read_records,
    "val": read_records,
    "test": read_records,
    "checkpoints": Path,
    "time_budget": (float, None),
    "weights": Path,
    "history": Path,
    "predictions": Path,
    "run": Path,
    "embeddings": Path,
}


def train_run(args: Namespace, network: Network, settings: Finetuning) -> None:
    """Train `network` and write weights, history, predictions, embeddings and, last, run.json.

    args: `ARGUMENTS`, parsed, with `spec` (model, seed, labels, network) and `code`. Stopped, it
    leaves with status 75 and goes on from its checkpoint when it is called again.
    """
    spec = args.spec
    tables = {part: present(getattr(args, part), args.images) for part in ("train", "val", "test")}
    with Checkpoints(args.checkpoints, args.time_budget) as kept:
        done = finetune(
            network,
            args.images,
            tables,
            seed=spec["seed"],
            labels=Labels(**spec["labels"]),
            settings=settings,
            compute=Compute(**spec["network"]),
            checkpoints=kept,
            code=args.code,
            events=events_folder(args.run.parent),
        )
        about = {"model": spec["model"], "seed": str(spec["seed"])}
        done.network.save(args.weights, about)
        write_table(args.history, done.history)
        write_table(args.predictions, done.predictions)
        meta = done.embeddings.meta | about | {"excluded": args.images.meta.get("excluded", [])}
        replace(done.embeddings, meta=meta).save(args.embeddings)
        write_json(args.run, {"spec": spec, "code": args.code} | done.run)
