"""The bias analysis of one model on one dataset: from embeddings to tables.

Embeddings are projected on their principal axes once; all tests use the first few modes. Groups of
fewer patients than the minimum cell are not tested: their lines are there, blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from cxrfmkd.bias import magnitude, significance
from cxrfmkd.bias.balance import balance_table
from cxrfmkd.bias.design import Design, build_design
from cxrfmkd.bias.effects import EFFECT_SIZES
from cxrfmkd.bias.encoding import pairwise_distances
from cxrfmkd.bias.projection import deviations, fit_pca, tsne
from cxrfmkd.bias.replicates import replicate_table
from cxrfmkd.networks.layers import HeadInput, projection_of
from cxrfmkd.runtime.arrays import KeyedArray
from cxrfmkd.runtime.errors import InputError, some
from cxrfmkd.runtime.files import read_json
from cxrfmkd.runtime.seals import altered
from cxrfmkd.statistics.cka import linear_cka
from cxrfmkd.study.settings import Bias
from cxrfmkd.vocabulary.attributes import PRESETS, Attributes

ALL_SEEDS = 0  # the seed, in tables, of what is the same for all seeds, or the mean over them


def select_embeddings(
    arrays: Sequence[KeyedArray],
    projections: Sequence[Path],
    selected: Path | None,
    settings: Bias,
    seeds: Sequence[int],
) -> tuple[list[HeadInput], list[int]]:
    """The embeddings to analyse and their seeds: all, or the one of `selected` (a selected.json).

    projections: weights, or a selected.json that names them, of layers that the arrays have not
    passed yet, one for each array; empty where there are none.
    """
    paths: Sequence[Path | None] = projections or [None] * len(arrays)
    inputs = [
        HeadInput(array, projection_of(array, path))
        for array, path in zip(arrays, paths, strict=True)
    ]
    if settings.seeds == "selected" and selected is not None:
        seed = read_json(selected).get("seed", -1)
        if seed not in seeds:
            raise altered(selected, f"its seed is {seed}, none of {some(seeds)}")
        if len(inputs) == len(seeds):
            inputs = [inputs[list(seeds).index(seed)]]
        seeds = [seed]
    return inputs, list(seeds)


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
    uncertain: str = "zeros",
    attributes: Attributes = PRESETS,
) -> dict[str, pd.DataFrame]:
    """Tables `ks`, `score`, `effects`, `null`, `encoding`, `replicates`, `variance`, `points`.

    And `balance`, of the sample alone. See docs/bias.md.

    embeddings: one for each of `seeds`, or one alone if it is the same for all; records: of split
    `test` and, where PCA is fitted on it, `val`; weights: columns image_id, weight. `points` is
    row-level and of the first embedding alone. uncertain: as in `records.targets`; attributes: of
    the study.
    """
    if len(embeddings) not in (1, len(seeds)):
        raise InputError(
            f"{model}: {len(embeddings)} embeddings for {len(seeds)} seeds. Name one for each "
            "seed, or one for all."
        )
    about = settings, minimum_cell, uncertain, attributes
    design = build_design(dataset, records, weights, *about)
    labels = list(seeds) if len(embeddings) == len(seeds) else [ALL_SEEDS]
    tables: dict[str, list[pd.DataFrame]] = {}
    measured = []
    for seed, embedding in zip(labels, embeddings, strict=True):
        of_seed, values = _measure(design, embedding, teacher, records, seed == labels[0])
        measured.append(values)
        for name, table in of_seed.items():
            if name == "points":
                table.insert(1, "seed", seed)
            tables.setdefault(name, []).append(_named(table, name, dataset, model, seed))
    over_seeds = labels[0] if len(labels) == 1 else ALL_SEEDS
    for name, table in _over_seeds(design, measured).items():
        tables[name] = [_named(table, name, dataset, model, over_seeds)]
    joined = {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}
    balance = balance_table(design)
    balance.insert(0, "dataset", dataset)
    return joined | {"balance": balance}


def _named(table: pd.DataFrame, name: str, dataset: str, model: str, seed: int) -> pd.DataFrame:
    """A table with what it is of in front; `points` stays in the model's folder."""
    if name != "points":
        for position, column in enumerate(("dataset", "model", "seed")):
            table.insert(position, column, (dataset, model, seed)[position])
    return table


class Measured(NamedTuple):
    """What is measured of one embedding, with replicates, before the mean over seeds is taken."""

    effects: magnitude.Values
    energies: magnitude.Values
    alignment: float
    nulls: significance.Nulls
    areas: magnitude.ProbeAreas


def _over_seeds(design: Design, measured: Sequence[Measured]) -> dict[str, pd.DataFrame]:
    """The tables of the mean over seeds: effect sizes, null and probes."""
    sizes = [of_seed.effects for of_seed in measured]
    effects = magnitude.effect_lines(sizes, EFFECT_SIZES, magnitude.coarse_lines(design, sizes[0]))
    alignment = float(np.mean([of_seed.alignment for of_seed in measured]))
    effects.append(("teacher", "", "", magnitude.ALL_MODES, "CKA", alignment, np.nan, np.nan))
    energies = [of_seed.energies for of_seed in measured]
    effects += magnitude.effect_lines(energies, magnitude.ENERGY)
    return {
        "effects": pd.DataFrame(effects, columns=magnitude.EFFECT_COLUMNS),
        "null": significance.null_table([of_seed.nulls for of_seed in measured]),
        "encoding": magnitude.probe_table(design, [of_seed.areas for of_seed in measured]),
    }


def _measure(
    design: Design,
    embedding: HeadInput,
    teacher: KeyedArray,
    records: pd.DataFrame,
    with_points: bool,
) -> tuple[dict[str, pd.DataFrame], Measured]:
    """The tables of one embedding alone, and what goes into the mean over seeds."""
    settings, image_ids = design.settings, design.test.image_id
    values = embedding.take(image_ids)
    if settings.fit == "validation":
        basis, counts = embedding.take(records.image_id[records.split == "val"]), None
    else:
        basis, counts = values, np.bincount(design.rows, minlength=len(design.test))
    if settings.scaling == "standardise":
        unit = deviations(basis, counts)
        basis, values = basis / unit, values / unit
    pca = fit_pca(basis, settings.variance, settings.modes, counts, embedding.features.name)
    scores, ratios = pca.scores(values), pca.ratios[: settings.modes]
    tested = scores[:, : settings.modes]
    sample = design.rows[design.main]
    subset = sample[design.distance_subset]
    distances = pairwise_distances(values[subset])
    areas = magnitude.probe_areas(design, magnitude.probed_groups(design, scores))
    ks, score = significance.test_tables(design, tested, ratios)
    tables = {
        "ks": ks,
        "score": score,
        "replicates": replicate_table(design, tested, pca, distances, areas),
        "variance": pd.DataFrame({"mode": np.arange(1, len(pca.axes) + 1), "ratio": pca.ratios}),
    }
    measured = Measured(
        magnitude.effect_values(design, tested, pca),
        magnitude.energy_values(design, distances),
        linear_cka(values[subset], teacher.take(image_ids.iloc[subset])),
        significance.null_values(design, tested[sample], ratios, distances),
        areas,
    )
    return tables | ({"points": _points(design, scores, tested)} if with_points else {}), measured


def _points(design: Design, scores: np.ndarray, tested: np.ndarray) -> pd.DataFrame:
    """Each test image's scores, t-SNE coordinates, groups, and whether it is in the main sample."""
    settings = design.settings
    table = pd.DataFrame({"image_id": design.test.image_id})
    for mode, values in enumerate(tested.T, 1):
        table[f"mode_{mode}"] = values
    sample = np.unique(design.rows[design.main])
    pictured = sample
    if len(sample) > settings.tsne_points:
        rng = np.random.default_rng(settings.seed)
        pictured = np.sort(rng.choice(sample, settings.tsne_points, replace=False))
    table[["tsne_1", "tsne_2"]] = np.nan
    if len(pictured):
        coordinates = tsne(scores[pictured], settings.seed)
        table.loc[pictured, ["tsne_1", "tsne_2"]] = coordinates
    table["sample"] = np.isin(np.arange(len(table)), sample)
    for name, one in design.attributes.items():
        table[name] = np.array([*one.groups, None], object)[design.grouping.of(name)]
    return table.assign(weight=design.test.weight, age_years=design.test.age)
