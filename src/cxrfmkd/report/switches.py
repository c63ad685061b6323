"""Where a study follows the thesis and where it leaves it, setting by setting."""

from __future__ import annotations

import json
from dataclasses import asdict, fields

import pandas as pd

from cxrfmkd.study.settings import Dataset, sections

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
            rows += _differing(section, kind(), settings[section], thesis[section])
    for name, theirs in thesis.get("datasets", {}).items():
        if name in settings["datasets"]:
            rows += _differing(
                f"datasets.{name}", Dataset("", {}, "", {}), settings["datasets"][name], theirs
            )
    columns = ["setting", "this study", "thesis", "sound practice", "follows", "meaning"]
    return pd.DataFrame(rows, columns=columns)


def _differing(place: str, sound: object, ours: dict, theirs: dict) -> list[tuple]:
    """A row per setting of one section for which the thesis leaves the default."""
    defaults, rows = asdict(sound), []
    docs = {entry.name: entry.metadata["doc"] for entry in fields(sound)}
    for name, value in theirs.items():
        if name in GRID or name not in defaults or value == defaults[name]:
            continue
        mine, default = ours[name], defaults[name]
        follows = "thesis" if mine == value else "sound practice" if mine == default else "its own"
        rows.append(
            (f"{place}.{name}", _said(mine), _said(value), _said(default), follows, docs[name])
        )
    return rows


def _said(value: object) -> str:
    if value in (None, [], {}):
        return "none"
    return value if isinstance(value, str) else json.dumps(value)
