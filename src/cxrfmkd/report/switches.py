"""Where a study follows the thesis and where it leaves it, setting by setting."""

from __future__ import annotations

import json

import pandas as pd

from cxrfmkd.study.settings import DatasetSection, Settings, sections
from cxrfmkd.study.settings.base import meaning

# What is computed is no question of practice.
GRID = {"losses", "seeds", "pairs", "datasets", "models", "attributes"}


def compare(settings: dict, thesis: dict) -> pd.DataFrame:
    """The settings for which sound practice and the thesis differ, and whose side this study takes.

    settings: of the study, whole; thesis: content of `config/thesis.yaml`, whose entries beside the
    defaults are the thesis's practice. Columns: setting, this study, thesis, sound practice,
    follows, meaning.
    """
    rows = []
    for section, kind in sections().items():
        if isinstance(thesis.get(section), dict):
            rows += _differing(section, kind, settings[section], thesis[section])
    for name, theirs in thesis.get("datasets", {}).items():
        if name in settings["datasets"]:
            rows += _differing(
                f"datasets.{name}", DatasetSection, settings["datasets"][name], theirs
            )
    columns = ["setting", "this study", "thesis", "sound practice", "follows", "meaning"]
    return pd.DataFrame(rows, columns=columns)


def _differing(place: str, section: type[Settings], ours: dict, theirs: dict) -> list[tuple]:
    """A row per setting of one section for which the thesis leaves the default."""
    rows = []
    for name, value in theirs.items():
        field = section.model_fields.get(name)
        if name in GRID or field is None or field.is_required() or value == field.default:
            continue
        mine, default = ours[name], field.default
        follows = "thesis" if mine == value else "sound practice" if mine == default else "its own"
        rows.append(
            (f"{place}.{name}", _said(mine), _said(value), _said(default), follows, meaning(field))
        )
    return rows


def _said(value: object) -> str:
    if value in (None, [], {}):
        return "none"
    return value if isinstance(value, str) else json.dumps(value)
