"""The report's tables: the study's results cut down to what a reader compares."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from cxrfmkd.report.data import ReportData
from cxrfmkd.report.markup import decimals, model_cell, table, whole
from cxrfmkd.report.prose import dataset_title, estimate, number, p_value
from cxrfmkd.tables.selecting import in_order, main_population, native
from cxrfmkd.vocabulary.findings import FINDINGS
from cxrfmkd.vocabulary.metrics import METRIC_TITLES
from cxrfmkd.vocabulary.models import STRATEGIES, loss_title
from cxrfmkd.vocabulary.titles import CONTROL_TITLES

ATTRIBUTES = {
    "images": "Images",
    "patients": "Patients",
    "studies": "Studies",
    "age": "Age",
    "sex": "Sex",
    "race": "Race",
    "view": "View",
    "age_bin": "Age group",
    "disease": "Class",
}


def named(frame: pd.DataFrame) -> dict[str, list]:
    """The columns that say which model a row is about."""
    columns: dict[str, list] = {"model": [model_cell(m) for m in frame.model]}
    if (frame.loss != "").any():
        columns["loss"] = [loss_title(name) if name else "" for name in frame.loss]
    return columns


def wide(
    frame: pd.DataFrame, keys: list[str], column: str, names: dict[str, str]
) -> dict[str, list]:
    """Estimates with intervals, a row per model and a column per value of `column`."""
    order = in_order(frame[keys].drop_duplicates(), keys)
    numbers = zip(frame["mean"], frame.low, frame.high, strict=True)
    cells = dict(
        zip(
            frame[[*keys, column]].itertuples(index=False, name=None),
            map(_cell_of, numbers),
            strict=True,
        )
    )
    rows = list(order.itertuples(index=False, name=None))
    filled = {
        title: [cells.get((*row, value), "–") for row in rows] for value, title in names.items()
    }
    return named(order) | filled


def _cell_of(numbers: tuple[float, float, float]) -> Markup:
    return _cell(*numbers)


def _cell(value: float, low: float, high: float, digits: int = 3, sign: bool = False) -> Markup:
    text = estimate(value, low, high, digits, sign)
    head, _, rest = text.partition(" ")
    return (
        Markup('{} <span class="ci">{}</span>').format(head, rest.strip("()"))
        if rest
        else Markup(head)
    )


def performance(m: ReportData, dataset: str) -> Markup:
    frame = native(m.table("summary"), dataset)
    population = main_population(frame)
    frame = frame[(frame.population == population) & (frame.finding == "Macro")]
    metrics = {
        metric: title for metric, title in METRIC_TITLES.items() if (frame.metric == metric).any()
    }
    shown = wide(frame, ["model", "loss"], "metric", metrics)
    caption = f"Macro averages on {dataset_title(dataset)}, {population} test set: mean over seeds with its interval over patients and seeds"
    return table(
        shown, caption, dict.fromkeys(metrics.values(), str), name=f"performance-{dataset}"
    )


def transfer(m: ReportData, source: str, target: str) -> Markup:
    frame = m.table("summary")
    frame = frame[
        (frame.dataset == target) & (frame.finding == "Macro") & (frame.metric == "auc_roc")
    ]
    population = main_population(frame)
    frame = frame[frame.population == population]
    moved = frame[(frame.source == source) & frame.strategy.isin(STRATEGIES)]
    native = frame[frame.strategy == "own"].merge(moved[["model", "loss"]].drop_duplicates())
    frame = pd.concat([moved, native])
    names = {
        "direct": "direct",
        "linear-probe": "linear probe",
        "full-finetune": "full fine-tune",
        "own": "trained on the target",
    }
    names = {
        strategy: name for strategy, name in names.items() if (frame.strategy == strategy).any()
    }
    shown = wide(frame, ["model", "loss"], "strategy", names)
    caption = f"Macro AUC-ROC on {dataset_title(target)} of models from {dataset_title(source)}, {population} test set"
    return table(
        shown, caption, dict.fromkeys(names.values(), str), name=f"transfer-{source}-{target}"
    )


def students(m: ReportData, dataset: str) -> Markup:
    frame = m.table("students")
    chosen = frame.chosen.astype(str) == "True"
    frame = frame[(frame.dataset == dataset) & ((frame.what != "student") | chosen)]
    rows = frame[frame.what == "student"]
    controls = (
        frame[frame.what != "student"]
        .drop(columns="loss")
        .groupby("what", sort=False)
        .mean(numeric_only=True)
        .reset_index()
    )
    names = [loss_title(name) for name in rows.loss] + [
        CONTROL_TITLES.get(what.replace(" ", "_"), "The teacher itself") for what in controls.what
    ]
    both = pd.concat([rows, controls], ignore_index=True)
    columns = {
        "cosine": "raw cosine",
        "centred_cosine": "centred cosine",
        "r2_overall": "R²",
        "cka_debiased": "CKA",
        "neighbour_overlap": "shared neighbours",
        "retrieval_top1": "found first",
        "probe_auc": "probe AUC-ROC",
        "teacher_probe_auc": "teacher’s probe",
    }
    shown = {"distilled with": names} | {title: both[c].tolist() for c, title in columns.items()}
    caption = f"Agreement with the teacher on validation images of {dataset_title(dataset)}: the chosen seed of each loss, and controls (mean over losses)"
    return table(
        shown, caption, dict.fromkeys(columns.values(), decimals(3)), name=f"students-{dataset}"
    )


def cohort(m: ReportData) -> Markup:
    """Everyone in the study by attribute: a column per dataset and split."""
    frame = m.table("cohort")
    frame = frame[~frame.attribute.isin(FINDINGS) | (frame.level == "positive")]
    keys = list(dict.fromkeys(zip(frame.attribute, frame.level, strict=True)))
    keys.sort(
        key=lambda key: list(ATTRIBUTES).index(key[0]) if key[0] in ATTRIBUTES else len(ATTRIBUTES)
    )
    first = [
        ATTRIBUTES.get(name, name) if not i or keys[i - 1][0] != name else ""
        for i, (name, _) in enumerate(keys)
    ]
    shown: dict[str, list] = {
        "": first,
        "group": ["" if level in ("all", "mean") else level for _, level in keys],
    }
    for dataset in m.datasets:
        own_ = frame[frame.dataset == dataset].set_index(["attribute", "level"])
        for split, title in (("train", "training"), ("val", "validation"), ("test", "test")):
            head = Markup("{}<br>{}").format(dataset_title(dataset), title)
            shown[head] = [_count(own_, key, split) for key in keys]
    caption = (
        "Images by group and split; hidden: groups of fewer than "
        f"{m.minimum_cell} patients, and the next smallest where these would follow from the total"
    )
    return table(shown, caption, dict.fromkeys(list(shown)[2:], str), name="cohort", sort=False)


def _count(rows: pd.DataFrame, key: tuple[str, str], split: str) -> str:
    if key not in rows.index:
        return "–"
    found = rows.loc[key]
    if split in found.suppressed.split(", "):
        return "hidden"
    return number(found[split], 1) if key[0] == "age" else whole(found[split])


def gates(m: ReportData) -> Markup:
    """A row per check, a column per dataset or transfer."""
    rows = m.gates
    checks = list(dict.fromkeys(rows["name"]))
    shown: dict[str, list] = {"check": checks}
    for dataset in dict.fromkeys(rows.dataset):
        own_ = rows[rows.dataset == dataset].drop_duplicates("name").set_index("name")
        shown[dataset_title(dataset)] = [
            Markup('<span class="mark {}">{}</span> <span class="ci">{}</span>').format(
                own_.status[check], own_.status[check], own_.found[check]
            )
            if check in own_.index
            else "–"
            for check in checks
        ]
    caption = (
        "What was checked before anything was trained; a failed check would have stopped the study"
    )
    return table(shown, caption, name="gates", sort=False)


def bias(m: ReportData, dataset: str) -> Markup:
    frame = m.table("scores")
    frame = in_order(frame[frame.dataset == dataset], ["model", "loss"])
    columns = named(frame)
    columns["score"] = frame.score.tolist()
    columns["by chance"] = [
        f"{number(a, 0)} to {number(b, 0)}" if pd.notna(a) else "–"
        for a, b in zip(frame.null_low, frame.null_high, strict=True)
    ]
    columns["p"] = [_p(p) for p in frame.p]
    titles = {
        "score_race": "race",
        "score_sex": "sex",
        "score_age": "age",
        "d_combined": "mean D",
        "auc_race": "AUC race",
        "auc_sex": "AUC sex",
        "auc_age": "AUC age",
    }
    titles = {c: title for c, title in titles.items() if c in frame and frame[c].notna().any()}
    shown = columns | {title: frame[c].tolist() for c, title in titles.items()}
    formats = {"score": decimals(0), "by chance": str, "p": str} | {
        title: decimals(0 if c.startswith("score") else 3) for c, title in titles.items()
    }
    caption = (
        f"Bias of the embeddings of {dataset_title(dataset)}: the thesis’s score (0 to 150) with "
        "its range under permuted attributes, "
        "distances and what a linear probe reads"
    )
    return table(shown, caption, formats, name=f"bias-{dataset}")


def correlation(m: ReportData) -> Markup:
    frame = m.table("correlation")
    frame = frame[(frame.finding == "Average Classes 1 to 7") & frame.spearman.notna()]
    parts = [
        own_[own_.population == main_population(own_)]
        for _, own_ in frame.groupby("dataset", sort=False)
    ]
    frame = pd.concat(parts) if parts else frame
    measures = {"score": "bias score", "D": "mean distance D"}
    numbers = zip(frame.spearman, frame.low, frame.high, strict=True)
    shown = {
        "dataset": [dataset_title(name) for name in frame.dataset],
        "bias by": [measures.get(name, name) for name in frame.measure],
        "performance by": [METRIC_TITLES[name] for name in frame.metric],
        "rank correlation": [_cell(*values, 2, True) for values in numbers],
        "p": [_p(p) for p in frame.p],
        "models": frame.models.tolist(),
        "families": frame.families.tolist(),
    }
    formats = {"rank correlation": str, "p": str, "models": whole, "families": whole}
    return table(
        shown, "Rank correlation of performance and bias over models", formats, name="correlation"
    )


def _p(p: float) -> str:
    return "–" if pd.isna(p) else p_value(p).removeprefix("p ").removeprefix("= ")


def costs(m: ReportData) -> Markup:
    frame = m.table("costs")
    what = {"student": "students", "classifier": "classifiers"}
    runs = frame[frame.what.isin(what)]
    by_kind = (
        runs.groupby(["what", "dataset", "strategy", "device"], sort=False, dropna=False)
        .agg(runs=("jobs", "sum"), hours=("hours", "sum"))
        .reset_index()
    )
    rows = {
        "what": [what[name] for name in by_kind.what],
        "dataset": [dataset_title(name) for name in by_kind.dataset],
        "strategy": by_kind.strategy.tolist(),
        "device": by_kind.device.tolist(),
        "runs": by_kind.runs.tolist(),
        "hours": by_kind.hours.tolist(),
    }
    return table(
        rows,
        "Hours of training, as the runs recorded them",
        {"runs": whole, "hours": decimals(2)},
        name="costs",
    )
