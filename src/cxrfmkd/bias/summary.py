"""One row a model: what the bias analyses of a dataset found, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.vocabulary.groups import GROUPS
from cxrfmkd.vocabulary.models import split_model

KEYS = ["dataset", "model", "loss"]
TABLES = ("scores", "nulls", "encodings", "effects")
PARTS = ("race", "sex", "age", "view")


def combine(paths: dict[str, Sequence[str | Path]], models: Sequence[str]) -> pd.DataFrame:
    """The table `scores.csv` of a dataset, in the order of `models` (columns: docs/bias.md).

    paths: files of each of TABLES. Numbers are means over seeds; `score_sd` is their standard
    deviation.
    """
    tables = {name: _read(paths[name]) for name in TABLES}
    wide = pd.concat(
        [
            _scores(tables["scores"]),
            _nulls(tables["nulls"]),
            _effects(tables["effects"]),
            _encodings(tables["encodings"]),
        ],
        axis=1,
    )
    found = wide.index.get_level_values("model")
    if absent := [model for model in models if model not in found]:
        raise InputError(f"{absent}: no bias analysis of these models is among the files given.")
    wide = wide.loc[[key for model in models for key in wide.index[found == model]]].reset_index()
    parts = wide.model.map(split_model)
    wide["model"] = parts.str[0]
    wide.insert(2, "loss", parts.str[1])
    return wide


def _read(paths: Sequence[str | Path]) -> pd.DataFrame:
    if not paths:
        raise InputError("combine_bias: a list of tables is empty; every model has one of each.")
    tables = [pd.read_csv(path, keep_default_na=False, na_values=[""]) for path in paths]
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def _over_seeds(table: pd.DataFrame, column: str) -> pd.Series:
    return table.groupby(["dataset", "model"], sort=False)[column].mean()


def _scores(table: pd.DataFrame) -> pd.DataFrame:
    """Combined score in all forms and samples, its parts, and what it could be combined of (`scored`)."""
    combined = table[(table.attribute == "combined") | table.attribute.str.startswith("combined (")]
    main = combined[(combined["sample"] == "main") & (combined.form == "normalised")]
    groups = main.groupby(["dataset", "model"], sort=False)
    names = main.attribute.map(lambda name: "race, sex" if name == "combined" else name[10:-1])
    wide = pd.DataFrame(
        {
            "scored": names.groupby([main.dataset, main.model]).first(),
            "seeds": groups.size(),
            "score": groups.score.mean(),
            "score_sd": groups.score.std(ddof=1),
        }
    )
    for form in ("unnormalised", "filtered"):
        own = combined[(combined["sample"] == "main") & (combined.form == form)]
        wide[f"score_{form}"] = _over_seeds(own, "score")
    normalised = combined[combined.form == "normalised"]
    simulated = normalised[normalised["sample"] == "simulation"]
    for column, name in (("score", "mean"), ("low", "low"), ("high", "high")):
        wide[f"simulation_{name}"] = _over_seeds(simulated, column)
    for sample in ("all", "one per patient", "AP", "PA", "half 1", "half 2"):
        own = normalised[normalised["sample"] == sample]
        wide[f"score_{sample.replace(' ', '_').lower()}"] = _over_seeds(own, "score")
    own = table[(table["sample"] == "main") & (table.form == "normalised")]
    for name in (*PARTS, "columns average", "combined with age"):
        wide[f"score_{name.replace(' ', '_')}"] = _over_seeds(own[own.attribute == name], "score")
    return wide


def _nulls(table: pd.DataFrame) -> pd.DataFrame:
    """The combined score's null: band, z and p, for the thesis's points, for D and for the whole embedding."""
    own = table[table.attribute.astype(str).str.startswith("combined")]
    wide = {}
    for form, prefix in (("normalised", ""), ("distance", "distance_"), ("energy", "energy_")):
        for column in ("null_low", "null_high", "z", "p"):
            wide[prefix + column] = _over_seeds(own[own.form == form], column)
    return pd.DataFrame(wide)


def _effects(table: pd.DataFrame) -> pd.DataFrame:
    """D, W1 and energy coefficients of each attribute and of all combined, and CKA to the teacher."""
    own = table[(table["mode"] == 0) & table.a.isna()]
    wide = {}
    for measure, prefix in (("D", "d"), ("W1", "w1"), ("energy", "energy")):
        for name in ("combined", *PARTS):
            named = (
                own.attribute.str.match(r"combined(?: \(|$)")
                if name == "combined"
                else own.attribute == name
            )
            chosen = own[named & (own.measure == measure)]
            wide[f"{prefix}_{name}"] = _over_seeds(chosen, "estimate")
            if measure == "D":
                wide[f"d_{name}_low"] = _over_seeds(chosen, "low")
                wide[f"d_{name}_high"] = _over_seeds(chosen, "high")
    wide["cka_teacher"] = _over_seeds(own[own.measure == "CKA"], "estimate")
    return pd.DataFrame(wide)


def _encodings(table: pd.DataFrame) -> pd.DataFrame:
    """Probe AUC of each attribute, mean over its groups: in all images, and as the mean within the diseases."""
    wide = {}
    for name in PARTS:
        own = table[table.attribute == name]
        wide[f"auc_{name}"] = _over_seeds(own[own.given.isna()], "auc")
        wide[f"auc_{name}_given_disease"] = _over_seeds(
            own[own.given.isin(GROUPS["disease"])], "auc"
        )
    return pd.DataFrame(wide)
