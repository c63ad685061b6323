"""Tables and pictures as HTML that stands on its own: escaped, accessible, and readable on dark paper."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from markupsafe import Markup, escape

from cxrfmkd.figures import style
from cxrfmkd.report.prose import number
from cxrfmkd.vocabulary.models import MODELS

# Neutral colours of the figures, which the page replaces by its own, so that they follow a reader's
# dark mode.
THEMED = {
    style.INK: "ink",
    style.MUTED: "muted",
    style.RULE: "rule",
    style.BAND: "band",
    style.PAPER: "paper",
    "#8a9199": "axis",
    "#c9ced5": "null",
}
Format = Callable[[object], str]


def themed(svg: str) -> str:
    """`svg` with its neutral colours as the page's variables."""
    for colour, name in THEMED.items():
        svg = re.sub(rf"(fill|stroke): {colour}\b", rf"\1: var(--{name})", svg)
    return svg


def inline(path: str | Path, name: str, label: str) -> Markup:
    """An SVG file as an element of the page: ids made unique by `name`, scaled to the column, with a text label."""
    text = Path(path).read_text()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    seen: set[str] = set()

    def own(match: re.Match) -> str:
        """The first of equal ids; Matplotlib names equal shapes alike, so the others need none."""
        if match[1] in seen:
            return ""
        seen.add(match[1])
        return f' id="{name}-{match[1]}"'

    text = re.sub(r'\sid="([^"]+)"', own, text)
    text = re.sub(r'(href=")#', rf"\1#{name}-", text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    width = float(re.search(r'\bwidth="([\d.]+)pt"', text)[1]) * 4 / 3
    head, _, rest = text.partition(">")
    box = re.search(r'viewBox="[^"]+"', head)[0]
    opening = (
        f'<svg {box} role="img" aria-labelledby="{name}-title" style="max-width:{width * 1.15:.0f}px" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink"><title id="{name}-title">{escape(label)}</title>'
    )
    return Markup(themed(opening + rest))


def coded(text: str) -> Markup:
    """Text whose words between backticks are set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def key(model: str) -> Markup:
    """A dot in the model's colour, hollow for a linear probe, as in the figures."""
    colour = style.COLOURS[model]
    shown = "var(--ink)" if colour == style.INK else colour
    hollow = "" if MODELS[model].finetuned else " hollow"
    return Markup('<span class="key{}" style="--c:{}"></span>').format(hollow, shown)


def model_cell(model: str) -> Markup:
    return key(model) + escape(MODELS[model].title)


def decimals(digits: int, sign: bool = False) -> Format:
    """Format of a number that may be missing."""
    return lambda value: number(None if pd.isna(value) else float(value), digits, sign)


def whole(value: object) -> str:
    return "–" if pd.isna(value) else f"{float(value):,.0f}"


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

    def cell(column: str, value: object) -> Markup:
        text = value if isinstance(value, Markup) else escape(formats.get(column, _plain)(value))
        if column not in formats:
            return Markup("<td>{}</td>").format(text)
        exact = isinstance(value, int | float) and not pd.isna(value)
        raw = Markup(' data-v="{}"').format(f"{float(value):.8g}") if exact else ""
        return Markup('<td class="n"{}>{}</td>').format(raw, text)

    heads = [
        Markup('<th scope="col"{}>{}</th>').format(
            Markup(' class="n"') if column in formats else "", column
        )
        for column in columns
    ]
    rows = [
        Markup("<tr>{}</tr>").format(
            Markup("").join(cell(c, v) for c, v in zip(columns, values, strict=True))
        )
        for values in zip(*columns.values(), strict=True)
    ]
    kind = "sortable" if sort and len(rows) > 1 else "fixed"
    return Markup(
        '<div class="table" role="region" aria-label="{}" tabindex="0"><table id="{}" class="{}">'
        "<caption>{}</caption><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(caption, name, kind, caption, Markup("").join(heads), Markup("").join(rows))


def _plain(value: object) -> str:
    return (
        "–"
        if value is None or value is pd.NA or (isinstance(value, float) and pd.isna(value))
        else str(value)
    )
