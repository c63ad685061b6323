"""CLAIM and TRIPOD+AI, filled from the study as far as it knows; the rest is for its authors.

Mongan, Moy and Kahn 2020 and Tejani et al. 2024 (CLAIM, 10.1148/ryai.240300); Collins et al. 2024
(TRIPOD+AI, 10.1136/bmj-2023-078378). An item that is filled is not thereby sufficient.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from importlib.resources import files

import pandas as pd

from cxrfmkd.report.data import ReportData
from cxrfmkd.report.prose import count, dataset_names, listing, loss_names, reading
from cxrfmkd.vocabulary.losses import split_control
from cxrfmkd.vocabulary.metrics import METRIC_TITLES
from cxrfmkd.vocabulary.models import MODELS
from cxrfmkd.vocabulary.titles import attribute_words

COLUMNS = "guideline item asks status where answer".split()


def checklist(data: ReportData) -> pd.DataFrame:
    """A row per item: status `answered` with where and how, or `open`."""
    text = (files("cxrfmkd.vocabulary") / "checklists.toml").read_text(encoding="utf-8")
    rows = []
    for item in tomllib.loads(text)["items"]:
        answer = FACTS[item["fact"]](data) if "fact" in item else ""
        where = f"report, {item['where']}" if answer and "where" in item else ""
        status = "answered" if answer else "open"
        rows.append(item | {"status": status, "where": where, "answer": answer})
    return pd.DataFrame(rows)[COLUMNS]


def _sources(data: ReportData) -> str:
    return "; ".join(
        f"{dataset_names([name])} ({reading(data.settings['datasets'][name])})"
        for name in data.datasets
    )


def _flow(data: ReportData) -> str:
    sizes = [
        f"{count(images, 'image')} of {count(patients, 'patient')}, {dataset_names([name])}"
        for name, (images, patients) in data.sizes.items()
    ]
    return "; ".join(sizes)


def _labels(data: ReportData) -> str:
    policy = data.settings["labels"]
    return (
        "labels of the dataset’s own labeller on the radiology reports; uncertain: "
        f"{policy['uncertain']}, blank: {policy['blank']}"
    )


def _partitions(data: ReportData) -> str:
    names = [f"{summary['dataset']}: {summary['split']}" for summary in _summaries(data)]
    return "; ".join(names)


def _summaries(data: ReportData) -> list[dict]:
    return [summary for summary in data.documents("records") if "split" in summary]


def _disjoint(data: ReportData) -> str:
    gates = data.gates
    passed = gates[gates.name.str.startswith("patients in one split") & (gates.status == "passed")]
    return "patients; " + "; ".join(passed.found) if len(passed) else ""


def _models(data: ReportData) -> str:
    titles = [MODELS[name].title for name in data.settings["classification"]["models"]]
    losses = [x for x in data.settings["distillation"]["losses"] if not split_control(x)[1]]
    return f"{listing(titles)}; students distilled with {loss_names(losses)}"


def _training(data: ReportData) -> str:
    seeds = len(data.settings["classification"]["seeds"])
    distillation, finetuning = data.settings["distillation"], data.settings["finetuning"]
    return (
        f"distillation {count(distillation['epochs'], 'epoch')}, batches of "
        f"{distillation['batch_size']}; fine-tunes {count(finetuning['epochs'], 'epoch')} at the "
        f"most, batches of {finetuning['batch_size']}; {count(seeds, 'seed')}"
    )


def _selection(data: ReportData) -> str:
    everywhere = "epochs, penalties and best models on validation images"
    if data.settings["classification"]["student"] != "selected":
        return everywhere
    return f"{everywhere}; students on {data.settings['distillation']['select_on']}"


def _uncertainty(data: ReportData) -> str:
    evaluation = data.settings["evaluation"]
    return (
        f"{100 * evaluation['confidence']:.0f} % intervals over {evaluation['unit']}s and seeds, "
        f"{evaluation['replicates']:,} replicates; adjustment {evaluation['adjustment']} and "
        f"max-T; margin of equivalence {evaluation['margin']:g}"
    )


def _external(data: ReportData) -> str:
    pairs = data.settings["transfer"]["pairs"]
    return "; ".join(f"{dataset_names([a])} to {dataset_names([b])}" for a, b in pairs)


def _exclusions(data: ReportData) -> str:
    rules = [
        f"{dataset_names([summary['dataset']])}: "
        + ", ".join(step["reason"] for step in summary.get("flow", []) if step.get("reason"))
        for summary in data.documents("records")
    ]
    return "; ".join(rules)


def _software(data: ReportData) -> str:
    versions = {name: listing(found) for name, found in data.versions.items()}
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _fairness(data: ReportData) -> str:
    groups = list(map(attribute_words, data.settings["evaluation"]["attributes"]))
    return f"performance, gaps, calibration and embeddings by {listing(groups)}" if groups else ""


def _text(text: str) -> Callable[[ReportData], str]:
    return lambda data: text


FACTS: dict[str, Callable[[ReportData], str]] = {
    "design": _text("retrospective, on published datasets"),
    "goal": _text(
        "what a student distilled from a foundation model gains and loses in performance and bias"
    ),
    "sources": _sources,
    "exclusions": _exclusions,
    "preprocessing": lambda data: (
        f"images of {data.settings['images']['size']} pixels, {data.settings['images']['aspect']}; "
        f"input {data.settings['network']['input']}"
    ),
    "deidentified": _text(
        "datasets are published de-identified; results carry aggregates, without small cells"
    ),
    "missing": lambda data: (
        f"{_labels(data)}; {count(data.left_out, 'image')} without pixels or embedding left out"
    ),
    "labels": _labels,
    "partitions": _partitions,
    "disjoint": _disjoint,
    "models": _models,
    "software": _software,
    "initialisation": lambda data: (
        f"backbones: {data.settings['network']['weights']}; heads random"
    ),
    "training": _training,
    "selection": _selection,
    "ensembles": _text("none: numbers are means over models of several seeds, each on its own"),
    "metrics": lambda data: listing(METRIC_TITLES.values()),
    "uncertainty": _uncertainty,
    "robustness": lambda data: _external(data) and "transfer to another dataset, by strategy",
    "internal": lambda data: dataset_names(data.trained),
    "external": _external,
    "flow": _flow,
    "cohort": lambda data: "table of everyone by split" if len(data.table("cohort")) else "",
    "performance": lambda data: "tables and figures" if len(data.table("summary")) else "",
    "caveats": _text("those that follow from the settings; the authors add theirs"),
    "code": _text("hash of the code and the settings of every run; data under their own licences"),
    "weights": _text("weights of every run as safetensors, with the code that loads them"),
    "recalibration": _text("temperature and Platt scaling on validation, recalibration.csv"),
    "imbalance": _text("none in training; prevalence beside every number, and AUC-PR"),
    "fairness": _fairness,
    "thresholds": lambda data: (
        f"probabilities; thresholds at {100 * data.settings['evaluation']['target_fpr']:.0f} % "
        "false-positive rate on validation, thresholds.csv"
    ),
}
