"""Where a study follows the thesis and where it leaves it, setting by setting."""

from __future__ import annotations

import json

import pandas as pd

from cxrfmkd.study.settings import DatasetSection, Settings, sections
from cxrfmkd.study.settings.base import meaning, plain_default

# What is computed is no question of practice.
GRID = (
    "distillation.datasets distillation.losses distillation.seeds classification.datasets "
    "classification.models classification.seeds transfer.pairs transfer.models transfer.losses "
    "evaluation.attributes bias.attributes bias.models bias.losses"
).split()


def compare(settings: dict, thesis: dict) -> pd.DataFrame:
    """The settings for which sound practice and the thesis differ, and which this study follows.

    settings: of the study, whole; thesis: content of `config/thesis.yaml`, whose entries beside the
    defaults are the thesis's practice. Columns: setting, this study, thesis, sound practice,
    follows, meaning.
    """
    rows = []
    for name, section in sections().items():
        if isinstance(thesis.get(name), dict):
            rows += _differences(name, section, settings[name], thesis[name])
    for name, values in thesis.get("datasets", {}).items():
        if name in settings["datasets"]:
            dataset = settings["datasets"][name]
            rows += _differences(f"datasets.{name}", DatasetSection, dataset, values)
    return pd.DataFrame(rows)


def _differences(prefix: str, section: type[Settings], study: dict, thesis: dict) -> list[dict]:
    """A row per setting of one section for which the thesis leaves the default."""
    rows = []
    for name, value in thesis.items():
        field = section.model_fields.get(name)
        default = None if field is None else plain_default(field)
        setting = f"{prefix}.{name}"
        if setting in GRID or field is None or field.is_required() or value == default:
            continue
        values = {"this study": study[name], "thesis": value, "sound practice": default}
        follows = [
            practice for practice in ("thesis", "sound practice") if values[practice] == study[name]
        ]
        row = {"setting": setting} | {k: _as_text(v) for k, v in values.items()}
        rows.append(row | {"follows": (follows or ["its own"])[0], "meaning": meaning(field)})
    return rows


def _as_text(value: object) -> str:
    if value in (None, [], {}):
        return "none"
    return value if isinstance(value, str) else json.dumps(value)
