"""What the marks of charts stand for: a figure's numbers with names, panels and texts to read.

Each function takes the table that is saved beside a figure. Its rows have the columns `name` (a
model as people write it), `family`, `probe`, `panel`, `value`, `text`, and what else a pointer
reads.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cxrfmkd.figures import distillation as distilled
from cxrfmkd.figures import focused as focus
from cxrfmkd.figures import style
from cxrfmkd.figures.curves import AXES
from cxrfmkd.report.prose import estimate, model_name, number
from cxrfmkd.tables.selecting import in_order, loss_order, models_in
from cxrfmkd.vocabulary.losses import CONTROLS
from cxrfmkd.vocabulary.metrics import METRIC_TITLES
from cxrfmkd.vocabulary.models import MODELS
from cxrfmkd.vocabulary.titles import (
    STRATEGY_TITLES,
    attribute_title,
    attribute_words,
)

KINDS_COMPARED = {
    "teacher": "the teacher’s probe",
    "baseline": "no distillation",
    "loss": "the best loss",
    **{control: f"its control, {title}" for control, title in CONTROLS.items()},
}
HOVERED = 5  # of the points of a curve, each so-manieth answers a pointer


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """`table` in the order of models, with their names, families and fills."""
    table = in_order(table, ["model", "loss"])
    pairs = models_in(table)
    return table.assign(
        name=[model_name(*pair, pairs) for pair in zip(table.model, table.loss, strict=True)],
        family=[MODELS[model].title for model in table.model],
        probe=[not MODELS[model].finetuned for model in table.model],
    )


def _texts(table: pd.DataFrame, digits: int = 3, sign: bool = False) -> list[str]:
    columns = (
        table[name] if name in table else pd.Series(np.nan, table.index)
        for name in ("value", "low", "high")
    )
    return [
        estimate(value, low, high, digits, sign) for value, low, high in zip(*columns, strict=True)
    ]


def metrics(table: pd.DataFrame, panel: str, titles: Mapping[str, str]) -> pd.DataFrame:
    """A mark a model and level of the column `panel`; titles: how people write its levels."""
    table = _named(table).rename(columns={"mean": "value", "estimate": "value"})
    names = table[panel].map(lambda value: titles.get(value, value))
    return table.assign(panel=names, text=_texts(table))


def performance(table: pd.DataFrame) -> pd.DataFrame:
    """The main population alone, a panel a metric."""
    order = in_order(table, ["metric", "population"])
    main = order[order.population == order.population.iloc[0]]
    return metrics(main, "metric", METRIC_TITLES)


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """A panel a metric and kind of reference."""
    table = _named(table).rename(columns={"difference": "value"})
    kinds = table.kind.map(KINDS_COMPARED)
    panel = table.metric.map(METRIC_TITLES) + ", from " + kinds
    return table.assign(panel=panel, text=_texts(table, sign=True), p_text=_p_values(table))


def _p_values(table: pd.DataFrame) -> list[str]:
    return [number(value, 3) for value in table.p_adjusted]


def transfer(table: pd.DataFrame) -> pd.DataFrame:
    """AUC-ROC, a panel a strategy."""
    table = in_order(table[table.metric == "auc_roc"], ["strategy"])
    titles = {"own": "Trained on the target"} | STRATEGY_TITLES
    return metrics(table, "strategy", titles)


def subgroups(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A panel a finding, a row a group; column: `estimate` or `relative`."""
    low, high = ("low", "high") if column == "estimate" else (f"{column}_low", f"{column}_high")
    order = {group: i for i, group in enumerate(dict.fromkeys(table.group))}
    table = _named(table.drop(columns=["low", "high"] if column != "estimate" else []))
    table = table.rename(columns={column: "value", low: "low", high: "high"})
    table = table[(table.attribute != "all") | (column == "estimate")]
    names = [
        "everyone" if a == "all" else f"{style.short_group(g)}"
        for a, g in zip(table.attribute, table.group, strict=True)
    ]
    percent = column == "relative"
    text = [f"{t} %" if percent else t for t in _texts(table, 1 if percent else 3, percent)]
    table = table.assign(panel=table.finding, group_name=names, text=text, note="")
    shown = table.groupby(["panel", "group"])["value"].transform("count") > 0
    empty = table[~shown].drop_duplicates(["panel", "group"])
    noted = empty.assign(note="too few patients", text="", name="")
    rows = pd.concat([table[shown], noted])
    return rows.sort_values("group", key=lambda group: group.map(order), kind="stable")


def bias_differences(table: pd.DataFrame) -> pd.DataFrame:
    """A panel a measure of bias and kind of reference."""
    table = _named(table).rename(columns={"difference": "value"})
    names = table.attribute.map(attribute_words)
    measure = table.measure.where(table.measure != "AUC", "probe AUC " + names)
    panel = measure.map(lambda text: text[:1].upper() + text[1:])
    panel += ", from " + table.kind.map(KINDS_COMPARED)
    return table.assign(panel=panel, text=_texts(table, sign=True), p_text=_p_values(table))


def gaps(table: pd.DataFrame) -> pd.DataFrame:
    """A panel an attribute and finding."""
    table = _named(table).rename(columns={"estimate": "value"})
    panel = table.finding + ", by " + table.attribute.map(attribute_words)
    text = [f"{t}, {a} over {b}" for t, a, b in zip(_texts(table), table.a, table.b, strict=True)]
    return table.assign(panel=panel, text=text)


def score(table: pd.DataFrame) -> pd.DataFrame:
    """The score with the range that it has by chance, a panel an attribute."""
    table = _named(table[table["sample"] == "main"])
    table = table.rename(columns={"score": "value", "null_low": "low", "null_high": "high"})
    text = [
        f"{number(v, 0)}; by chance {number(low, 0)} to {number(high, 0)}"
        for v, low, high in zip(table.value, table.low, table.high, strict=True)
    ]
    return table.assign(panel=table.attribute.map(attribute_title), text=text)


def encoding(table: pd.DataFrame) -> pd.DataFrame:
    """The area of each group's probe."""
    table = _named(table[table.given == ""]).rename(columns={"auc": "value"})
    return table.assign(
        panel=table.attribute.map(attribute_title) + ": " + table.group, text=_texts(table, 2)
    )


def ks(table: pd.DataFrame) -> pd.DataFrame:
    """A cell a model and PCA mode, a panel a pair of groups."""
    table = _named(table).rename(columns={"d": "value"})
    panel = table.attribute.map(attribute_title) + ": " + table.a + ", " + table.b
    n = [f"{a:,.0f} and {b:,.0f}" for a, b in zip(table.n_a, table.n_b, strict=True)]
    return table.assign(
        panel=panel, text=[number(v, 3) for v in table.value], p_text=_p_values(table), n=n
    )


def calibration(table: pd.DataFrame) -> pd.DataFrame:
    """A line a model, a panel a finding."""
    table = _named(table).rename(columns={"estimate": "value", "predicted": "x"})
    return table.assign(panel=table.finding, text=_texts(table))


def tradeoff(table: pd.DataFrame) -> pd.DataFrame:
    """A point a model, a panel a measure of bias."""
    table = _named(table[table.metric == "auc_roc"])
    measures = {"score": "the thesis’s bias score", "D": "mean distance D"}
    x, y = ("bias", "bias_low", "bias_high"), ("performance", "performance_low", "performance_high")
    columns = dict(zip((*x, *y), ("x", "x_low", "x_high", "y", "y_low", "y_high"), strict=True))
    table = table.rename(columns=columns)
    return table.assign(
        panel="AUC-ROC against " + table.measure.map(measures),
        x_text=[estimate(*v, 2) for v in zip(table.x, table.x_low, table.x_high, strict=True)],
        y_text=[estimate(*v, 3) for v in zip(table.y, table.y_low, table.y_high, strict=True)],
        value=table.y,
    )


def distillation(table: pd.DataFrame) -> pd.DataFrame:
    """A dot a loss or control, a panel a measure; expected: that of the teacher itself."""
    itself = table[table.kind == "teacher"].set_index(["teacher", "measure"])["value"]
    labels = distilled.row_labels(table)
    pairs = pd.MultiIndex.from_frame(table[["kind", "name"]])
    table = table.assign(rank=pd.Index(list(labels)).get_indexer(pairs)).query("rank >= 0")
    table = table.sort_values("rank", kind="stable")
    names = [labels[pair] for pair in zip(table.kind, table.name, strict=True)]
    panel = table.measure.map(distilled.MEASURES)
    if table.teacher.nunique() > 1:
        panel += ", " + table.teacher
    keys = pd.MultiIndex.from_frame(table[["teacher", "measure"]])
    return table.assign(
        name="",
        role=table.kind,
        group_name=names,
        panel=panel,
        text=[number(value, 3) for value in table.value],
        note=table.value.map(distilled.off_scale),
        x=table.value.clip(lower=distilled.FLOOR),
        expected=itself.reindex(keys).to_numpy(),
    )


def training(table: pd.DataFrame) -> pd.DataFrame:
    """Two lines a seed, training's and validation's loss by epoch; a panel a loss."""
    losses = {"val_loss": "validation", "train_loss": "training"}
    keys = [name for name in table if name not in losses]
    long = table.melt(keys, list(losses), "role", "value").assign(name="", x=lambda t: t.epoch + 1)
    long["role"] = long.role.map(losses)
    long = long.sort_values("loss", key=lambda loss: loss.map(loss_order), kind="stable")
    return long.assign(
        panel=long.loss.map(style.short_loss),
        group_name=long.role + ", seed " + long.seed.astype(str),
        text=[number(value, 4) for value in long.value],
    )


def focused(table: pd.DataFrame) -> pd.DataFrame:
    """A line a model over findings, `y` on a scale of its own; a panel a metric."""
    table = _named(table[table.metric.isin(list(METRIC_TITLES))])  # without a study's own metrics
    table = in_order(table, ["metric", "finding"]).rename(columns={"mean": "value"})
    bounds = [
        focus.axis_bounds(rows.rename(columns={"value": "mean"})).reindex(rows.finding)
        for _, rows in table.groupby("metric", sort=False)
    ]
    low, high = (np.concatenate([part[end] for part in bounds]) for end in ("low", "high"))
    return table.assign(
        panel=table.metric.map(METRIC_TITLES),
        group_name=table.finding,
        y=(table.value - low) / (high - low),
        text=_texts(table),
    )


def curves(table: pd.DataFrame) -> pd.DataFrame:
    """Points along curves and the operating points; panels are findings and two curves."""
    table = _named(table).rename(columns={"y": "value"})
    curve = table.curve.str.removesuffix(" point")
    point = table.curve != curve
    nth = table.groupby(["name", "finding", "curve"], sort=False).cumcount()
    text = [
        f"{AXES[c][1]} {number(y, 3)} at {AXES[c][0]} {number(x, 3)}"
        for c, x, y in zip(curve, table.x, table.value, strict=True)
    ]
    return table.assign(
        panel=table.finding + curve.map({"roc": ": ROC", "pr": ": precision and recall"}),
        role=np.select([point, nth % HOVERED == 0], ["operating point", "hovered"], "line"),
        text=np.where(point | (nth % HOVERED == 0), text, ""),
    )
