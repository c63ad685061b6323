"""Figures that answer a mouse and a finger: Vega-Lite specifications over the figures' own numbers.

A chart shows what the figure of its kind shows; the picture for papers stays in `figures/`. Rows
have the columns `name` (a model as people write it), `panel`, and what a pointer reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from cxrfmkd.figures import style
from cxrfmkd.report import chart_rows
from cxrfmkd.vocabulary.models import MODELS

ROWS = "rows"  # the name of a chart's data, which the page has apart from the specification
PICKED = "picked == '' || datum.name == picked"  # the model that a reader clicked on, in all charts
LETTER = 5  # pixels that a slanted name takes to the left, a letter
NUMBERS = 60  # pixels beside a panel whose vertical axis has numbers, not names
Spec = dict[str, Any]


def _colour(table: pd.DataFrame) -> alt.Color:
    """Colours of the figures; that of the teacher is the page's ink, set by the page."""
    return alt.Color("family:N", scale=_scale(table), legend=None)


def _scale(table: pd.DataFrame) -> alt.Scale:
    models = list(dict.fromkeys(table.model))
    titles, colours = ([MODELS[m].title for m in models], [style.COLOURS[m] for m in models])
    return alt.Scale(domain=titles, range=colours)


def _base(table: pd.DataFrame) -> tuple[alt.Chart, dict[str, Any]]:
    """A chart of named data, and what all marks have in common."""
    chart = alt.Chart(alt.NamedData(name=ROWS))
    opacity = alt.condition(PICKED, alt.value(1), alt.value(0.12))
    return chart, {"color": _colour(table), "opacity": opacity}


def _tooltip(table: pd.DataFrame, **fields: str) -> list[alt.Tooltip]:
    titles = {"name": "model", "panel": " ", "text": "value", "n": "n"} | fields
    return [
        alt.Tooltip(f"{field}:N", title=title)
        for field, title in titles.items()
        if field in table and title
    ]


def _finish(
    chart: Any, panels: list[str], least: int, labels: int = 0, apart: bool = False
) -> Spec:
    """Panels in a grid whose columns the page sets by its width.

    least: pixels of a panel. labels: pixels to the left of a row of panels, of names by default;
    apart: of each panel.
    """
    picked = alt.param(name="picked", value="")
    if len(panels) > 1:
        header = alt.Header(title=None, labelFontWeight="bold", labelAnchor="start", labelLimit=320)
        facet = alt.Facet("panel:N", sort=panels, header=header)
        chart = chart.facet(facet=facet, columns=2).resolve_scale(x="independent")
    spec = chart.add_params(picked).to_dict() if len(panels) <= 1 else chart.to_dict()
    if len(panels) > 1:
        spec["params"] = [*spec.get("params", []), {"name": "picked", "value": ""}]
    spec["usermeta"] = {"least": least, "panels": len(panels), "labels": labels, "apart": apart}
    return spec


def _panels(table: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(table.panel))


def intervals(table: pd.DataFrame, zero: bool, least: int = 300) -> Spec:
    """A row a model, in each panel an estimate with its interval; zero: a line at no difference."""
    chart, look = _base(table)
    names = list(dict.fromkeys(table.name))
    y = alt.Y("name:N", sort=names, title=None, axis=alt.Axis(ticks=False))
    x = alt.X("value:Q", title=None, scale=alt.Scale(zero=False, nice=True))
    tooltip = _tooltip(table, p_text="adjusted p")
    rule = chart.mark_rule(strokeWidth=1.6).encode(
        x=alt.X("low:Q", title=None), x2="high:Q", y=y, tooltip=tooltip, **look
    )
    point = chart.mark_point(size=55, filled=False, strokeWidth=1.8).encode(
        x=x,
        y=y,
        fill=_fill(table),
        tooltip=tooltip,
        **look,
    )
    layers = [rule, point]
    if "expected" in table:
        tick = chart.mark_tick(thickness=2, size=9, color=style.AXIS)
        layers.insert(0, tick.encode(x="expected:Q", y=y))
    if zero:
        line = chart.mark_rule(color=style.AXIS, strokeDash=[3, 2])
        layers.insert(0, line.encode(x=alt.datum(0)))
    layered = alt.layer(*layers).properties(height=alt.Step(17))
    return _finish(layered, _panels(table), least)


def _fill(table: pd.DataFrame) -> Any:
    """Hollow for a linear probe, its model's colour for a full fine-tune."""
    colour = alt.Fill("family:N", scale=_scale(table), legend=None)
    return alt.condition("datum.probe", alt.value("#ffffff"), colour)


def groups(table: pd.DataFrame, zero: bool) -> Spec:
    """A row a group of patients, in it a point a model; a panel a finding."""
    chart, look = _base(table)
    order = list(dict.fromkeys(table.group_name))
    y = alt.Y("group_name:N", sort=order, title=None, axis=alt.Axis(ticks=False))
    offset = alt.YOffset("name:N", sort=list(dict.fromkeys(table.name)))
    tooltip = _tooltip(table, group_name="group")
    rule = chart.mark_rule(strokeWidth=1).encode(
        x=alt.X("low:Q", title=None), x2="high:Q", y=y, yOffset=offset, tooltip=tooltip, **look
    )
    point = chart.mark_point(size=26, filled=False, strokeWidth=1.5).encode(
        x=alt.X("value:Q", title=None, scale=alt.Scale(zero=False)),
        y=y,
        yOffset=offset,
        fill=_fill(table),
        tooltip=tooltip,
        **look,
    )
    note = chart.transform_filter("datum.note != ''").mark_text(align="left", size=11)
    layers = [rule, point, note.encode(x=alt.value(4), y=y, text="note:N")]
    if zero:
        line = chart.mark_rule(color=style.AXIS, strokeDash=[3, 2]).encode(x=alt.datum(0))
        layers.insert(0, line)
    step = alt.Step(max(8 * table.name.nunique() + 10, 20), **{"for": "position"})
    return _finish(alt.layer(*layers).properties(height=step), _panels(table), 300)


def scatter(table: pd.DataFrame, x: str, y: str) -> Spec:
    """A point a model, with both intervals."""
    chart, look = _base(table)
    tooltip = _tooltip(table, x_text=x, y_text=y)
    horizontal = chart.mark_rule(strokeWidth=0.8).encode(
        x="x_low:Q", x2="x_high:Q", y="y:Q", **look
    )
    vertical = chart.mark_rule(strokeWidth=0.8).encode(x="x:Q", y="y_low:Q", y2="y_high:Q", **look)
    point = chart.mark_point(size=80, filled=False, strokeWidth=2).encode(
        x=alt.X("x:Q", title=x, scale=alt.Scale(zero=False)),
        y=alt.Y("y:Q", title=y, scale=alt.Scale(zero=False)),
        fill=_fill(table),
        tooltip=tooltip,
        **look,
    )
    layered = alt.layer(horizontal, vertical, point).properties(height=240)
    return _apart(_finish(layered, _panels(table), 300, NUMBERS, apart=True))


def lines(table: pd.DataFrame, x: str, y: str) -> Spec:
    """A line a model (or a run) over a quantity, with a dot at each value."""
    chart, look = _base(table)
    line = chart.mark_line(point=alt.OverlayMarkDef(size=22), strokeWidth=1.4).encode(
        x=alt.X("x:Q", title=x),
        y=alt.Y("value:Q", title=y, scale=alt.Scale(zero=False)),
        detail="name:N",
        tooltip=_tooltip(table, x=x),
        **look,
    )
    return _finish(line.properties(height=200), _panels(table), 240, NUMBERS)


def dots(table: pd.DataFrame) -> Spec:
    """A row a loss or control, in each panel a number; a tick where the teacher itself is."""
    chart = alt.Chart(alt.NamedData(name=ROWS))
    order = list(dict.fromkeys(table.group_name))
    y = alt.Y("group_name:N", sort=order, title=None, axis=alt.Axis(ticks=False))
    kinds = alt.Scale(domain=["student", "control"], range=[style.BLUE, style.AXIS])
    point = chart.mark_point(size=55, filled=True, opacity=1).encode(
        x=alt.X("x:Q", title=None),
        y=y,
        color=alt.Color("role:N", scale=kinds, legend=None),
        tooltip=_tooltip(table, group_name="student or control", name="", n=""),
    )
    teacher = chart.mark_tick(thickness=2, size=15, color=style.INK).encode(x="expected:Q", y=y)
    note = chart.transform_filter("datum.note != ''").mark_text(align="left", dx=7, size=11)
    layers = [teacher, point, note.encode(x="x:Q", y=y, text="note:N")]
    layered = alt.layer(*layers).properties(height=alt.Step(17))
    return _finish(layered, _panels(table), 260)


def epochs(table: pd.DataFrame) -> Spec:
    """A line a seed and split over epochs; validation in colour, training dashed and grey."""
    chart = alt.Chart(alt.NamedData(name=ROWS))
    kinds = ["validation", "training"]
    colour = alt.Scale(domain=kinds, range=[style.BLUE, style.AXIS])
    dash = alt.Scale(domain=kinds, range=[[1, 0], [4, 2]])
    positive = bool((table.value > 0).all())
    scale = alt.Scale(type="log", nice=False) if positive else alt.Scale(zero=False)
    line = chart.mark_line(point=alt.OverlayMarkDef(size=14), strokeWidth=1.2).encode(
        x=alt.X("x:Q", title="epoch", axis=alt.Axis(tickMinStep=1)),
        y=alt.Y(
            "value:Q",
            title="loss",
            scale=scale,
        ),
        color=alt.Color("role:N", scale=colour, legend=None),
        strokeDash=alt.StrokeDash("role:N", scale=dash, legend=None),
        detail="group_name:N",
        tooltip=_tooltip(table, group_name="run", x="epoch", text="loss", name=""),
    )
    return _apart(_finish(line.properties(height=170), _panels(table), 240, NUMBERS, apart=True))


def parallel(table: pd.DataFrame) -> Spec:
    """A line a model across findings, each on a scale of its own."""
    chart, look = _base(table)
    axis = alt.Axis(labelAngle=-40, labelOverlap=False)
    order = list(dict.fromkeys(table.group_name))
    place = {
        "x": alt.X("group_name:O", sort=order, title=None, axis=axis),
        "y": alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, 1])),
    }
    line = chart.mark_line(strokeWidth=1.3).encode(detail="name:N", **place, **look)
    point = chart.mark_point(size=26, strokeWidth=1.3).encode(
        fill=_fill(table),
        tooltip=_tooltip(table, group_name="finding"),
        **place,
        **look,
    )
    layered = alt.layer(line, point).properties(height=190)
    slanted = LETTER * len(order[0])  # the first name begins to the left of its panel
    return _finish(layered, _panels(table), 380, slanted, apart=True)


def curves(table: pd.DataFrame) -> Spec:
    """A curve a model, with a dot at its operating point."""
    chart, look = _base(table)
    unit = alt.Scale(domain=[0, 1], nice=False)
    place = {
        "x": alt.X("x:Q", title=None, scale=unit),
        "y": alt.Y("value:Q", title=None, scale=unit),
    }
    line = chart.mark_line(strokeWidth=1.1).transform_filter("datum.role != 'operating point'")
    hovered = chart.mark_point(size=60, filled=True).transform_filter("datum.role == 'hovered'")
    point = chart.mark_point(size=40, strokeWidth=1.6).transform_filter(
        "datum.role == 'operating point'"
    )
    layers = [
        line.encode(detail="name:N", order="x:Q", **place, **look),
        hovered.encode(opacity=alt.value(0), tooltip=_tooltip(table), **place),
        point.encode(
            fill=_fill(table),
            tooltip=_tooltip(table, role=" "),
            **place,
            **look,
        ),
    ]
    return _finish(alt.layer(*layers).properties(height=210), _panels(table), 240, NUMBERS)


def _apart(spec: Spec) -> Spec:
    """Panels whose vertical scales are their own."""
    if "facet" in spec:
        spec.setdefault("resolve", {}).setdefault("scale", {})["y"] = "independent"
    return spec


def cells(table: pd.DataFrame) -> Spec:
    """A row a model, a column a mode, the deeper the farther apart the groups; a panel a pair."""
    chart, look = _base(table)
    names = list(dict.fromkeys(table.name))
    x = alt.X("mode:O", title="PCA mode", axis=alt.Axis(labelAngle=0))
    y = alt.Y("name:N", sort=names, title=None, axis=alt.Axis(ticks=False))
    colour = alt.Color("value:Q", scale=alt.Scale(range=list(style.DEPTHS)), legend=None)
    tooltip = _tooltip(table, mode="mode", p_text="adjusted p")
    rect = chart.mark_rect().encode(
        x=x, y=y, color=colour, tooltip=tooltip, opacity=look["opacity"]
    )
    deep = "datum.value > 0.6 * domain('color')[1]"
    text = chart.mark_text(size=11).encode(
        x=x,
        y=y,
        text=alt.Text("value:Q", format=".2f"),
        color=alt.condition(deep, alt.value(style.ON_DARK), alt.value(style.ON_PALE)),
        tooltip=tooltip,
        opacity=look["opacity"],
    )
    return _finish(alt.layer(rect, text).properties(height=alt.Step(17)), _panels(table), 280)


CHARTS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], Callable[..., Spec]]] = {
    "performance": (chart_rows.performance, partial(intervals, zero=False)),
    **{
        kind: (
            partial(chart_rows.metrics, panel="finding", titles={}),
            partial(intervals, zero=False),
        )
        for kind in ("auc-roc", "auc-pr", "youden")
    },
    "differences": (chart_rows.differences, partial(intervals, zero=True)),
    "transfer": (chart_rows.transfer, partial(intervals, zero=False)),
    "subgroups": (partial(chart_rows.subgroups, column="estimate"), partial(groups, zero=False)),
    "relative": (partial(chart_rows.subgroups, column="relative"), partial(groups, zero=True)),
    "gaps": (chart_rows.gaps, partial(intervals, zero=True)),
    "score": (chart_rows.score, partial(intervals, zero=False)),
    "encoding": (chart_rows.encoding, partial(intervals, zero=False)),
    "bias-differences": (chart_rows.bias_differences, partial(intervals, zero=True)),
    "ks": (chart_rows.ks, cells),
    "calibration": (
        chart_rows.calibration,
        partial(lines, x="mean prediction", y="observed share"),
    ),
    "distillation": (chart_rows.distillation, dots),
    "training": (chart_rows.training, epochs),
    "focused": (chart_rows.focused, parallel),
    "curves": (chart_rows.curves, curves),
    "performance-vs-bias": (chart_rows.tradeoff, partial(scatter, x="bias", y="AUC-ROC")),
}
# Charts whose every mark is of all images that are measured.
OF_ALL_IMAGES = ("differences", "gaps", "score", "bias-differences", "performance-vs-bias")
FIELDS = (
    "name family probe panel text n value low high expected group_name x y x_low x_high y_low "
    "y_high x_text y_text mode p_text note role"
).split()


def chart(
    kind: str, table: pd.DataFrame, images: Mapping[tuple[str, str], int] | None = None
) -> tuple[Spec, pd.DataFrame] | None:
    """Specification and rows of the chart of a figure; None where it has none, or no number.

    kind: of the figure; table: the numbers that are saved beside its picture. images: number of
    test images by dataset and population, or sample `main` of the bias analysis, for tables that do
    not say it themselves.
    """
    if kind not in CHARTS or table.empty:
        return None
    select, draw = CHARTS[kind]
    if images and "n" not in table and kind in OF_ALL_IMAGES:
        over = table.get("population", pd.Series("main", table.index))
        table = table.assign(
            n=[images.get(key, "") for key in zip(table.dataset, over, strict=True)]
        )
    rows = select(table)
    written = rows["note"].ne("") if "note" in rows else False
    rows = rows[rows["value"].notna() | written].reset_index(drop=True)
    if rows["value"].isna().all():
        return None
    return draw(rows), rows[rows.columns.intersection(FIELDS)]


def result(kind: str, rows: pd.DataFrame) -> str:
    """What a chart shows, for those who do not see it: its extremes in the first panel."""
    rows = rows[rows["value"].notna()]
    first = rows[rows.panel == rows.panel.iloc[0]]
    label = "y_text" if "y_text" in first else "text"
    who = first.name + (" " + first.group_name if "group_name" in first else "")
    named = first.assign(who=who.str.strip())
    high, low = named.loc[named.value.idxmax()], named.loc[named.value.idxmin()]
    more = rows.panel.nunique() - 1
    return (
        f"{first.panel.iloc[0]}: highest {high.who}, {high[label]}; lowest {low.who}, {low[label]}."
        + (f" {more} more panels." if more else "")
    )


def columnar(table: pd.DataFrame) -> dict[str, Any]:
    """A table as JSON of columns: texts as codes of distinct values, numbers to six digits."""
    columns: dict[str, Any] = {}
    for name, values in table.items():
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            numbers = values.astype(float)
            columns[str(name)] = [None if pd.isna(v) else float(f"{v:.6g}") for v in numbers]
            columns[str(name)] = [
                int(v) if v is not None and v.is_integer() else v for v in columns[str(name)]
            ]
        else:
            codes, texts = pd.factorize(values.astype("object").where(values.notna(), ""))
            plain = [bool(t) if isinstance(t, bool | np.bool_) else str(t) for t in texts]
            columns[str(name)] = {"codes": codes.tolist(), "values": plain}
    return columns
