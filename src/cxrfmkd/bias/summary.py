"""One row for each model: the results of a dataset's bias analyses, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from cxrfmkd.datasets.halves import HALVES
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_table
from cxrfmkd.vocabulary.attributes import DISEASE, PRESETS, SCORED, Attributes, own
from cxrfmkd.vocabulary.models import split_model

MODEL = ["dataset", "model"]
SCORED_ATTRIBUTES = ("race", "sex", "age", "view")
SAMPLES = ("all", "one per patient", *PRESETS["view"].groups, *HALVES)
Columns = Mapping[str, tuple[str, ...]]

# Each column of the summary: a value of a table, and what the rows that have it are keyed by.
SCORES: Columns = (
    {"score": ("score", "main", "normalised", "combined")}
    | {f"score_{x}": ("score", "main", x, "combined") for x in ("unnormalised", "filtered")}
    | {
        f"simulation_{name}": (value, "simulation", "normalised", "combined")
        for name, value in (("mean", "score"), ("low", "low"), ("high", "high"))
    }
    | {f"score_{x}".lower(): ("score", x, "normalised", "combined") for x in SAMPLES}
    | {
        f"score_{x}": ("score", "main", "normalised", x)
        for x in (*SCORED_ATTRIBUTES, "columns average", "combined with age")
    }
)
NULLS: Columns = {
    prefix + value: (value, form, "combined")
    for form, prefix in (("normalised", ""), ("distance", "distance_"), ("energy", "energy_"))
    for value in ("null_low", "null_high", "z", "p")
} | {f"distance_p_{attribute}": ("p", "distance", attribute) for attribute in ("race", "sex")}
CKA: Columns = {"cka_teacher": ("estimate", "CKA", "teacher")}
TABLES = ("scores", "nulls", "encodings", "effects")


def _effects(attributes: Sequence[str]) -> Columns:
    """Columns of effect sizes over the modes."""
    return {
        f"{measure.lower()}_{attribute}{end}": (value, measure, attribute)
        for measure in ("D", "W1", "energy")
        for attribute in attributes
        for value, end in (("estimate", ""), ("low", "_low"), ("high", "_high"))
        if measure == "D" or not end
    }


def _areas(attributes: Sequence[str]) -> Columns:
    """Columns of probes' areas."""
    return {
        f"auc_{attribute}{end}": ("auc", given, attribute)
        for attribute in attributes
        for given, end in (("", ""), (DISEASE, "_given_disease"))
    }


def combine(
    paths: dict[str, Sequence[str | Path]],
    models: Sequence[str],
    attributes: Attributes = PRESETS,
) -> pd.DataFrame:
    """The table `scores.csv` of a dataset, in the order of `models` (columns: docs/bias.md).

    paths: files of each of TABLES. Numbers are means over seeds; `score_sd` is their standard
    deviation. Probe AUCs are means over an attribute's groups, and over the diseases. attributes:
    of the study, whose own ones have columns at the end.
    """
    scores, nulls, encodings, effects = (_read(paths[name]) for name in TABLES)
    scores = _of_the_same_tests(scores, attributes)
    effects = effects[(effects["mode"] == 0) & effects.a.isna()]
    diseases = dict.fromkeys(attributes[DISEASE].groups, DISEASE)
    encodings = encodings.assign(given=encodings.given.fillna("").replace(diseases))
    names = [one.name for one in own(attributes)]
    scored = {f"score_{name}": ("score", "main", "normalised", name) for name in names}
    tested = {f"distance_p_{name}": ("p", "distance", name) for name in names}
    keys = ["measure", "attribute"]
    summaries = [
        _main_scores(scores),
        _means(scores, ["sample", "form", "attribute"], SCORES),
        _means(nulls, ["form", "attribute"], NULLS),
        _means(effects, keys, {**_effects(("combined", *SCORED_ATTRIBUTES)), **CKA}),
        _means(encodings, ["given", "attribute"], _areas(SCORED_ATTRIBUTES)),
    ]
    if names:
        summaries += [
            _means(scores, ["sample", "form", "attribute"], scored),
            _means(nulls, ["form", "attribute"], tested),
            _means(effects, keys, _effects(names)),
            _means(encodings, ["given", "attribute"], _areas(names)),
        ]
    wide = pd.concat(summaries, axis=1)
    wide.insert(3, "score_sd", wide.pop("score_sd"))
    analysed = wide.index.get_level_values("model")
    if absent := [model for model in models if model not in analysed]:
        raise InputError(f"{absent}: no bias analysis of these models is among the files given.")
    wide = wide.loc[[key for model in models for key in wide.index[analysed == model]]]
    wide = wide.reset_index()
    names = wide.model.map(split_model)
    wide["model"] = names.str[0]
    wide.insert(2, "loss", names.str[1])
    return wide.rename(columns=lambda name: name.replace(" ", "_"))


def _read(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Tables one below the other, the combined score named `combined` whatever it is made of."""
    if not paths:
        raise InputError("combine_bias: a list of tables is empty; every model has one of each.")
    tables = [read_table(path, keep_default_na=False, na_values=[""]) for path in paths]
    table = pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
    attributes = table.attribute.astype(str).str.extract(r"combined \((.+)\)", expand=False)
    scored = attributes.fillna("race, sex")
    return table.assign(
        attribute=table.attribute.mask(attributes.notna(), "combined"), scored=scored
    )


def _of_the_same_tests(scores: pd.DataFrame, attributes: Attributes) -> pd.DataFrame:
    """`scores` without the combined ones that are made of other tests than the main sample's.

    A sample may have too few patients of a group; the mean of the other tests, or of one attribute
    alone, cannot be compared with that of all.
    """
    pairs = [f"{a} vs {b}" for name in SCORED for a, b in attributes[name].pairs]
    test = scores.attribute.where(scores.attribute.isin(pairs))
    tested = test.groupby([scores[key] for key in (*MODEL, "sample")]).transform(_listed)
    in_main = tested.where(scores["sample"] == "main")
    in_main = in_main.groupby([scores[key] for key in MODEL]).transform("first")
    return scores[(scores.attribute != "combined") | (tested == in_main)]


def _listed(names: pd.Series) -> str:
    """The names, each once, in one order."""
    return ", ".join(sorted(names.dropna().unique()))


def _main_scores(table: pd.DataFrame) -> pd.DataFrame:
    """What the combined score is made of, the number of seeds and the deviation over them."""
    rows = table[(table["sample"] == "main") & (table.form == "normalised")]
    models = rows[rows.attribute == "combined"].groupby(MODEL, sort=False)
    return pd.DataFrame(
        {
            "scored": models.scored.first(),
            "seeds": models.size(),
            "score_sd": models.score.std(ddof=1),
        }
    )


def _means(table: pd.DataFrame, keys: list[str], columns: Columns) -> pd.DataFrame:
    """Means over seeds of a model's values, in one row; NaN where a table has no such rows."""
    values = list(dict.fromkeys(value for value, *_ in columns.values()))
    means = table.groupby([*MODEL, *keys], sort=False)[values].mean().unstack(keys)
    wide = means.reindex(columns=pd.MultiIndex.from_tuples(columns.values()))
    return wide.set_axis(list(columns), axis=1)
