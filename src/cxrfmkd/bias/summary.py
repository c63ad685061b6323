"""One row for each model: the results of a dataset's bias analyses, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cxrfmkd.runtime.errors import InputError
from cxrfmkd.vocabulary.groups import GROUPS
from cxrfmkd.vocabulary.models import split_model

SCORED_ATTRIBUTES = ("race", "sex", "age", "view")
PARTS_OF_SAMPLE = ("all", "one per patient", "AP", "PA", "half 1", "half 2")


def combine(paths: dict[str, Sequence[str | Path]], models: Sequence[str]) -> pd.DataFrame:
    """The table `scores.csv` of a dataset, in the order of `models` (columns: docs/bias.md).

    paths: files of each of SUMMARIES. Numbers are means over seeds; `score_sd` is their standard
    deviation.
    """
    summaries = [summarise(_read(paths[name])) for name, summarise in SUMMARIES.items()]
    wide = pd.concat(summaries, axis=1)
    analysed = wide.index.get_level_values("model")
    if absent := [model for model in models if model not in analysed]:
        raise InputError(f"{absent}: no bias analysis of these models is among the files given.")
    wide = wide.loc[[key for model in models for key in wide.index[analysed == model]]]
    wide = wide.reset_index()
    names = wide.model.map(split_model)
    wide["model"] = names.str[0]
    wide.insert(2, "loss", names.str[1])
    return wide


def _read(paths: Sequence[str | Path]) -> pd.DataFrame:
    if not paths:
        raise InputError("combine_bias: a list of tables is empty; every model has one of each.")
    tables = [pd.read_csv(path, keep_default_na=False, na_values=[""]) for path in paths]
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def _means(table: pd.DataFrame, column: str) -> pd.Series:
    """Mean over seeds of each model."""
    return table.groupby(["dataset", "model"], sort=False)[column].mean()


def _is_combined(names: pd.Series) -> pd.Series:
    """Whether a score is the combined one, which is `combined (sex)` where there is no race."""
    return names.str.fullmatch(r"combined(?: \(.+\))?")


def _scores(table: pd.DataFrame) -> pd.DataFrame:
    """Combined score in all forms and samples, its parts, and what it is combined of (`scored`)."""
    combined = table[_is_combined(table.attribute)]
    in_main = combined["sample"] == "main"
    main = combined[in_main & (combined.form == "normalised")]
    models = main.groupby(["dataset", "model"], sort=False)
    attributes = main.attribute.replace("combined", "combined (race, sex)").str[10:-1]
    wide = {
        "scored": attributes.groupby([main.dataset, main.model]).first(),
        "seeds": models.size(),
        "score": models.score.mean(),
        "score_sd": models.score.std(ddof=1),
    }
    for form in ("unnormalised", "filtered"):
        wide[f"score_{form}"] = _means(combined[in_main & (combined.form == form)], "score")
    normalised = combined[combined.form == "normalised"]
    simulated = normalised[normalised["sample"] == "simulation"]
    for column, name in (("score", "mean"), ("low", "low"), ("high", "high")):
        wide[f"simulation_{name}"] = _means(simulated, column)
    for sample in PARTS_OF_SAMPLE:
        of_sample = normalised[normalised["sample"] == sample]
        wide[f"score_{sample.replace(' ', '_').lower()}"] = _means(of_sample, "score")
    main = table[(table["sample"] == "main") & (table.form == "normalised")]
    for name in (*SCORED_ATTRIBUTES, "columns average", "combined with age"):
        wide[f"score_{name.replace(' ', '_')}"] = _means(main[main.attribute == name], "score")
    return pd.DataFrame(wide)


def _nulls(table: pd.DataFrame) -> pd.DataFrame:
    """The combined score's null: band, z and p; of the points, of D and of the whole embedding."""
    combined = table[_is_combined(table.attribute.astype(str))]
    return pd.DataFrame(
        {
            prefix + column: _means(combined[combined.form == form], column)
            for form, prefix in (
                ("normalised", ""),
                ("distance", "distance_"),
                ("energy", "energy_"),
            )
            for column in ("null_low", "null_high", "z", "p")
        }
    )


def _effects(table: pd.DataFrame) -> pd.DataFrame:
    """D, W1 and energy coefficient of each attribute and all combined; CKA to the teacher."""
    overall = table[(table["mode"] == 0) & table.a.isna()]
    combined = _is_combined(overall.attribute)
    wide = {}
    for measure, prefix in (("D", "d"), ("W1", "w1"), ("energy", "energy")):
        for name in ("combined", *SCORED_ATTRIBUTES):
            named = combined if name == "combined" else overall.attribute == name
            rows = overall[named & (overall.measure == measure)]
            wide[f"{prefix}_{name}"] = _means(rows, "estimate")
            if measure == "D":
                wide[f"d_{name}_low"] = _means(rows, "low")
                wide[f"d_{name}_high"] = _means(rows, "high")
    wide["cka_teacher"] = _means(overall[overall.measure == "CKA"], "estimate")
    return pd.DataFrame(wide)


def _encodings(table: pd.DataFrame) -> pd.DataFrame:
    """Probe AUC of each attribute, mean over its groups: in all images, and within the diseases."""
    wide = {}
    for name in SCORED_ATTRIBUTES:
        rows = table[table.attribute == name]
        within = rows[rows.given.isin(GROUPS["disease"])]
        wide[f"auc_{name}"] = _means(rows[rows.given.isna()], "auc")
        wide[f"auc_{name}_given_disease"] = _means(within, "auc")
    return pd.DataFrame(wide)


# The tables of each model, and what the summary takes from them.
SUMMARIES = {"scores": _scores, "nulls": _nulls, "effects": _effects, "encodings": _encodings}
