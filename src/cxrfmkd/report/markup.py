"""Tables and figures as HTML that stands on its own: escaped, accessible, and themed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from cxrfmkd.figures import style
from cxrfmkd.report.prose import number
from cxrfmkd.vocabulary.models import MODELS

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# Neutral colours of the figures; the page has its own, which follow a reader's dark mode.
THEMED = {
    style.INK: "ink",
    style.MUTED: "muted",
    style.RULE: "rule",
    style.BAND: "band",
    style.PAPER: "paper",
    style.AXIS: "axis",
    style.NULL: "null",
}
Format = Callable[[Any], str]


def inline_svg(path: str | Path, name: str, label: str) -> Markup:
    """An SVG file as an element of the page, scaled to the column and labelled for screen readers.

    Its ids begin with `name`, so that those of several figures differ.
    """
    svg = Path(path).read_text()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    ids: set[str] = set()

    def unique_id(match: re.Match[str]) -> str:
        """Ties: the first keeps its id, since Matplotlib gives equal shapes equal ids."""
        if match[1] in ids:
            return ""
        ids.add(match[1])
        return f' id="{name}-{match[1]}"'

    svg = re.sub(r'\sid="([^"]+)"', unique_id, svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{name}-", svg)
    for colour, variable in THEMED.items():
        svg = re.sub(rf"(fill|stroke): {colour}\b", rf"\1: var(--{variable})", svg)
    head, _, rest = svg.partition(">")
    attributes = dict(re.findall(r'\b(width|viewBox)="([^"]+)"', head))
    width = float(attributes["width"].removesuffix("pt")) * 4 / 3
    return Markup(
        '<svg viewBox="{box}" role="img" aria-labelledby="{name}-title" '
        'style="max-width:{width:.0f}px" xmlns:xlink="http://www.w3.org/1999/xlink">'
        '<title id="{name}-title">{label}</title>{rest}'
    ).format(
        box=attributes["viewBox"], name=name, width=width * 1.15, label=label, rest=Markup(rest)
    )


def coded(text: str) -> Markup:
    """Text whose words between backticks are set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def mark(word: str) -> Markup:
    """A verdict with a dot in its colour: of a check, or of a setting."""
    return Markup('<span class="mark {}">{}</span>').format(word.split()[0], word)


def model_cell(model: str) -> Markup:
    """A model's name after a dot in its colour, hollow for a linear probe, as in the figures."""
    colour = style.COLOURS[model]
    return Markup('<span class="key{}" style="--c:{}"></span>{}').format(
        "" if MODELS[model].finetuned else " hollow",
        "var(--ink)" if colour == style.INK else colour,
        MODELS[model].title,
    )


def decimals(digits: int, sign: bool = False) -> Format:
    """Format of a number that may be missing."""
    return lambda value: number(None if pd.isna(value) else float(value), digits, sign)


def plain(value: object) -> str:
    """A text, or an en dash where there is no value."""
    return "–" if pd.isna(value) else str(value)


def table(
    columns: Mapping[str, Sequence],
    caption: str,
    formats: Mapping[str, Format] | None = None,
    *,
    name: str,
    sort: bool = True,
) -> Markup:
    """A table with a caption, its column names as headings; sortable where that makes sense.

    formats: how the cells of a column are written; such columns are set flush right. A cell or a
    heading that is Markup already is taken as it is.
    """
    formats = dict(formats or {})

    def cell(column: str, value: object) -> tuple[str, bool, str]:
        """Text, whether it is flush right, and the exact number to sort by."""
        text = value if isinstance(value, Markup) else formats.get(column, plain)(value)
        sortable = column in formats and isinstance(value, int | float) and not pd.isna(value)
        return text, column in formats, f"{value:.8g}" if sortable else ""

    rows = [
        [cell(*item) for item in zip(columns, values, strict=True)]
        for values in zip(*columns.values(), strict=True)
    ]
    html = TEMPLATES.get_template("table.html").render(
        name=name, caption=caption, columns=columns, formats=formats, rows=rows, sort=sort
    )
    return Markup(html)
