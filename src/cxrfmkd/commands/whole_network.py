"""The whole network of a student or a classifier, put together from the files of its run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cxrfmkd.networks.layers import Linear
from cxrfmkd.networks.network import (
    Network,
    frozen_backbone,
    holds_network,
    load,
    load_student,
)
from cxrfmkd.networks.weights import selected_weights
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_json, read_table
from cxrfmkd.tables.gathering import about
from cxrfmkd.vocabulary.models import MODELS, join_model

CHECKED = 4  # images on which a put-together classifier must give its run's own logits
LOGITS = 1e-2  # how far they may differ: of the features that were kept, and of another device


@dataclass(frozen=True)
class Run:
    """weights: its file. facts: dataset, source, model, loss, seed, as far as the path tells."""

    weights: Path
    facts: dict

    @property
    def results(self) -> Path:
        """Folder of the study's results."""
        return Path(*self.weights.resolve().parts[:-5])

    @property
    def dataset(self) -> Path:
        """Folder of the dataset that it was trained on last."""
        return self.results / str(self.facts.get("dataset", "-"))

    def images(self) -> dict:
        """Settings of the dataset's packed images; empty where they are not there."""
        meta = self.dataset / "images" / "meta.json"
        return read_json(meta).get("settings", {}) if meta.is_file() else {}


def find_run(path: Path) -> Run:
    """Find a run by its folder, that of a selected seed, or the file of either."""
    for name in ("weights.safetensors", "selected.json"):
        if (path / name).is_file():
            path = path / name
            break
    if not path.is_file():
        raise InputError(
            f"{path}: neither weights.safetensors nor selected.json is there. Name a folder "
            "below students/ or models/, or the folder of a transfer's seed."
        )
    weights = selected_weights(path).resolve()
    return Run(weights, about(weights))


def whole_network(run: Run, teacher: str = "") -> Network:
    """The network of a student, a fine-tuned classifier, or a head with its backbone.

    teacher: of a student of several, the one whose embedding it gives; empty for the first.
    A probe's file holds the head alone, and so does that of a transfer that trained no more. What
    is put together must give the logits that the run itself predicted, so a student of another seed
    is not taken by mistake.
    """
    if holds_network(run.weights):
        return load(run.weights, teacher=teacher)
    if teacher:
        raise InputError(f"{run.weights}: it is a classifier, which has no teacher to choose.")
    model = str(run.facts.get("model", ""))
    if model not in MODELS:
        raise InputError(
            f"{run.weights}: it holds a head alone, and lies where its network is not known. "
            "Export a student, or a run below models/ or a transfer's folder."
        )
    if MODELS[model].backbone == "teacher":
        raise InputError(
            f"{run.weights}: {MODELS[model].title} classifies the teacher's embeddings. It has no "
            "image network that could be exported."
        )
    head = Linear.load(run.weights)
    for network in _backbones(run, model):
        # A transfer may have trained its head below the projection that the model has elsewhere.
        for keep_projection in dict.fromkeys((MODELS[model].projection, False)):
            network.with_head(head.findings or len(head.weight), keep_projection).eval()
            if _takes(network, head) and _gives_the_runs_logits(network, run):
                return network
    raise InputError(
        f"{run.weights}: its head, on the backbones that are there, does not give the logits in "
        "its predictions.parquet. Make the run again, with the student that it started from."
    )


def _takes(network: Network, head: Linear) -> bool:
    """Put `head` on the network, if it has as many inputs as the network's own."""
    assert network.head is not None
    if network.head.in_features != head.weight.shape[1]:
        return False
    state = {"weight": torch.tensor(head.weight), "bias": torch.tensor(head.bias)}
    network.head.load_state_dict(state)
    return True


def _backbones(run: Run, model: str) -> Iterator[Network]:
    """What a head may have been trained on: frozen, a student, or a transfer's source."""
    source = run.results / str(run.facts.get("source", run.facts.get("dataset", "-")))
    name = join_model(model, str(run.facts.get("loss") or ""))
    if "strategy" in run.facts and MODELS[model].finetuned:
        yield from map(load, _seeds(source / "models" / name, run))
        return
    if not MODELS[model].student:
        backbone = MODELS[model].backbone
        meta = run.dataset / "features" / backbone / "meta.json"
        if not meta.is_file():
            raise InputError(f"{meta} is not there, so {backbone}'s initial weights are not known.")
        settings = read_json(meta)["spec"]["network"]
        yield frozen_backbone(backbone, settings["weights"], settings["input"])
        return
    yield from map(load_student, _seeds(source / "students" / str(run.facts["loss"]), run))


def _seeds(folder: Path, run: Run) -> list[Path]:
    """Weights of the run's own seed and of the selected one, those that are there."""
    names = [f"seed{run.facts['seed']}/weights.safetensors", "selected.json"]
    paths = [folder / name for name in names if (folder / name).is_file()]
    if not paths:
        raise InputError(f"{folder}: the network that {run.weights} looks through is not there.")
    return list(dict.fromkeys(map(selected_weights, paths)))


def _gives_the_runs_logits(network: Network, run: Run) -> bool:
    predictions = read_table(run.weights.with_name("predictions.parquet")).head(CHECKED)
    images = KeyedArray.open(run.dataset / "images")
    pixels = torch.from_numpy(np.array(images.take(predictions.image_id)))
    with torch.no_grad():
        logits = network(pixels).numpy()
    expected = predictions[list(network.findings)].to_numpy()
    return bool(np.allclose(logits, expected, rtol=LOGITS, atol=LOGITS))
