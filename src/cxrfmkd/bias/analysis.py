"""The bias analysis of one model on one dataset: from embeddings to tables.

Embeddings are projected on their principal axes once; all tests look at the first few modes. Groups
with fewer
images than the minimum cell are not tested: their lines are there, blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cxrfmkd.bias import encoding, magnitude, projection, significance
from cxrfmkd.bias.design import Design, design
from cxrfmkd.networks.layers import HeadInput, Linear
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError
from cxrfmkd.runtime.files import read_json
from cxrfmkd.study.settings import Bias
from cxrfmkd.vocabulary.groups import GROUPS

SHARED = 0  # the seed, in tables, of an embedding that is the same for all seeds


def views(
    arrays: Sequence[KeyedArray],
    projection: Path | None,
    selected: Path | None,
    settings: Bias,
    seeds: Sequence[int],
) -> tuple[list[HeadInput], list[int]]:
    """The embeddings to analyse, and their seeds: all, or the one that `selected` (a selected.json)
    names.

    projection: weights, or a selected.json that names them, of a layer that the arrays have not
    passed yet.
    """
    layer = None if projection is None else Linear.load(projection, "projection")
    if settings.seeds == "selected" and selected is not None:
        seed = read_json(selected)["seed"]
        if len(arrays) == len(seeds):
            arrays = [arrays[list(seeds).index(seed)]]
        seeds = [seed]
    return [HeadInput(array, layer) for array in arrays], list(seeds)


def analyse(
    embeddings: Sequence[HeadInput],
    teacher: KeyedArray,
    records: pd.DataFrame,
    weights: pd.DataFrame,
    settings: Bias,
    *,
    dataset: str,
    model: str,
    seeds: Sequence[int],
    minimum_cell: int = 10,
) -> dict[str, pd.DataFrame]:
    """Tables `ks`, `score`, `effects`, `null`, `encoding`, `variance` and `points` (see
    docs/bias.md).

    embeddings: one for each of `seeds`, or one alone if it is the same for all; records: of split
    `test` and, where PCA is fitted on it, `val`; weights: columns image_id, weight. `points` is
    row-level and of the first embedding alone.
    """
    if len(embeddings) not in (1, len(seeds)):
        raise InputError(
            f"{model}: {len(embeddings)} embeddings for {len(seeds)} seeds. Name one for each "
            "seed, or one for all."
        )
    plan = design(dataset, records, weights, settings, minimum_cell)
    labels = list(seeds) if len(embeddings) == len(seeds) else [SHARED]
    found: dict[str, list[pd.DataFrame]] = {}
    for seed, embedding in zip(labels, embeddings, strict=True):
        tables = _one(plan, embedding, teacher, records, picture=seed == labels[0])
        for name, table in tables.items():
            found.setdefault(name, []).append(table.assign(dataset=dataset, model=model, seed=seed))
    whole = {name: pd.concat(tables, ignore_index=True) for name, tables in found.items()}
    return {name: _leading(table, name) for name, table in whole.items()}


def _leading(table: pd.DataFrame, name: str) -> pd.DataFrame:
    first = ["image_id", "seed"] if name == "points" else ["dataset", "model", "seed"]
    rest = [c for c in table if c not in ("image_id", "dataset", "model", "seed")]
    return table[first + rest]


def _one(
    plan: Design, embedding: HeadInput, teacher: KeyedArray, records: pd.DataFrame, picture: bool
) -> dict[str, pd.DataFrame]:
    """The tables of one embedding."""
    chosen = plan.settings
    values = embedding.take(plan.test.image_id)
    if chosen.fit == "validation":
        basis, counts = embedding.take(records.image_id[records.split == "val"]), None
    else:
        basis, counts = values, np.bincount(plan.rows, minlength=len(plan.test))
    axes = projection.fit(basis, chosen.variance, chosen.modes, counts, embedding.features.name)
    scores = axes.scores(values)
    tested = scores[:, : chosen.modes]
    ratios = axes.ratios[: chosen.modes]
    sample = plan.rows[plan.main]
    compact = sample[plan.compact]
    between = encoding.distances(values[compact])
    alignment = encoding.cka(values[compact], teacher.take(plan.test.image_id.iloc[compact]))
    ks, score = significance.tests(plan, tested, ratios)
    effects = magnitude.effect_sizes(plan, tested, axes)
    effects += magnitude.whole_embedding(plan, between, alignment)
    variance = {"mode": np.arange(1, len(axes.axes) + 1), "ratio": axes.ratios}
    tables = {
        "ks": ks,
        "score": score,
        "effects": pd.DataFrame(effects, columns=list(magnitude.EFFECT_COLUMNS)),
        "null": significance.nulls(plan, tested[sample], ratios, between),
        "encoding": magnitude.probe_aucs(plan, scores),
        "variance": pd.DataFrame(variance),
    }
    return tables | ({"points": _points(plan, scores, tested)} if picture else {})


def _points(plan: Design, scores: np.ndarray, tested: np.ndarray) -> pd.DataFrame:
    """Every test image's modes and groups, whether it is in the main sample, and its place in the t-SNE picture."""
    sample = np.unique(plan.rows[plan.main])
    table = pd.DataFrame({"image_id": plan.test.image_id})
    for mode, values in enumerate(tested.T, 1):
        table[f"mode_{mode}"] = values
    shown = np.sort(_some(sample, plan.settings.tsne_points, plan.settings.seed))
    table[["tsne_1", "tsne_2"]] = np.nan
    if len(shown):
        table.loc[shown, ["tsne_1", "tsne_2"]] = projection.tsne(scores[shown], plan.settings.seed)
    table["sample"] = np.isin(np.arange(len(table)), sample)
    names = {attribute: np.array([*GROUPS[attribute], None], object) for attribute in GROUPS}
    for attribute, own in names.items():
        table[attribute] = own[plan.groups.of(attribute)]
    return table.assign(weight=plan.test.weight, age_years=plan.test.age)


def _some(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most `most` of `rows`, drawn at random."""
    if len(rows) <= most:
        return rows
    return np.random.default_rng(seed).choice(rows, most, replace=False)
