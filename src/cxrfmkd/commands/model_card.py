"""The README.md of an exported model: a card for the Hugging Face hub, filled from the study."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import yaml

from cxrfmkd.commands.whole_network import Run
from cxrfmkd.runtime.files import read_json, read_table
from cxrfmkd.tables.selecting import HEADLINE_METRIC, in_main_population, where
from cxrfmkd.vocabulary.findings import MACRO
from cxrfmkd.vocabulary.losses import loss_title
from cxrfmkd.vocabulary.models import MODELS
from cxrfmkd.vocabulary.teachers import TEACHER

# Columns of the tables that the card shows, and their names there.
QUALITY = {
    "cosine": "cosine with the teacher",
    "centred_cosine": "the same without the teacher's mean vector",
    "r2_overall": "R² of the teacher's numbers",
    "cka_debiased": "CKA",
    "probe_auc": "macro AUC-ROC of a probe, validation",
    "teacher_probe_auc": "the same probe on the teacher",
}
USE = """## Intended use

Research: features for, or comparison with, other models of chest radiographs. **Not for clinical
use**: no decision about a patient may rest on it. It is no medical device, and it has not been
validated as one.

## Limits

- Trained and tested on the data named here alone; at another hospital, on other scanners, views or
  patients it may do worse, and for some groups more than for others (see below).
- Labels were read from reports by a program, and are partly wrong.
- Its vectors may carry traces of sex, race and age; where the study measured them, the score below
  says how clear they are.
- It sees one small image, so small findings may be invisible to it.
"""
CODE = """## Use

{input}

In this folder, with torch, torchvision, safetensors and Pillow:

    from modeling import load, read_images
    model = load(".")
    outputs = model(read_images(["chest.jpg", "chest.dcm"]))

With the package of the study:

    from cxrfmkd.networks.exported import load_exported, read_images
    network, config = load_exported(".")
    outputs = network(read_images(["chest.jpg", "chest.dcm"], "."))

From the command line: `cxrfmkd embed images/ --model . --out outputs.parquet`. `model.pt2` is the
same as a program of torch.export that takes uint8 images of {size} x {size} pixels, any number, and
needs torch alone{onnx}.
"""


def card(run: Run, config: dict, onnx: bool) -> str:
    """Markdown with a YAML header; what the study has no numbers for is left out."""
    teachers = _teachers(run, config)
    licences = dict.fromkeys(t.get("licence", "unknown") for t in teachers.values())
    licence = "; ".join(licences)
    header = {
        "license": "other",
        "license_name": licence,
        "library_name": "pytorch",
        "pipeline_tag": "image-feature-extraction"
        if config["what"] == "student"
        else "image-classification",
        "tags": ["chest-x-ray", "radiology", "knowledge-distillation", "cxr-fmkd"],
        "datasets": [str(run.facts.get("dataset", "unknown"))],
        "metrics": ["roc_auc"],
    }
    parts = [
        "---\n" + yaml.safe_dump(header, sort_keys=False, allow_unicode=True) + "---\n",
        _introduction(run, config, teachers, licence),
        _several_teachers(config, teachers),
        CODE.format(
            input=_input(config),
            size=config["image_size"],
            onnx="; `model.onnx` is that of onnxruntime" if onnx else "",
        ),
        USE,
        _training(run),
        _quality(run, teachers),
        _performance(run),
        _bias(run),
    ]
    return "\n".join(part for part in parts if part)


def _teachers(run: Run, config: dict) -> dict[str, dict]:
    """What is known of each teacher that it learnt from; the first is the dataset's own.

    A classifier learnt from those of its student, which are those that the dataset has vectors of.
    """
    further = sorted((run.dataset / "teachers").glob("*/meta.json"))
    named = config["study"].get("teachers", {})
    if config["what"] == "student":
        further = [path for path in further if path.parent.name in named]
    elif not getattr(MODELS.get(str(run.facts.get("model"))), "student", False):
        further = []
    first = {TEACHER: _document(run.dataset / TEACHER / "meta.json")}
    documents = first | {path.parent.name: _document(path) for path in further}
    return {name: document | named.get(name, {}) for name, document in documents.items()}


def _several_teachers(config: dict, teachers: dict[str, dict]) -> str:
    """A row for each of several teachers; nothing of one."""
    if len(teachers) < 2:
        return ""
    columns = ("name", "variant", "dimension", "licence")
    rows = ["| teacher | variant | numbers | licence |", _RULE]
    rows += [
        "| " + " | ".join(str(of.get(column, "unknown")) for column in columns) + " |"
        for of in teachers.values()
    ]
    head = "## Teachers\n\nIt learnt from several at once, through a projection for each."
    if config["what"] == "student":
        head += f" This folder has that of {teachers[config['study']['teacher']].get('name')}."
    return "\n".join([head, "", *rows, ""])


def _introduction(run: Run, config: dict, teachers: dict[str, dict], licence: str) -> str:
    teacher = teachers[config["study"].get("teacher", TEACHER)]
    name, variant = teacher.get("name", "an unknown teacher"), teacher.get("variant", "unknown")
    space = f"{name} (variant `{variant}`, {teacher['title']})" if "title" in teacher else name
    backbone, outputs = config["backbone"], config["layers"][-1][1]
    if config["what"] == "student":
        what = (
            f"A {backbone} that reproduces the embeddings of {space}: a chest radiograph in, "
            f"{outputs} numbers out."
        )
    else:
        what = (
            f"A {backbone} that classifies {outputs} findings of a chest radiograph, in the order "
            "of `id2label` in config.json; a sigmoid of each output is a probability."
        )
    whose = "the teacher stands under the teacher's"
    if len(teachers) > 1:
        whose = "the teachers stands under all their"
    return (
        f"# {name_of(run)}\n\n{what}\n\n"
        f"**Licence.** What was learnt from {whose} terms: "
        f"{licence}. The terms of the images hold besides. Read both before you pass it on.\n"
    )


def name_of(run: Run) -> str:
    """What the run is, in words."""
    loss = str(run.facts.get("loss", ""))
    loss_words = f", {loss_title(loss)}" if loss else ""
    model = str(run.facts.get("model", ""))
    return (MODELS[model].title if model in MODELS else "Distilled student") + loss_words


def _input(config: dict) -> str:
    shape = {"squash": "squashed to", "pad": "padded with black to"}[config["aspect"]]
    scale = {
        "normalised": "scaled to 0-1 and standardised with ImageNet's grey mean and deviation",
        "raw": "left at 0-255",
    }[config["input"]]
    return (
        f"An image is made grey, {shape} {config['image_size']} x {config['image_size']} pixels "
        f"and {scale}; the model does the last by itself. `read_images` makes it of a JPEG, PNG, "
        "TIFF or DICOM file exactly as the study did."
    )


def _training(run: Run) -> str:
    facts = _document(run.weights.with_name("run.json"))
    images = ", ".join(f"{n:,} {split}" for split, n in facts.get("images", {}).items())
    rows = {
        "dataset": run.facts.get("dataset"),
        "source dataset": run.facts.get("source"),
        "loss": run.facts.get("loss"),
        "seed": facts.get("seed", run.facts.get("seed")),
        "images": images,
        "epochs": facts.get("epochs"),
        "finished": facts.get("finished"),
        "device": facts.get("device"),
        "code": facts.get("code"),
        "torch": facts.get("versions", {}).get("torch"),
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items() if value not in (None, "")]
    return "\n".join(["## Training\n", "| | |", "| --- | --- |", *lines, ""]) if lines else ""


def _quality(run: Run, teachers: dict[str, dict]) -> str:
    table = _table(run, "students")
    if table is None or "model" in run.facts:
        return ""
    mine = where(table, dataset=run.facts["dataset"], loss=run.facts["loss"], what="student")
    mine = mine[mine.seed == run.facts.get("seed")]
    several = len(teachers) > 1 and "teacher" in mine
    names = [str(of.get("name")) for of in teachers.values()] if several else ["the teacher"]
    parts = [where(mine, teacher=name) if several else mine for name in names]
    text = "\n".join(map(_agreement, names, parts))
    return f"{text}\n" if text.strip() else ""


def _agreement(name: str, rows: pd.DataFrame) -> str:
    """How close it is to one teacher, from its row of the table; nothing without one."""
    if rows.empty:
        return ""
    row = rows.iloc[0]
    lines = [
        f"| {words} | {row[column]:.3f} |"
        for column, words in QUALITY.items()
        if column in row and pd.notna(row[column])
    ]
    head = [f"## Agreement with {name}\n", "On validation images.\n", "| | |", "| --- | --- |"]
    return "\n".join([*head, *lines]) if lines else ""


def _models(run: Run) -> list[str]:
    """The classifiers whose rows tell of this model: itself, or the probes on a student."""
    if "model" in run.facts:
        return [str(run.facts["model"])]
    return [name for name, model in MODELS.items() if model.student and not model.finetuned]


def _performance(run: Run) -> str:
    table = _table(run, "performance_detailed")
    if table is None:
        return ""
    rows = where(
        table,
        dataset=run.facts.get("dataset"),
        source=run.facts.get("source", run.facts.get("dataset")),
        strategy=run.facts.get("strategy", "own"),
        model=_models(run),
        loss=run.facts.get("loss", ""),
        metric=HEADLINE_METRIC,
    )
    if rows.empty:
        return ""
    rows = in_main_population(rows)
    head = (
        f"## Performance\n\nAUC-ROC on the {rows.population.iloc[0]} test set, mean over the seeds "
        "of the study, with its interval over patients and seeds."
    )
    lines = [
        f"| {MODELS[row.model].title} | {row.finding} | {row.average:.3f} | {_interval(row)} |"
        for row in rows.sort_values("finding", key=lambda f: f != MACRO, kind="stable").itertuples()
        if pd.notna(row.average)
    ]
    return "\n".join([head, "", "| model | finding | AUC-ROC | interval |", _RULE, *lines, ""])


def _bias(run: Run) -> str:
    table = _table(run, "bias")
    if table is None:
        return ""
    rows = where(
        table,
        dataset=run.facts.get("dataset"),
        model=_models(run),
        loss=run.facts.get("loss", ""),
    )
    rows = rows[rows.score.notna()] if len(rows) else rows
    if rows.empty:
        return ""
    head = (
        "## Traces of patient attributes\n\nThe thesis's score (0 to 150, higher is worse) for "
        "the attributes that it is made of, what a random exchange between patients gives, and "
        "the largest distances between groups (Kolmogorov-Smirnov D)."
    )
    lines = [
        f"| {MODELS[row.model].title} | {row.scored} | {row.score:.0f} | "
        f"{row.null_low:.0f} to {row.null_high:.0f} | {_interval(row, 'd_combined', 2)} |"
        for row in rows.itertuples()
    ]
    columns = "| model | attributes | score | by chance | D and its interval |"
    return "\n".join([head, "", columns, "| --- " * 5 + "|", *lines, ""])


_RULE = "| --- | --- | --- | --- |"


def _interval(row, name: str = "", digits: int = 3) -> str:
    """`0.71 to 0.78`; of a named column with the value before it; `-` where there is none."""
    low, high = (getattr(row, f"{name}_{end}" if name else end, None) for end in ("low", "high"))
    value = f"{getattr(row, name):.{digits}f}" if name else ""
    if low is None or pd.isna(low) or pd.isna(high):
        return value or "-"
    interval = f"{low:.{digits}f} to {high:.{digits}f}"
    return f"{value} ({interval})" if value else interval


def _document(path: Path) -> dict:
    return read_json(path) if path.is_file() else {}


def _table(run: Run, name: str) -> pd.DataFrame | None:
    path = run.results / "tables" / f"{name}.csv"
    if not path.is_file():
        return None
    return read_table(path).fillna({"loss": ""})
