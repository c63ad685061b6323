"""Numbers and names in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cxrfmkd.tables.selecting import losses_of
from cxrfmkd.vocabulary.models import MODELS, join_model, loss_title, title
from cxrfmkd.vocabulary.titles import dataset_title

__all__ = ["dataset_title"]


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """A number with a true minus; an en dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    return text.replace("-", "−")


def interval(low: float, high: float, digits: int = 3, sign: bool = False) -> str:
    """`0.815 to 0.845`; nothing where there is no interval."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{number(low, digits, sign)} to {number(high, digits, sign)}"


def estimate(value: float, low: float, high: float, digits: int = 3, sign: bool = False) -> str:
    """`0.830 (0.815 to 0.845)`."""
    around = interval(low, high, digits, sign)
    return number(value, digits, sign) + (f" ({around})" if around else "")


def p_value(p: float | None) -> str:
    """`p = 0.012`, `p < 0.001`."""
    if p is None or not math.isfinite(p):
        return "p unknown"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"


def count(n: float, one: str, many: str = "") -> str:
    """`1 seed`, `3 seeds`, `12,000 images`."""
    return f"{n:,.0f} {one if n == 1 else many or one + 's'}"


def listing(items: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    items = list(items)
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def model_name(model: str, loss: str, pairs: Sequence[tuple[str, str]]) -> str:
    """A model as the study needs to call it: with its loss where there is more than one."""
    return title(join_model(model, loss)) if loss and losses_of(pairs) else MODELS[model].title


def losses(names: Sequence[str]) -> str:
    return listing([loss_title(name) for name in names])
