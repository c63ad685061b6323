"""Tables and figures as HTML that stands on its own: escaped, accessible, and themed."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from cxrfmkd.figures import style
from cxrfmkd.report.prose import number
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.seals import verify
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
# Elements of SVG that load, act or change.
FORBIDDEN = {
    "script",
    "foreignobject",
    "iframe",
    "object",
    "embed",
    "a",
    "animate",
    "set",
    "handler",
}


def inline_svg(path: str | Path, name: str, label: str) -> Markup:
    """An SVG file as an element of the page, scaled to the column and labelled for screen readers.

    Its ids begin with `name`, so that those of several figures differ.
    """
    svg = verify(path).read_text(encoding="utf-8")
    _refuse_scripts(svg, Path(path))
    svg = re.sub(r' d="([^"]+)"', _shorter, svg)
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
        'style="--w:{width:.0f}px" xmlns:xlink="http://www.w3.org/1999/xlink">'
        '<title id="{name}-title">{label}</title>{rest}'
    ).format(box=attributes["viewBox"], name=name, width=width, label=label, rest=Markup(rest))


def _refuse_scripts(svg: str, path: Path) -> None:
    """Raise InputError for an SVG that is more than a picture and acts in the reader's browser."""
    try:
        elements = list(ElementTree.fromstring(svg).iter())
    except ElementTree.ParseError as problem:
        raise InputError(f"{path}: no SVG ({problem}). Delete it and draw it again.") from None
    for element in elements:
        tag = str(element.tag).rpartition("}")[2].lower()
        names = {name.rpartition("}")[2].lower(): value for name, value in element.attrib.items()}
        links = [names[name] for name in ("href", "src") if name in names]
        outward = [link for link in links if not link.startswith(("#", "data:image/"))]
        events = [name for name in names if name.startswith("on")]
        styled = any("url(" in value.replace("url(#", "") for value in names.values())
        imports = tag == "style" and re.search(r"@import|url\((?!#)", element.text or "")
        if tag in FORBIDDEN or outward or events or styled or imports:
            raise InputError(
                f"{path}: this SVG holds more than a picture (<{tag}>: a script, an event, or a "
                "link to elsewhere), and is not copied into the report. Delete it and draw it "
                "again."
            )


def _shorter(path: re.Match[str]) -> str:
    """A path to a tenth of a point, as it is seen, without spaces that it does not need."""
    text = re.sub(r"(\d\.\d)\d+", r"\1", " ".join(path[1].split()))
    text = re.sub(r" ?([A-Za-z]) ?", r"\1", text)
    return f' d="{text}"'


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
