"""The report's section on a reference standard: what experts say of labels and models."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from cxrfmkd.report.data import ReportData
from cxrfmkd.report.markup import Format, decimals, table
from cxrfmkd.report.prose import count, estimate
from cxrfmkd.report.tables import estimates, with_interval
from cxrfmkd.tables.selecting import HEADLINE_METRIC, single_attributes, where
from cxrfmkd.vocabulary.findings import MACRO
from cxrfmkd.vocabulary.titles import dataset_title

GROUPED = ("sex", "race", "view")  # ages have eight groups
TRUTHS = {"reference": "experts’ truth", "labeller": "labels of the dataset"}
MEASURES = {"sensitivity": "sensitivity", "specificity": "specificity", "kappa": "kappa"}


def datasets(data: ReportData) -> list[str]:
    """The datasets of which experts read some test images."""
    return data.table("reference_counts").dataset.tolist()


def reading(data: ReportData, name: str) -> str:
    """What experts read, and how often they did not decide."""
    counts = where(data.table("reference_counts"), dataset=name).iloc[0]
    several = f"{count(counts.readers, 'reader')}, by majority or by one reader’s word"
    readers = several if counts.readers > 1 else "one verdict each"
    undecided = (
        f" Of their verdicts {counts.verdicts + counts.undecided:,.0f} were asked for and "
        f"{counts.undecided:,.0f} stayed undecided."
        if counts.undecided
        else ""
    )
    return (
        f"Experts read {count(counts.images, 'test image')} of {dataset_title(name)} ({readers}); "
        f"models are measured on {counts.measured:,.0f} of them.{undecided}"
    )


def agreement(data: ReportData, name: str) -> Markup:
    """Agreement of the dataset's labels with the experts: a row per finding."""
    frame = where(data.table("reference_agreement"), dataset=name, attribute="all")
    rows = {(row.finding, row.metric): row for row in frame.itertuples()}
    read = [f for f in data.findings.by_relevance if (f, "kappa") in rows]
    columns: dict[str, list] = {"finding": read}
    for metric, title in MEASURES.items():
        cells = [rows[finding, metric] for finding in read]
        columns[title] = [with_interval(cell.estimate, cell.low, cell.high) for cell in cells]
    columns["images"] = [rows[finding, "kappa"].n for finding in read]
    columns["with finding"] = [rows[finding, "kappa"].positives for finding in read]
    caption = f"How well the labels of {dataset_title(name)} agree with experts"
    formats: dict[str, Format] = dict.fromkeys(MEASURES.values(), str)
    formats |= {"images": decimals(0), "with finding": decimals(0)}
    return table(columns, caption, formats, name=f"reference-agreement-{name}", sort=False)


def by_group(data: ReportData, name: str) -> Markup:
    """Sensitivity of the labels in each group: a row per finding; nothing without groups."""
    frame = single_attributes(where(data.table("reference_agreement"), dataset=name))
    frame = where(frame, metric="sensitivity", attribute=GROUPED)
    frame = frame[frame.estimate.notna()]
    if frame.empty:
        return Markup("")
    cells = {(row.finding, row.group): row for row in frame.itertuples()}
    read = [finding for finding in data.findings.by_relevance if finding in set(frame.finding)]
    groups = frame.drop_duplicates(["attribute", "group"]).sort_values("attribute", kind="stable")
    columns: dict[str, list] = {"finding": read}
    for group in groups.group:
        found = [cells.get((finding, group)) for finding in read]
        columns[group] = [
            with_interval(cell.estimate, cell.low, cell.high) if cell else "–" for cell in found
        ]
    caption = (
        f"Sensitivity of the labels of {dataset_title(name)} for what experts see, by group: "
        "labels that miss more in one group teach and test models unequally"
    )
    formats: dict[str, Format] = dict.fromkeys(list(columns)[1:], str)
    return table(columns, caption, formats, name=f"reference-groups-{name}", sort=False)


def performance(data: ReportData, name: str) -> Markup:
    """Macro AUC-ROC of the dataset's models on the same images with either truth."""
    frame = where(data.table("reference_summary"), dataset=name, strategy="own")
    frame = where(frame, finding=MACRO, metric=HEADLINE_METRIC)
    if frame.empty:
        return Markup("")
    columns = estimates(frame, "population", TRUTHS)
    caption = (
        f"Macro AUC-ROC on the images of {dataset_title(name)} that experts read: with their "
        "truth, and with the labels of the dataset"
    )
    formats: dict[str, Format] = dict.fromkeys(TRUTHS.values(), str)
    return table(columns, caption, formats, name=f"reference-models-{name}")


def ranks(data: ReportData, name: str) -> str:
    """Whether the models stand in the same order with either truth."""
    frame = where(data.table("reference_ranks"), dataset=name, finding=MACRO)
    row = where(frame, metric=HEADLINE_METRIC).iloc[0]
    if pd.isna(row.estimate):
        return "There are too few models, or too few images, to compare their order."
    if pd.isna(row.resolved):
        return f"Kendall’s tau of the models’ order with either truth is {row.estimate:.2f}."
    return (
        f"By macro AUC-ROC, Kendall’s tau of the order of {row.n_models:.0f} models with either "
        f"truth is {estimate(row.estimate, row.low, row.high, 2)}. Of "
        f"{count(row.pairs, 'pair')} of models, {row.resolved:.0f} have an order that is certain "
        f"with both truths; in {row.reversed:.0f} of these the truths contradict each other."
    )
