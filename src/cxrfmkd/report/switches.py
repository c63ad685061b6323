"""Where a study follows the thesis and where it leaves it, setting by setting."""

from __future__ import annotations

import json
from dataclasses import asdict, fields

import pandas as pd

from cxrfmkd.configuration import sections

# What is computed, and where results lie, is no question of practice.
GRID = {"losses", "seeds", "pairs", "datasets", "models", "attributes"}
SKIPPED = {"title", "pathvars", "folders", "synthetic", "datasets"}


def compare(settings: dict, thesis: dict) -> pd.DataFrame:
    """The settings for which sound practice and the thesis differ, and whose side this study takes.

    settings: of the study, whole; thesis: content of `config/thesis.yaml`, whose entries beside the defaults are the
    thesis's practice. Columns: setting, this study, thesis, sound practice, follows, meaning.
    """
    rows = []
    for section, kind in sections().items():
        if section in SKIPPED or section not in thesis or not isinstance(thesis[section], dict):
            continue
        defaults = asdict(kind())
        docs = {entry.name: entry.metadata["doc"] for entry in fields(kind)}
        for name, theirs in thesis[section].items():
            if name in GRID or name not in defaults or theirs == defaults[name]:
                continue
            ours, sound = settings[section][name], defaults[name]
            follows = (
                "thesis" if ours == theirs else "sound practice" if ours == sound else "its own"
            )
            rows.append(
                (f"{section}.{name}", _said(ours), _said(theirs), _said(sound), follows, docs[name])
            )
    columns = ["setting", "this study", "thesis", "sound practice", "follows", "meaning"]
    return pd.DataFrame(rows, columns=columns)


def _said(value: object) -> str:
    if value in (None, [], {}):
        return "none"
    return value if isinstance(value, str) else json.dumps(value)
