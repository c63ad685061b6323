"""The report's tables: the study's results cut down to what a reader compares."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from markupsafe import Markup

from cxrfmkd.report.data import ReportData
from cxrfmkd.report.markup import Format, coded, decimals, mark, model_cell, table
from cxrfmkd.report.prose import (
    estimate,
    interval,
    listing,
    number,
    p_value,
    reading,
    subject_title,
)
from cxrfmkd.report.switches import compare
from cxrfmkd.tables.selecting import (
    HEADLINE_METRIC,
    in_main_population,
    in_order,
    main_population,
    native,
    transferred,
    where,
)
from cxrfmkd.vocabulary.attributes import PRESETS
from cxrfmkd.vocabulary.findings import MACRO
from cxrfmkd.vocabulary.losses import loss_title
from cxrfmkd.vocabulary.metrics import METRIC_TITLES
from cxrfmkd.vocabulary.titles import (
    CONTROL_TITLES,
    STRATEGY_TITLES,
    attribute_title,
    dataset_title,
)

WHOLE = decimals(0)
ATTRIBUTE_TITLES = {
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
AGREEMENT_TITLES = {
    "cosine": "raw cosine",
    "centred_cosine": "centred cosine",
    "r2_overall": "R²",
    "cka_debiased": "CKA",
    "neighbour_overlap": "shared neighbours",
    "retrieval_top1": "retrieved first",
    "probe_auc": "probe AUC-ROC",
    "teacher_probe_auc": "teacher’s probe",
}
BIAS_TITLES = {
    "score_race": "race",
    "score_sex": "sex",
    "score_age": "age",
    "d_combined": "mean D",
    "auc_race": "AUC race",
    "auc_sex": "AUC sex",
    "auc_age": "AUC age",
}
# Of the recorded versions, those that the page shows first, by their names there.
MADE_WITH = {"cxrfmkd": "cxr-fmkd", "commit": "commit", "snakemake": "Snakemake"}


def model_columns(frame: pd.DataFrame) -> dict[str, list]:
    """The columns that say which model a row is about."""
    columns: dict[str, list] = {"model": [model_cell(model) for model in frame.model]}
    if (frame.loss != "").any():
        columns["loss"] = [loss_title(loss) if loss else "" for loss in frame.loss]
    return columns


def with_interval(
    value: float, low: float, high: float, digits: int = 3, sign: bool = False
) -> Markup:
    """An estimate with its interval in a second line."""
    head, _, bounds = estimate(value, low, high, digits, sign).partition(" ")
    return Markup('{} <span class="ci">{}</span>' if bounds else "{}").format(
        head, bounds.strip("()")
    )


def _p(p: float) -> str:
    return "–" if pd.isna(p) else p_value(p).removeprefix("p ").removeprefix("= ")


def estimates(frame: pd.DataFrame, column: str, titles: Mapping[str, str]) -> dict[str, list]:
    """A row per model and a column per value of `column`: the mean with its interval."""
    cells = {
        (row.model, row.loss, getattr(row, column)): with_interval(row.mean, row.low, row.high)
        for row in frame.itertuples()
    }
    models = in_order(frame[["model", "loss"]].drop_duplicates(), ["model", "loss"])
    pairs = list(models.itertuples(index=False, name=None))
    return model_columns(models) | {
        title: [cells.get((*pair, value), "–") for pair in pairs] for value, title in titles.items()
    }


def datasets(data: ReportData) -> Markup:
    """What each dataset was read by, whose embeddings it has, and how large it is."""
    rows = []
    for name in data.datasets:
        settings = data.settings["datasets"][name]
        teachers = [d for d in data.documents("teacher") if d["about"].get("dataset") == name]
        variants = [teacher["variant"] for teacher in teachers if "variant" in teacher]
        licences = dict.fromkeys(d["licence"] for d in teachers if d.get("licence"))
        images, patients = data.sizes.get(name, (None, None))
        reader = reading(settings) if settings["pool"] else settings["adapter"]
        row = {"dataset": dataset_title(name), "reader": reader}
        row["teacher’s variant"] = ", ".join(variants) or settings["teacher"].get("variant")
        row |= {"licence": "; ".join(licences) or None, "images": images, "patients": patients}
        rows.append(row)
    columns = {head: [row[head] for row in rows] for head in rows[0]}
    formats = {"images": WHOLE, "patients": WHOLE}
    return table(columns, "Datasets", formats, name="datasets", sort=False)


def gates(data: ReportData) -> Markup:
    """A row per check, a column per dataset or transfer."""
    checks = list(dict.fromkeys(data.gates["name"]))
    columns: dict[str, list] = {"check": checks}
    for subject, rows in data.gates.groupby("dataset", sort=False):
        cells = {
            row.name: Markup('{} <span class="ci">{}</span>').format(mark(row.status), row.found)
            for row in rows[::-1].itertuples(index=False)
        }
        columns[subject_title(str(subject))] = [cells.get(check, "–") for check in checks]
    caption = "Checks before any training; the study would have stopped at a failed one"
    return table(columns, caption, name="gates", sort=False)


def cohort(data: ReportData) -> Markup:
    """Everyone in the study by attribute: a column per dataset and split."""
    frame = data.table("cohort")
    frame = frame[~frame.attribute.isin(data.findings.names) | (frame.level == "positive")]
    groups = list(dict.fromkeys(zip(frame.attribute, frame.level, strict=True)))
    order = list(ATTRIBUTE_TITLES)
    order += [name for name in data.settings["attributes"] if name not in order]
    groups.sort(key=lambda group: order.index(group[0]) if group[0] in order else len(order))
    columns: dict[str, list] = {"": [], "group": []}
    for i, (attribute, level) in enumerate(groups):
        repeated = i and groups[i - 1][0] == attribute
        title = ATTRIBUTE_TITLES.get(attribute) or _title(data, attribute)
        columns[""].append("" if repeated else title)
        columns["group"].append("" if level in ("all", "mean") else level)
    for dataset in data.datasets:
        rows = where(frame, dataset=dataset).set_index(["attribute", "level"])
        for split, title in {"train": "training", "val": "validation", "test": "test"}.items():
            head = Markup("{}<br>{}").format(dataset_title(dataset), title)
            columns[head] = [_images(rows, group, split) for group in groups]
    caption = (
        "Images by group and split. Hidden: groups of fewer than "
        f"{data.minimum_cell} patients, and the next smallest where the total would give one away"
    )
    formats = dict.fromkeys(list(columns)[2:], str)
    return table(columns, caption, formats, name="cohort", sort=False)


def _title(data: ReportData, attribute: str) -> str:
    """A declared attribute, or a finding, as people write it."""
    return attribute_title(attribute) if attribute in data.settings["attributes"] else attribute


def exclusions(data: ReportData) -> Markup:
    """Images of the splits that models are measured on, and how many of them are left out."""
    frame = data.table("exclusions")
    splits = {"val": "validation", "test": "test"}
    columns = {
        "dataset": [dataset_title(name) for name in frame.dataset],
        "split": [splits[split] for split in frame.split],
        "images": frame.images.tolist(),
        "cannot be read": frame.unreadable.tolist(),
        "no embedding": frame.without_embedding.tolist(),
        "measured": frame.measured.tolist(),
    }
    caption = "Images left out of every measurement; all models are measured on the same images"
    formats = dict.fromkeys(list(columns)[2:], WHOLE)
    return table(columns, caption, formats, name="exclusions", sort=False)


def _images(rows: pd.DataFrame, group: tuple[str, str], split: str) -> str:
    if group not in rows.index:
        return "–"
    row = rows.loc[group]
    if split in row.suppressed.split(", "):
        return "hidden"
    return number(row[split], 1 if group[0] == "age" else 0)


def students(data: ReportData, dataset: str) -> Markup:
    """Agreement with each teacher: the students of each loss, and the controls."""
    frame = where(data.table("students"), dataset=dataset)
    assessed = where(frame, what="student").dropna(subset=["centred_cosine"])
    names, teachers, rows = [], [], []
    for teacher in dict.fromkeys(frame.teacher):
        of_losses = _means(where(assessed, teacher=teacher), "loss")
        controls = _means(where(frame[frame.what != "student"], teacher=teacher), "what")
        names += [loss_title(loss) for loss in of_losses.loss] + [
            CONTROL_TITLES.get(what.replace(" ", "_"), "The teacher itself")
            for what in controls.what
        ]
        teachers += [teacher] * (len(of_losses) + len(controls))
        rows += [of_losses, controls]
    measures = pd.concat(rows, ignore_index=True)
    columns: dict[str, list] = {"distilled with": names}
    if len(set(teachers)) > 1:
        columns["teacher"] = teachers
    agreement = {title: measures[column].tolist() for column, title in AGREEMENT_TITLES.items()}
    caption = (
        f"Agreement with the teacher on validation images of {dataset_title(dataset)}: the "
        "students of each loss (mean over the seeds that classifiers start from), and controls "
        "(mean over losses)"
    )
    formats = dict.fromkeys(agreement, decimals(3))
    return table(columns | agreement, caption, formats, name=f"students-{dataset}")


def _means(frame: pd.DataFrame, by: str) -> pd.DataFrame:
    """Mean of every number by the values of a column, in their order."""
    return frame.groupby(by, sort=False).mean(numeric_only=True).reset_index()


def performance(data: ReportData, dataset: str) -> Markup:
    """Macro averages of the dataset's own models, a column per metric."""
    frame = where(in_main_population(native(data.table("summary"), dataset)), finding=MACRO)
    own = data.settings["evaluation"]["metrics"]
    titles = METRIC_TITLES | {m: f"{m} ({better} is better)" for m, better in own.items()}
    titles = {m: title for m, title in titles.items() if (frame.metric == m).any()}
    caption = (
        f"Macro averages on the {main_population(frame)} test set of {dataset_title(dataset)}: "
        "mean over seeds, with its interval over patients and seeds"
    )
    formats = dict.fromkeys(titles.values(), str)
    columns = estimates(frame, "metric", titles)
    return table(columns, caption, formats, name=f"performance-{dataset}")


def transfer(data: ReportData, source: str, target: str) -> Markup:
    """Macro AUC-ROC on the target, a column per strategy."""
    frame = where(transferred(data.table("summary"), source, target), metric=HEADLINE_METRIC)
    titles = {s: title for s, title in STRATEGY_TITLES.items() if (frame.strategy == s).any()}
    caption = (
        f"Macro AUC-ROC of models from {dataset_title(source)} on the {main_population(frame)} "
        f"test set of {dataset_title(target)}"
    )
    formats = dict.fromkeys(titles.values(), str)
    columns = estimates(frame, "strategy", titles)
    return table(columns, caption, formats, name=f"transfer-{source}-{target}")


def bias(data: ReportData, dataset: str) -> Markup:
    """The thesis's score of every embedding, its range by chance, distances, and probes."""
    frame = in_order(where(data.table("scores"), dataset=dataset), ["model", "loss"])
    by_chance = [
        interval(*bounds, 0) or "–" for bounds in zip(frame.null_low, frame.null_high, strict=True)
    ]
    columns = model_columns(frame) | {
        "score": frame.score.tolist(),
        "by chance": by_chance,
        "p": [_p(p) for p in frame.p],
    }
    formats: dict[str, Format] = {"score": WHOLE, "by chance": str, "p": str}
    for column, title in (BIAS_TITLES | _own_titles(data)).items():
        if column in frame and frame[column].notna().any():
            columns[title] = frame[column].tolist()
            formats[title] = WHOLE if column.startswith("score") else decimals(3)
    caption = (
        f"Bias of the embeddings of {dataset_title(dataset)}: the thesis’s score (0 to 150) with "
        "its range under permuted attributes, distances, and what a linear probe can read"
    )
    return table(columns, caption, formats, name=f"bias-{dataset}")


def _own_titles(data: ReportData) -> dict[str, str]:
    """Columns of the study's own attributes: score and D by itself, and the probe's area."""
    names = [name for name in data.settings["attributes"] if name not in PRESETS]
    return (
        {f"score_{name}": name for name in names}
        | {f"d_{name}": f"D {name}" for name in names}
        | {f"auc_{name}": f"AUC {name}" for name in names}
    )


def correlation(data: ReportData) -> Markup:
    """Rank correlations of performance and bias in the main population of each dataset.

    Over all models as they are, and within kinds of training between families, the one to test.
    """
    frame = where(data.table("correlation"), finding=data.findings.headline)
    frame = in_main_population(frame[frame.within.notna()])
    measures = {"score": "bias score", "D": "mean distance D"}
    numbers = zip(frame.within, frame.low, frame.high, strict=True)
    halves = zip(frame.split, frame.split_low, frame.split_high, strict=True)
    columns = {
        "dataset": [dataset_title(name) for name in frame.dataset],
        "bias by": [measures.get(name, name) for name in frame.measure],
        "performance by": [METRIC_TITLES[name] for name in frame.metric],
        "within kinds": [with_interval(*values, 2, True) for values in numbers],
        "p": [_p(p) for p in frame.p],
        "across halves": [with_interval(*values, 2, True) for values in halves],
        "all models": frame.spearman.tolist(),
        "models": frame.models.tolist(),
        "families": frame.families.tolist(),
    }
    formats: dict[str, Format] = {"within kinds": str, "p": str, "across halves": str}
    formats |= {"all models": decimals(2), "models": WHOLE, "families": WHOLE}
    caption = (
        "Rank correlation of performance and bias: within kinds of training and between families, "
        "the same with performance and bias of different patients, and over all models as they are"
    )
    return table(columns, caption, formats, name="correlation")


def switches(data: ReportData) -> Markup:
    """Settings for which thesis and sound practice differ, and which this study follows."""
    columns = {
        str(name): column.tolist() for name, column in compare(data.settings, data.thesis).items()
    }
    columns["follows"] = [mark(word) for word in columns["follows"]]
    columns["meaning"] = [coded(text) for text in columns["meaning"]]
    caption = "Settings for which the thesis and sound practice differ"
    return table(columns, caption, name="switches")


def versions(data: ReportData) -> Markup:
    """Versions of the software that trained and measured, as the runs recorded them."""
    elsewhere = {*MADE_WITH, "processor"}
    packages = {name: v for name, v in data.versions.items() if name not in elsewhere}
    columns = {
        "software": list(packages),
        "version": [listing(found) for found in packages.values()],
    }
    return table(columns, "Software that the runs recorded", name="versions", sort=False)


def costs(data: ReportData) -> Markup:
    """Runs and hours of training by dataset, strategy and device."""
    whats = {"student": "students", "classifier": "classifiers"}
    keys = ["what", "dataset", "strategy", "device"]
    runs = where(data.table("costs"), what=[*whats])
    frame = runs.groupby(keys, sort=False, dropna=False)[["jobs", "hours"]].sum().reset_index()
    frame["what"] = frame.what.map(whats)
    frame["dataset"] = frame.dataset.map(dataset_title)
    frame = frame.rename(columns={"jobs": "runs"})
    caption = "Hours of training, as the runs recorded them"
    columns = {str(name): column.tolist() for name, column in frame.items()}
    return table(columns, caption, {"runs": WHOLE, "hours": decimals(2)}, name="costs")
