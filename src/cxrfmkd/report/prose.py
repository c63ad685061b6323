"""Numbers and names in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from cxrfmkd.tables.selecting import SIGNIFICANCE, losses_of
from cxrfmkd.vocabulary.losses import loss_title
from cxrfmkd.vocabulary.models import MODELS, join_model
from cxrfmkd.vocabulary.titles import backbone_title, dataset_title, model_title


class Headline(NamedTuple):
    """subject: what it is about; text: the sentences."""

    subject: str
    text: str


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """A number with a true minus; an en dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:{'+' if sign else ''},.{digits}f}".replace("-", "−")


def interval(low: float, high: float, digits: int = 3, sign: bool = False) -> str:
    """`0.815 to 0.845`; nothing where there is no interval."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{number(low, digits, sign)} to {number(high, digits, sign)}"


def estimate(value: float, low: float, high: float, digits: int = 3, sign: bool = False) -> str:
    """`0.830 (0.815 to 0.845)`."""
    bounds = interval(low, high, digits, sign)
    return number(value, digits, sign) + (f" ({bounds})" if bounds else "")


def p_value(p: float | None) -> str:
    """`p = 0.012`, `p < 0.001`."""
    if p is None or not math.isfinite(p):
        return "p unknown"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"


def count(n: float, one: str, many: str = "") -> str:
    """`1 seed`, `3 seeds`, `12,000 images`."""
    return f"{n:,.0f} {one if n == 1 else many or one + 's'}"


def listing(items: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = list(items) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def dataset_names(names: Iterable[str]) -> str:
    """Datasets by their titles, as a listing."""
    return listing(dataset_title(name) for name in names)


def reading(settings: dict) -> str:
    """How a dataset with these settings came about: `read as table`, `pooled from A and B`."""
    if settings["pool"]:
        return f"pooled from {dataset_names(settings['pool'])}"
    return f"read as {settings['adapter']}"


def backbone_names(names: Iterable[str]) -> str:
    """Students' networks as people write them."""
    return listing(backbone_title(name) for name in names)


def teacher_names(settings: Mapping) -> str:
    """Every teacher that students reproduce, as a listing."""
    further = settings["distillation"].get("teachers", [])
    names = [settings["teacher"]["name"], *(settings["teachers"][t]["name"] for t in further)]
    return listing(names)


def loss_names(losses: Iterable[str]) -> str:
    """Losses by their titles, as a listing."""
    return listing(loss_title(loss) for loss in losses)


def subject_title(subject: str) -> str:
    """A dataset, or a transfer `source-to-target`, as people write it."""
    return " to ".join(dataset_title(name) for name in subject.split("-to-"))


def model_name(model: str, loss: str, pairs: Sequence[tuple[str, str]]) -> str:
    """A model as the study needs to call it: with its loss where there is more than one."""
    return (
        model_title(join_model(model, loss)) if loss and losses_of(pairs) else MODELS[model].title
    )


def model_pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    """(model, loss) of every row."""
    return list(zip(table.model, table.loss, strict=True))


def are(n: int, of: str = "") -> str:
    """`none is`, `1 is`, `2 are`; with `of`, `2 of 5 are`."""
    return f"{n or 'none'}{of} {'is' if n <= 1 else 'are'}"


def equivalence(p_noninferior: float, p_equivalent: float, margin: float) -> str:
    """What two one-sided tests say of a difference and its margin."""
    if p_equivalent < SIGNIFICANCE:
        return f"equivalent within ±{margin:g}, {p_value(p_equivalent)}"
    if p_noninferior < SIGNIFICANCE:
        return f"not worse by more than {margin:g}, {p_value(p_noninferior)}"
    return f"equivalence within ±{margin:g} is not shown"
