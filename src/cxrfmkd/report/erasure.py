"""The report on erased attributes: what probes use of what their input tells."""

from __future__ import annotations

from markupsafe import Markup

from cxrfmkd.report.data import ReportData
from cxrfmkd.report.markup import Format, table
from cxrfmkd.report.prose import listing, model_name, model_pairs, number
from cxrfmkd.report.tables import model_columns, with_interval
from cxrfmkd.tables.selecting import SIGNIFICANCE, in_order, where
from cxrfmkd.vocabulary.findings import MACRO
from cxrfmkd.vocabulary.titles import attribute_words, dataset_title

SHOWN = {"auc_roc": "AUC-ROC", "tpr": "sensitivity", "gap_tpr": "gap in sensitivity"}


def erasure(data: ReportData, name: str) -> Markup:
    """Differences that erasing an attribute makes, of every probe; nothing where none is erased."""
    frame = data.table("erasure")
    if frame.empty or (frame := where(frame, dataset=name, finding=MACRO)).empty:
        return Markup("")
    rows = in_order(frame[["model", "loss", "erased"]].drop_duplicates(), ["model", "loss"])
    columns = model_columns(rows) | {"erased": rows.erased.tolist()}
    values = frame.set_index(["model", "loss", "erased", "measure"])
    keys = list(rows.itertuples(index=False, name=None))
    for measure, title in SHOWN.items():
        found = [values.loc[(*key, measure)] for key in keys]
        columns[title] = [number(row.before) for row in found]
        columns[f"{title}, change"] = [
            with_interval(row.difference, row.low, row.high, sign=True) for row in found
        ]
        columns[f"{title}, by chance"] = [number(row.chance, sign=True) for row in found]
    caption = (
        f"What probes of {dataset_title(name)} use of an attribute: means of the findings before "
        "it is erased linearly from their input, the change, and what erasing groups drawn by "
        "chance changes. Gaps are between the groups of the erased attribute"
    )
    formats: dict[str, Format] = dict.fromkeys(list(columns)[-9:], str)
    return table(columns, caption, formats, name=f"erasure-{name}")


def use(data: ReportData, name: str) -> str:
    """Which probes lose some of a gap when its attribute is erased, in a sentence."""
    frame = data.table("erasure")
    if frame.empty or (frame := where(frame, dataset=name, finding=MACRO)).empty:
        return ""
    gaps = where(frame, measure="gap_tpr")
    gaps = gaps[gaps.difference.notna()]
    pairs = model_pairs(gaps)
    sentences = []
    for erased, rows in gaps.groupby("erased", sort=False):
        attribute = attribute_words(str(erased))
        moved = rows[(rows.p_adjusted < SIGNIFICANCE) & (rows.difference < 0)]
        if moved.empty:
            said = f"no gap in sensitivity by {attribute} becomes smaller beyond noise"
        else:
            names = [model_name(row.model, row.loss, pairs) for row in moved.itertuples()]
            most = moved.loc[moved.difference.idxmin()]
            said = (
                f"the gap in sensitivity by {attribute} becomes smaller for {listing(names)}, at "
                f"most from {number(most.before)} to {number(most.after)}"
            )
        sentences.append(f"Where {attribute} is erased, {said}.")
    return " ".join(sentences)


def attributes(data: ReportData, name: str) -> Markup:
    """Areas of attribute probes on the dataset and on those that its networks are moved to."""
    frame = data.table("attribute_probes")
    if frame.empty or (frame := where(frame, dataset=name)).empty:
        return Markup("")
    keys = ["model", "loss", "attribute", "group"]
    rows = in_order(frame[keys].drop_duplicates(), ["model", "loss"])
    columns = model_columns(rows) | {"group": rows.group.tolist()}
    values = frame.set_index([*keys, "target"])
    for target in dict.fromkeys(frame.target):
        cells = []
        for key in rows.itertuples(index=False, name=None):
            found = (*key, target) in values.index
            row = values.loc[(*key, target)] if found else None
            cells.append("–" if row is None else with_interval(row.auc, row.low, row.high))
        columns[dataset_title(target or name)] = cells
    caption = (
        f"What tells a group on {dataset_title(name)}, and whether it tells it elsewhere: AUC-ROC "
        "of linear probes that were fitted on its training images"
    )
    formats: dict[str, Format] = dict.fromkeys(list(columns)[2:], str)
    return table(columns, caption, formats, name=f"attributes-{name}")
