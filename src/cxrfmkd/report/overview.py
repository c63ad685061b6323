"""What a reader wants first and last: key results, every run, and what to be careful about."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from cxrfmkd.report.data import ReportData
from cxrfmkd.report.markup import Format, decimals, model_cell, table
from cxrfmkd.report.performance_sentences import HEADLINED
from cxrfmkd.report.prose import (
    count,
    dataset_names,
    estimate,
    listing,
    model_name,
    p_value,
    subject_title,
)
from cxrfmkd.report.tables import MADE_WITH
from cxrfmkd.tables.selecting import (
    comparisons_by_model,
    distilled,
    in_main_population,
    models_in,
    native,
    where,
)
from cxrfmkd.vocabulary.losses import loss_title
from cxrfmkd.vocabulary.models import MODELS, split_model
from cxrfmkd.vocabulary.titles import STRATEGY_TITLES, dataset_title

GLOSSARY: dict[str, dict[str, str]] = tomllib.loads(
    (Path(__file__).parent / "glossary.toml").read_text(encoding="utf-8")
)
REFERENCES = {"baseline": "minus the undistilled network", "teacher": "minus the teacher’s probe"}
NONE = "–"
FEW_SEEDS = 5
HASH = 12  # digits of a SHA-256 that are shown
MOST_ROWS = 6  # with more, only the loss that is best on validation


def key_results(data: ReportData) -> Markup | None:
    """Distilled models beside the same network without distillation, and beside the teacher."""
    rows = []
    for name in data.trained:
        rows += _of_dataset(data, name)
    if not rows:
        return None
    columns = {head: [row[head] for row in rows] for head in rows[0]}
    if len(data.trained) == 1:
        columns.pop("dataset")
    for title in REFERENCES.values():
        if set(columns[title]) == {NONE}:  # the study has no such model
            columns.pop(title)
    caption = "What distillation gains and what it loses: mean AUC-ROC of all findings"
    formats = dict.fromkeys(("AUC-ROC", *REFERENCES.values()), str)
    return table(columns, caption, formats, name="key-results", sort=False)


def _of_dataset(data: ReportData, name: str) -> list[dict]:
    comparisons = data.table("comparisons")
    if comparisons.empty:
        return []
    summary = in_main_population(native(data.table("summary"), name))
    summary = distilled(where(summary, **HEADLINED))
    tests = comparisons_by_model(where(comparisons, dataset=name, **HEADLINED))
    tests = where(tests, strategy="own", population=list(summary.population.unique()))
    best = {split_model(model)[1] for model in where(tests, kind="loss").reference}
    if len(summary) > MOST_ROWS and len(best):
        summary = summary[summary.loss.isin(best)]
    pairs = models_in(summary)
    rows = []
    for pair in pairs:
        own = where(summary, model=pair[0], loss=pair[1]).iloc[0]
        row = {
            "dataset": dataset_title(name),
            "model": _cell(*pair, pairs),
            "AUC-ROC": _two_lines(own["mean"], own.low, own.high),
        }
        for kind, title in REFERENCES.items():
            found = where(tests, kind=kind, model=pair[0], loss=pair[1])
            row[title] = NONE if found.empty else _difference(found.iloc[0])
        rows.append(row)
    return rows


def _cell(model: str, loss: str, pairs: list[tuple[str, str]]) -> Markup:
    name = model_name(model, loss, pairs)
    return model_cell(model).replace(MODELS[model].title, Markup.escape(name))


def _two_lines(value: float, low: float, high: float, sign: bool = False) -> Markup:
    head, _, bounds = estimate(value, low, high, 3, sign).partition(" ")
    return Markup('{} <span class="ci">{}</span>').format(head, bounds.strip("()"))


def _difference(row: pd.Series) -> Markup:
    text = _two_lines(row.difference, row.low, row.high, sign=True)
    return text + Markup(' <span class="ci">{}</span>').format(p_value(row.p_adjusted))


def runs(data: ReportData) -> Markup:
    """Every training: what it was, how it ended, what it cost, and by which code."""
    rows = []
    for run in data.documents("run"):
        about, best = run["about"], run.get("best", {})
        seconds = run.get("seconds")
        rows.append(
            {
                "dataset": dataset_title(str(about.get("dataset", ""))),
                "from": dataset_title(str(about["source"])) if "source" in about else "",
                "strategy": STRATEGY_TITLES.get(str(about.get("strategy", "")), ""),
                "run": MODELS[str(about["model"])].title if "model" in about else "student",
                "loss": loss_title(str(about["loss"])) if about.get("loss") else "",
                "seed": str(about.get("seed", "")),
                "epochs": run.get("epochs"),
                "best epoch": best.get("epoch"),
                "validation loss": best.get("val_loss"),
                "minutes": None if seconds is None else seconds / 60,
                "device": run.get("device", ""),
                "code": run.get("code", ""),
            }
        )
    columns = {head: [row[head] for row in rows] for head in rows[0]}
    formats: dict[str, Format] = {"epochs": decimals(0), "best epoch": decimals(0)}
    formats |= {"validation loss": decimals(4), "minutes": decimals(1)}
    return table(columns, "Every run; epochs count from 0", formats, name="runs")


def provenance(data: ReportData) -> Markup:
    """Settings and sources that decide on the numbers, in one table."""
    s = data.settings
    recorded = {title: listing(data.versions.get(name, [])) for name, title in MADE_WITH.items()}
    facts = {
        **recorded,
        "processor or GPU": listing(_machines(data)),
        "image size": f"{s['images']['size']} pixels",
        "initial weights": s["network"]["weights"],
        "students": _training(s["distillation"]),
        "fine-tunes": _training(s["finetuning"]),
    }
    rows = [(name, value) for name, value in facts.items() if value] + _hashes(data)
    columns = {"what": [name for name, _ in rows], "value": [value for _, value in rows]}
    return table(columns, "What the numbers were made with", name="made-with", sort=False)


def _training(section: dict) -> str:
    return (
        f"{count(section['epochs'], 'epoch')}, batches of {section['batch_size']}, "
        f"learning rate {section['learning_rate']:g}"
    )


def _machines(data: ReportData) -> list[str]:
    """Models of the GPUs and processors that trained and measured."""
    found = set()
    for document in (*data.documents("run"), *data.documents("quality")):
        device = document.get("device", "")
        processor = document.get("versions", {}).get("processor", "")
        found.add(processor if device == "cpu" and processor else device)
    return sorted(found - {""})


def _hashes(data: ReportData) -> list[tuple[str, str]]:
    """The first digits of the SHA-256 of every raw table and of the teacher's vectors."""
    rows = []
    for summary in data.documents("records"):
        tables = summary.get("tables", {}).values()
        hashes = [f"{t['file']} {t['sha256'][:HASH]}" for t in tables if t.get("sha256")]
        rows.append((f"tables of {dataset_title(summary['dataset'])}", ", ".join(hashes)))
    for meta in data.documents("teacher"):
        digest = meta.get("sha256", {}).get("data.npy", "")[:HASH]
        about = meta["about"]
        whose = f"{meta.get('name', about['teacher'])}’s" if "teacher" in about else "teacher’s"
        rows.append((f"{whose} vectors of {dataset_title(str(about.get('dataset', '')))}", digest))
    return [(name, value) for name, value in rows if value]


def warnings(data: ReportData) -> list[str]:
    """What a reader should know before a number is quoted; empty where all is well."""
    found = [
        f"{row.name_} ({subject_title(row.dataset)}): {row.found}."
        for row in data.gates.rename(columns={"name": "name_"}).itertuples()
        if row.status == "noted"
    ]
    if data.left_out:
        found.append(
            f"{count(data.left_out, 'validation or test image')} cannot be read or have no "
            "embedding, and are measured nowhere."
        )
    found += _of_trainings(data.documents("run"))
    cohort = data.table("cohort")
    hidden = int((cohort.suppressed != "").sum()) if len(cohort) else 0
    if hidden:
        found.append(
            f"{count(hidden, 'group')} of the cohort {'is' if hidden == 1 else 'are'} not shown "
            f"in some split: fewer than {data.minimum_cell} patients, or what would tell these."
        )
    for section, what in (("distillation", "students"), ("classification", "classifiers")):
        seeds = len(data.settings[section]["seeds"])
        if seeds < FEW_SEEDS:
            found.append(
                f"The {what} were trained with {count(seeds, 'seed')}: how much numbers change "
                "from one training to another is poorly known."
            )
    stand_ins = [
        name
        for name in data.datasets
        if data.settings["datasets"][name]["teacher"].get("variant") == "demo"
    ]
    if stand_ins:
        found.append(
            f"The teacher of {dataset_names(stand_ins)} is a stand-in with CXR-FM’s signature, "
            "not CXR-FM."
        )
    return found


def _of_trainings(documents: list[dict]) -> list[str]:
    """Trainings that might have gone on, and penalties that might have been larger or smaller."""
    last = [
        run
        for run in documents
        if run.get("epochs", 0) > 1 and run.get("best", {}).get("epoch") == run["epochs"] - 1
    ]
    ends = [run for run in documents if run.get("l2_at_end_of_grid")]
    found = []
    if last:
        found.append(
            f"{count(len(last), 'training')} of {len(documents)} had the lowest validation loss in "
            "the last epoch, and might have gained from more."
        )
    if ends:
        found.append(
            f"{count(len(ends), 'probe')} chose a penalty at the end of the grid for some finding; "
            "offer more in probe.l2."
        )
    return found
